"""Grad-CAM and guided Grad-CAM."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from cnnviz.attribution.guided_backprop import guided_backprop
from cnnviz.attribution.targets import Target, target_scores
from cnnviz.imaging.checks import differentiable, gradients, require_pixels, warn_if_out_of_range
from cnnviz.network import checks
from cnnviz.network.default_layers import last_spatial_layer
from cnnviz.network.network import LayerLike, Network, at_least_float32
from cnnviz.runtime.precision import gradients_of


def grad_cam(network: Network, pixels: Tensor, target: Target = None, *, layer: LayerLike | None = None) -> Tensor:
    """Grad-CAM map: the ReLU of a layer's feature maps, summed with the mean gradients of the class score as weights.

    Selvaraju, Cogswell, Das, Vedantam, Parikh & Batra, "Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization", ICCV 2017, arXiv:1610.02391.

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; the class predicted for each image if None. Or what ``saliency`` takes.
        layer: whose feature maps to take, by any of its names, or a submodule of your own module; the last before the
            classifier if None.

    Returns:
        Maps (N, 1, H, W), at least 0, upsampled bilinearly from the layer's size.

    Raises:
        UsageError: no such class or layer, or a layer whose output is not a feature map.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.grad_cam(network, pixels, "tabby").shape
        torch.Size([1, 1, 64, 96])
    """
    network.require_count(len(pixels))
    name = last_spatial_layer(network, pixels) if layer is None else network.layer_name(layer)
    network.layers.require_map(name)
    warn_if_out_of_range(require_pixels(pixels, network.spec.channels))
    with gradients(), network.autocast():
        pixels = differentiable(pixels, network.device, network.spec.channels)
        x = network.normalize(pixels)
        found = network.truncated({"maps": name, "logits": None})(x)
        maps, logits = at_least_float32(found["maps"]), network.check_logits(found["logits"], pixels)
        score = target_scores(network, logits, target).sum()
        gradient = gradients_of(score, found["maps"])[0].to(maps)
    checks.require_finite(gradient, f"gradient at layer '{name}'", network, pixels)
    weights = gradient.mean((2, 3), keepdim=True)
    weighted = (weights * maps.detach()).sum(1, keepdim=True).relu()
    return F.interpolate(weighted, size=pixels.shape[2:], mode="bilinear", align_corners=False)


def guided_grad_cam(
    network: Network, pixels: Tensor, target: Target = None, *, layer: LayerLike | None = None
) -> Tensor:
    """Guided Grad-CAM: the product of guided backpropagation and Grad-CAM, (N, 3, H, W), signed.

    Selvaraju et al., ICCV 2017, arXiv:1610.02391; arguments and errors are those of ``grad_cam`` and
    ``guided_backprop``.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.guided_grad_cam(network, pixels, "tabby").shape
        torch.Size([1, 3, 64, 96])
    """
    return guided_backprop(network, pixels, target) * grad_cam(network, pixels, target, layer=layer)
