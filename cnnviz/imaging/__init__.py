"""Images in and out: reading and writing files, the recipe in their metadata, color, heatmaps, grids, video, metrics.

Nothing here knows of networks. Importing a module of this package imports neither torch nor matplotlib.
"""
