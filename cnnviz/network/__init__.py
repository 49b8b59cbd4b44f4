"""The network under study: what networks there are, their weights, their layers, and running them on pixels."""
