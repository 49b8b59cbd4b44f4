"""Which pixels matter to a network: maps of the input that explain one class score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz._lazy import lazy_names

_HOME_OF = {
    "OcclusionGrid": "cnnviz.attribution.patching",
    "occlusion": "cnnviz.attribution.patching",
    "occlusion_grids": "cnnviz.attribution.patching",
    "saliency": "cnnviz.attribution.gradients",
}

__all__ = list(_HOME_OF)

if TYPE_CHECKING:
    from cnnviz.attribution.gradients import saliency as saliency
    from cnnviz.attribution.patching import OcclusionGrid as OcclusionGrid
    from cnnviz.attribution.patching import occlusion as occlusion
    from cnnviz.attribution.patching import occlusion_grids as occlusion_grids

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
