"""Pictures in and out: reading and writing files, recipes in their metadata, heatmaps, panels and grids.

This room knows nothing of networks. Importing it imports neither torch nor matplotlib.
"""

from __future__ import annotations

from cnnviz.imaging.encoding import FORMATS, encode
from cnnviz.imaging.grid import grid, panel
from cnnviz.imaging.heatmap import colorize, grayscale, normalize, overlay, smooth, upsample
from cnnviz.imaging.image_io import SUFFIXES, read_image, read_pil_image, write_image
from cnnviz.imaging.image_reading import MAX_PIXELS
from cnnviz.imaging.pixels import Crop, to_pil_image, to_pixels
from cnnviz.imaging.recipe import read_recipe

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "SUFFIXES",
    "Crop",
    "colorize",
    "encode",
    "grayscale",
    "grid",
    "normalize",
    "overlay",
    "panel",
    "read_image",
    "read_pil_image",
    "read_recipe",
    "smooth",
    "to_pil_image",
    "to_pixels",
    "upsample",
    "write_image",
]
