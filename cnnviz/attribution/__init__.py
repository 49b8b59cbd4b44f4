"""Which pixels matter to a network: maps of the input that explain one class score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz._lazy import lazy_names

_HOME_OF = {
    "completeness_error": "cnnviz.attribution.smoothing",
    "deconvnet": "cnnviz.attribution.rectifiers",
    "FaithfulnessCurve": "cnnviz.attribution.faithfulness",
    "deletion_curve": "cnnviz.attribution.faithfulness",
    "insertion_curve": "cnnviz.attribution.faithfulness",
    "randomization_check": "cnnviz.attribution.faithfulness",
    "randomized": "cnnviz.attribution.faithfulness",
    "RandomizationStep": "cnnviz.attribution.faithfulness",
    "grad_cam": "cnnviz.attribution.cam",
    "guided_backprop": "cnnviz.attribution.rectifiers",
    "guided_grad_cam": "cnnviz.attribution.cam",
    "input_x_gradient": "cnnviz.attribution.smoothing",
    "integrated_gradients": "cnnviz.attribution.smoothing",
    "smoothgrad": "cnnviz.attribution.smoothing",
    "last_spatial_layer": "cnnviz.attribution.cam",
    "rectified_gradient": "cnnviz.attribution.rectifiers",
    "ApproximationError": "cnnviz.attribution.drilldown",
    "OcclusionGrid": "cnnviz.attribution.patching",
    "Sliding": "cnnviz.attribution.patching",
    "occlusion": "cnnviz.attribution.patching",
    "occlusion_grids": "cnnviz.attribution.patching",
    "saliency": "cnnviz.attribution.gradients",
    "object_map": "cnnviz.attribution.segmentation",
    "segment_foreground": "cnnviz.attribution.segmentation",
}

__all__ = list(_HOME_OF)

if TYPE_CHECKING:
    from cnnviz.attribution.cam import grad_cam as grad_cam
    from cnnviz.attribution.cam import guided_grad_cam as guided_grad_cam
    from cnnviz.attribution.cam import last_spatial_layer as last_spatial_layer
    from cnnviz.attribution.drilldown import ApproximationError as ApproximationError
    from cnnviz.attribution.faithfulness import FaithfulnessCurve as FaithfulnessCurve
    from cnnviz.attribution.faithfulness import RandomizationStep as RandomizationStep
    from cnnviz.attribution.faithfulness import deletion_curve as deletion_curve
    from cnnviz.attribution.faithfulness import insertion_curve as insertion_curve
    from cnnviz.attribution.faithfulness import randomization_check as randomization_check
    from cnnviz.attribution.faithfulness import randomized as randomized
    from cnnviz.attribution.gradients import saliency as saliency
    from cnnviz.attribution.patching import OcclusionGrid as OcclusionGrid
    from cnnviz.attribution.patching import Sliding as Sliding
    from cnnviz.attribution.patching import occlusion as occlusion
    from cnnviz.attribution.patching import occlusion_grids as occlusion_grids
    from cnnviz.attribution.rectifiers import deconvnet as deconvnet
    from cnnviz.attribution.rectifiers import guided_backprop as guided_backprop
    from cnnviz.attribution.rectifiers import rectified_gradient as rectified_gradient
    from cnnviz.attribution.segmentation import object_map as object_map
    from cnnviz.attribution.segmentation import segment_foreground as segment_foreground
    from cnnviz.attribution.smoothing import completeness_error as completeness_error
    from cnnviz.attribution.smoothing import input_x_gradient as input_x_gradient
    from cnnviz.attribution.smoothing import integrated_gradients as integrated_gradients
    from cnnviz.attribution.smoothing import smoothgrad as smoothgrad

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
