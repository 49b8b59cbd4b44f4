"""Programs as networks: started for each batch of images, which are written for them, and whose scores are read."""
