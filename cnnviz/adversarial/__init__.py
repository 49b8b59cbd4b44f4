"""How a network is fooled: perturbations too small to see that change what it says."""
