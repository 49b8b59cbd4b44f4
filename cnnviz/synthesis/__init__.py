"""Images out of the network: one optimisation loop, and what is made with it."""
