"""One self-contained page about images and what a network sees in them."""
