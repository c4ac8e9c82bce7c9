"""What is worn together: outfits read from street photos, a model of them, its training."""
