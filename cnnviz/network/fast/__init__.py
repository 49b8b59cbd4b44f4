"""Faster CPU convolutions and poolings with the same results to within rounding.

Used for the networks that cnnviz builds itself and for ``Network(model, optimize=True)``: their weights are never
trained, saved or changed by anyone else. Nothing here is exported; ``cnnviz.network`` and
``cnnviz.attribution.incremental`` alone import it.
"""
