"""What a network has learned: filters, feature maps, the patches that excite a channel, and maps of many images.

The public functions are importable from ``cnnviz`` itself; this package re-exports none.
"""
