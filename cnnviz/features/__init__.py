"""What was learned: filters, feature maps, the patches a channel looks for, and how pictures lie among each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz._lazy import lazy_names

_HOME_OF = {
    "activation_grid": "cnnviz.features.activations",
    "channel_peaks": "cnnviz.features.peaks",
    "embed_images": "cnnviz.features.vectors",
    "feature_layer": "cnnviz.features.vectors",
    "filter_grid": "cnnviz.features.filters",
    "nearest_neighbors": "cnnviz.features.neighbors",
    "project": "cnnviz.features.projection",
    "top_patches": "cnnviz.features.peaks",
}

__all__ = list(_HOME_OF)

if TYPE_CHECKING:
    from cnnviz.features.activations import activation_grid as activation_grid
    from cnnviz.features.filters import filter_grid as filter_grid
    from cnnviz.features.neighbors import nearest_neighbors as nearest_neighbors
    from cnnviz.features.peaks import channel_peaks as channel_peaks
    from cnnviz.features.peaks import top_patches as top_patches
    from cnnviz.features.projection import project as project
    from cnnviz.features.vectors import embed_images as embed_images
    from cnnviz.features.vectors import feature_layer as feature_layer

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
