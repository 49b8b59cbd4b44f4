"""Style transfer: by optimization, and by fast networks in one pass."""
