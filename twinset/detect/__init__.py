"""Finding the items in a photo: network, training, export, and the detector that runs without torch."""
