"""cnnviz: see what a convolutional network has learned, which pixels matter to it, and how it is fooled.

The public names below are loaded on first use (PEP 562), so that ``import cnnviz`` and ``cnnviz --help`` do not
wait for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz._lazy import lazy_names

__version__ = "0.1.0"

_HOME_OF = {
    "Network": "cnnviz.network",
    "load_network": "cnnviz.network",
    "read_image": "cnnviz.imaging",
    "write_image": "cnnviz.imaging",
    "deletion_curve": "cnnviz.attribution.faithfulness",
    "insertion_curve": "cnnviz.attribution.faithfulness",
    "randomization_check": "cnnviz.attribution.faithfulness",
    "deconvnet": "cnnviz.attribution.guided_backprop",
    "grad_cam": "cnnviz.attribution.cam",
    "guided_backprop": "cnnviz.attribution.guided_backprop",
    "guided_grad_cam": "cnnviz.attribution.cam",
    "input_x_gradient": "cnnviz.attribution.gradients",
    "integrated_gradients": "cnnviz.attribution.integrated_gradients",
    "smoothgrad": "cnnviz.attribution.smoothgrad",
    "occlusion": "cnnviz.attribution.occlusion",
    "saliency": "cnnviz.attribution.gradients",
    "object_map": "cnnviz.attribution.segmentation",
    "segment_foreground": "cnnviz.attribution.segmentation",
    "activation_grid": "cnnviz.features",
    "embed_images": "cnnviz.features",
    "filter_grid": "cnnviz.features",
    "nearest_neighbors": "cnnviz.features",
    "project": "cnnviz.features",
    "top_patches": "cnnviz.features",
    "deepfool": "cnnviz.adversarial",
    "fgsm": "cnnviz.adversarial",
    "fooling_image": "cnnviz.adversarial",
    "fooling_rate": "cnnviz.adversarial",
    "iterative_fgsm": "cnnviz.adversarial",
    "universal_perturbation": "cnnviz.adversarial",
    "dream": "cnnviz.synthesis",
    "invert": "cnnviz.synthesis",
    "synthesize_texture": "cnnviz.synthesis",
    "visualize": "cnnviz.synthesis",
    "transfer_style": "cnnviz.style",
    "FastStyleNetwork": "cnnviz.style",
    "apply_fast_style": "cnnviz.style",
    "load_fast_style": "cnnviz.style",
    "train_fast_style": "cnnviz.style",
}

__all__ = ["__version__", *_HOME_OF]  # noqa: PLE0604 (the names are strings, from the table above)

if TYPE_CHECKING:
    from cnnviz.adversarial import deepfool as deepfool
    from cnnviz.adversarial import fgsm as fgsm
    from cnnviz.adversarial import fooling_image as fooling_image
    from cnnviz.adversarial import fooling_rate as fooling_rate
    from cnnviz.adversarial import iterative_fgsm as iterative_fgsm
    from cnnviz.adversarial import universal_perturbation as universal_perturbation
    from cnnviz.attribution.cam import grad_cam as grad_cam
    from cnnviz.attribution.cam import guided_grad_cam as guided_grad_cam
    from cnnviz.attribution.faithfulness import deletion_curve as deletion_curve
    from cnnviz.attribution.faithfulness import insertion_curve as insertion_curve
    from cnnviz.attribution.faithfulness import randomization_check as randomization_check
    from cnnviz.attribution.gradients import input_x_gradient as input_x_gradient
    from cnnviz.attribution.gradients import saliency as saliency
    from cnnviz.attribution.guided_backprop import deconvnet as deconvnet
    from cnnviz.attribution.guided_backprop import guided_backprop as guided_backprop
    from cnnviz.attribution.integrated_gradients import integrated_gradients as integrated_gradients
    from cnnviz.attribution.occlusion import occlusion as occlusion
    from cnnviz.attribution.segmentation import object_map as object_map
    from cnnviz.attribution.segmentation import segment_foreground as segment_foreground
    from cnnviz.attribution.smoothgrad import smoothgrad as smoothgrad
    from cnnviz.features import activation_grid as activation_grid
    from cnnviz.features import embed_images as embed_images
    from cnnviz.features import filter_grid as filter_grid
    from cnnviz.features import nearest_neighbors as nearest_neighbors
    from cnnviz.features import project as project
    from cnnviz.features import top_patches as top_patches
    from cnnviz.imaging import read_image as read_image
    from cnnviz.imaging import write_image as write_image
    from cnnviz.network import Network as Network
    from cnnviz.network import load_network as load_network
    from cnnviz.style import FastStyleNetwork as FastStyleNetwork
    from cnnviz.style import apply_fast_style as apply_fast_style
    from cnnviz.style import load_fast_style as load_fast_style
    from cnnviz.style import train_fast_style as train_fast_style
    from cnnviz.style import transfer_style as transfer_style
    from cnnviz.synthesis import dream as dream
    from cnnviz.synthesis import invert as invert
    from cnnviz.synthesis import synthesize_texture as synthesize_texture
    from cnnviz.synthesis import visualize as visualize


__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
