"""Networks that are not of the catalogue: one module for each way to name one; ``table`` lists them."""
