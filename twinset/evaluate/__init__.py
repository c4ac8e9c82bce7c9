"""How right a model is, on labelled photos and on a shop's catalogue."""
