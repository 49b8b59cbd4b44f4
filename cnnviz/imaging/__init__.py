"""Images in and out: reading and writing files, recipes in metadata, color, arithmetic of maps, video, metrics.

Nothing here knows of networks. Importing a module of this package imports neither torch nor matplotlib.
"""
