"""Class activation maps that follow the gradient of the score, and guided Grad-CAM."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cnnviz.attribution.cam_layers import (
    Layers,
    Smooth,
    class_activation_map,
    fused_map,
    layer_names,
    min_max,
    upsampled,
)
from cnnviz.attribution.cam_rules import (
    GRAD_CAM,
    HIRES_CAM,
    LAYER_CAM,
    SHAPLEY_CAM,
    XGRAD_CAM,
    finer_rule,
    plus_plus_rule,
)
from cnnviz.attribution.guided_backprop import guided_backprop
from cnnviz.attribution.targets import Target
from cnnviz.errors import UsageError
from cnnviz.network.default_layers import evenly_spaced_layers, last_spatial_layer
from cnnviz.network.network import Network


def grad_cam(
    network: Network, pixels: Tensor, target: Target = None, *, layer: Layers = None, smooth: Smooth = "none"
) -> Tensor:
    """Grad-CAM map: the ReLU of a layer's feature maps, summed with the mean gradients of the class score as weights.

    Selvaraju, Cogswell, Das, Vedantam, Parikh & Batra, "Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization", ICCV 2017, arXiv:1610.02391.

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; the class predicted for each image if None. Or what ``saliency`` takes.
        layer: whose feature maps to take, by any of its names, or a submodule of your own module; the last before the
            classifier if None. Of several layers the mean of their maps is returned, each scaled to [0, 1].
        smooth: ``flips`` averages over the image and its mirror image, each at 0.9, 1 and 1.1 times the contrast, every
            map scaled to [0, 1]; ``eigen`` takes the first principal component of the weighted feature maps in place
            of their sum. Both as pytorch-grad-cam does; there is no paper.

    Returns:
        Maps (N, 1, H, W), at least 0, upsampled bilinearly from the layer's size.

    Raises:
        UsageError: no such class or layer, or a layer whose output is not a feature map.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.grad_cam(network, pixels, "tabby").shape
        torch.Size([1, 1, 64, 96])
        >>> cnnviz.grad_cam(network, pixels, "tabby", layer=["fire5", "fire9"]).shape
        torch.Size([1, 1, 64, 96])
    """
    return class_activation_map(network, pixels, target, GRAD_CAM, layer, smooth)


def grad_cam_plus_plus(
    network: Network,
    pixels: Tensor,
    target: Target = None,
    *,
    layer: Layers = None,
    smooth: Smooth = "none",
    epsilon: float = 0.0,
) -> Tensor:
    """Grad-CAM++ map: feature maps weighted by the sum of their positive gradients g, each times 1 / (2 + g · ΣA).

    Chattopadhay, Sarkar, Howlader & Balasubramanian, "Grad-CAM++: Generalized Gradient-based Visual Explanations for
    Deep Convolutional Networks", WACV 2018, arXiv:1710.11063: its equation 19 for the exponential of the logit.
    Arguments and errors are those of ``grad_cam``.

    Args:
        epsilon: what is added to the denominator 2g² + g³ ΣA of the coefficients, which the paper has without. 1e-6
            gives pytorch-grad-cam's maps, in which it outweighs the g² of a map of some hundred positions.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.grad_cam_plus_plus(network, pixels, "tabby").shape
        torch.Size([1, 1, 64, 96])
    """
    return class_activation_map(network, pixels, target, plus_plus_rule(epsilon), layer, smooth)


def hires_cam(
    network: Network, pixels: Tensor, target: Target = None, *, layer: Layers = None, smooth: Smooth = "none"
) -> Tensor:
    """HiResCAM map: the ReLU of the sum over channels of feature maps times their gradients, position by position.

    Draelos & Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks",
    arXiv:2011.08891 (2020). Where the mean of the maps and a linear layer give the score, it is Grad-CAM. Arguments and
    errors are those of ``grad_cam``.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.hires_cam(network, pixels, "tabby").shape
        torch.Size([1, 1, 64, 96])
    """
    return class_activation_map(network, pixels, target, HIRES_CAM, layer, smooth)


def xgrad_cam(
    network: Network, pixels: Tensor, target: Target = None, *, layer: Layers = None, smooth: Smooth = "none"
) -> Tensor:
    """XGrad-CAM map: feature maps weighted by the mean of their gradients, taken where the maps are large.

    Fu, Hu, Dong, Guo, Gao & Li, "Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs", BMVC
    2020, arXiv:2008.02312. Arguments and errors are those of ``grad_cam``.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.xgrad_cam(network, pixels, "tabby").shape
        torch.Size([1, 1, 64, 96])
    """
    return class_activation_map(network, pixels, target, XGRAD_CAM, layer, smooth)


def layer_cam(
    network: Network, pixels: Tensor, target: Target = None, *, layer: Layers = None, smooth: Smooth = "none"
) -> Tensor:
    """LayerCAM map: the sum over channels of feature maps times their positive gradients, position by position.

    Jiang, Zhang, Hou, Cheng & Wei, "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", IEEE
    Transactions on Image Processing 2021. It is sharp at early layers, too; the paper's fusion of several layers by the
    maximum is not offered. Arguments and errors are those of ``grad_cam``.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.layer_cam(network, pixels, "tabby", layer="fire4").shape
        torch.Size([1, 1, 64, 96])
    """
    return class_activation_map(network, pixels, target, LAYER_CAM, layer, smooth)


def finer_cam(
    network: Network,
    pixels: Tensor,
    target: Target = None,
    *,
    layer: Layers = None,
    smooth: Smooth = "none",
    strength: float = 1.0,
    references: int = 3,
) -> Tensor:
    """Finer-CAM map: Grad-CAM of what tells a class from those that the network takes for most like it.

    Zhang, Gu, Chowdhury, Mai, Carlyn, Berger-Wolf, Su & Chao, "Finer-CAM: Spotting the Difference Reveals Finer Details
    for Visual Explanation", CVPR 2025, arXiv:2501.11309. As in the authors' code, the score is the class's logit less
    the mean of the others', weighted by their probabilities. A target that is no class, as a ``Versus``, is explained
    as it is. Other arguments and errors are those of ``grad_cam``.

    Args:
        strength: by what the other classes' logits are multiplied.
        references: the number of other classes: those whose logits are nearest to the class's.

    Raises:
        UsageError: also where the network has one class only.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.finer_cam(network, pixels, "tabby").shape
        torch.Size([1, 1, 64, 96])
    """
    return class_activation_map(network, pixels, target, finer_rule(strength, references), layer, smooth)


def shapley_cam(
    network: Network, pixels: Tensor, target: Target = None, *, layer: Layers = None, smooth: Smooth = "none"
) -> Tensor:
    """ShapleyCAM map: Grad-CAM with half the second derivative along the feature maps taken off the gradient.

    Cai, "CAMs as Shapley Value-based Explainers", arXiv:2501.06261 (2025). As in the paper, the score of a class is its
    logit plus the logarithm of its probability (the residual softmax); of one logit alone a ReLU network has no second
    derivative, and the map would be Grad-CAM's. A target that is no class, as a ``Versus``, is explained as it is.
    Arguments and errors are those of ``grad_cam``.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.shapley_cam(network, pixels, "tabby").shape
        torch.Size([1, 1, 64, 96])
    """
    return class_activation_map(network, pixels, target, SHAPLEY_CAM, layer, smooth)


def refine_cam(
    network: Network,
    pixels: Tensor,
    target: Target = None,
    *,
    layer: Layers = None,
    smooth: Smooth = "none",
    epsilon: float = 0.0,
) -> Tensor:
    """RefineCAM map: the product of the Grad-CAM++ maps of several layers, each scaled to [0, 1].

    Domeniconi, Stramiglio, Lombardi & Salti, "How to Evaluate and Refine your CAM", arXiv:2605.14641 (2026). What is
    shown is what all layers agree on, as fine as the earliest. Other arguments and errors are those of
    ``grad_cam_plus_plus``.

    Args:
        layer: two layers or more; four over the depth if None, the last of them Grad-CAM's.

    Raises:
        UsageError: also where there is one layer only.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.refine_cam(network, pixels, "tabby", layer=["fire4", "fire9"]).shape
        torch.Size([1, 1, 64, 96])
    """
    names = layer_names(network, pixels, refine_layers(network, pixels) if layer is None else layer)
    if len(names) < 2:
        raise UsageError("RefineCAM multiplies the maps of two layers or more, and there is one.", remedy="more_layers")

    def product(maps: Sequence[Tensor], size: torch.Size) -> Tensor:
        return torch.stack([min_max(upsampled(min_max(each), size)) for each in maps]).prod(0)

    return fused_map(network, pixels, target, plus_plus_rule(epsilon), names, smooth, product)


def default_layers(network: Network, method: str, pixels: Tensor | None = None) -> list[str]:
    """The layers that a method takes where none is named; ``method`` is its name in the registry."""
    return refine_layers(network, pixels) if method == "refinecam" else [last_spatial_layer(network, pixels)]


def refine_layers(network: Network, pixels: Tensor | None = None) -> list[str]:
    """The layers that RefineCAM takes where none is named: four over the depth, the last of them Grad-CAM's."""
    last = last_spatial_layer(network, pixels)
    end = network.layers.node(last)
    spread = [name for name in evenly_spaced_layers(network) if network.layers.is_read(name)]
    return [*(name for name in spread[:3] if network.layers.node(name) is not end), last]


def guided_grad_cam(
    network: Network, pixels: Tensor, target: Target = None, *, layer: Layers = None, smooth: Smooth = "none"
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
    return guided_backprop(network, pixels, target) * grad_cam(network, pixels, target, layer=layer, smooth=smooth)
