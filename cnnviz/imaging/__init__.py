"""Pictures in and out: reading and writing files, recipes in their metadata, heatmaps, panels and grids.

This room knows nothing of networks. Importing it imports neither torch nor matplotlib.
"""

from __future__ import annotations

from cnnviz.imaging.encoding import FORMATS, encode
from cnnviz.imaging.files import SUFFIXES, read_image, read_photo, write_image
from cnnviz.imaging.grid import grid, panel
from cnnviz.imaging.heatmap import colorize, grey, normalize, overlay, smooth, upsample
from cnnviz.imaging.opening import MAX_PIXELS
from cnnviz.imaging.pixels import Crop, to_photo, to_pixels
from cnnviz.imaging.recipe import read_recipe

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "SUFFIXES",
    "Crop",
    "colorize",
    "encode",
    "grey",
    "grid",
    "normalize",
    "overlay",
    "panel",
    "read_image",
    "read_photo",
    "read_recipe",
    "smooth",
    "to_photo",
    "to_pixels",
    "upsample",
    "write_image",
]
