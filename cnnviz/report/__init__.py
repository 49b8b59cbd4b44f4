"""One self-contained page about pictures and what a network makes of them."""
