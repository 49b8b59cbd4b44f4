"""Gradients of the class score with respect to the pixels: saliency and input × gradient."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from cnnviz.attribution.targets import Target, target_scores
from cnnviz.imaging.checks import differentiable, gradients, require_pixels, warn_if_out_of_range
from cnnviz.network import checks
from cnnviz.network.network import Network
from cnnviz.runtime.memory import in_batches_that_fit, max_batch_size
from cnnviz.runtime.precision import gradients_of


def pixel_gradient(network: Network, pixels: Tensor, target: Target = None) -> Tensor:
    """Gradient of each image's class score with respect to its pixels.

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain; the class predicted for each image if None.

    Returns:
        (N, 3, H, W), score per unit of pixel value.
    """
    warn_if_out_of_range(require_pixels(pixels, network.spec.channels))
    return gradient_and_logits(network, pixels, target)[0]


def gradient_and_logits(network: Network, pixels: Tensor, target: Target = None) -> tuple[Tensor, Tensor]:
    """Gradient of each image's class score, as ``pixel_gradient`` gives it, and the logits (N, classes)."""
    with gradients():
        pixels = differentiable(pixels, network.device, network.spec.channels)
        logits = network.logits(pixels)
        score = target_scores(network, logits, target).sum()
        gradient = gradients_of(score, pixels)[0]
    return checks.require_finite(gradient, "gradient", network, pixels), logits.detach()


def saliency(network: Network, pixels: Tensor, target: Target = None) -> Tensor:
    """Saliency map: |∂ score / ∂ pixel|, the largest over the color channels.

    Simonyan, Vedaldi & Zisserman, "Deep Inside Convolutional Networks: Visualising Image Classification Models and
    Saliency Maps", ICLR workshop 2014, arXiv:1312.6034. As in the paper, the score is the class's logit before the
    softmax. Unlike the paper, the gradient is with respect to pixels in [0, 1], not mean-free ones in [0, 255], which
    only changes its scale.

    Args:
        network: the network to explain.
        pixels: (N, 3, H, W), RGB in [0, 1].
        target: the class to explain: its index, its name or a part of it, or one for each image; the class predicted
            for each image if None. ``-NAME`` explains what speaks against a class: its logit, negated. A function
            from the logits (N, classes) to a score for each image, (N,), explains that score, and ``Versus`` why a
            class and not another.

    Returns:
        Maps (N, 1, H, W), at least 0, in score per unit of pixel value.

    Raises:
        UsageError: no such class, or a function that makes no score of each image.
        ImageError: the images are too small for the network.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.saliency(network, pixels, "tabby").shape
        torch.Size([1, 1, 64, 96])
        >>> why_not_lynx = cnnviz.saliency(network, pixels, cnnviz.Versus("tabby", "lynx"))
    """
    return strongest_channel(pixel_gradient(network, pixels, target))


def strongest_channel(gradient: Tensor) -> Tensor:
    """The largest magnitude over the color channels of gradients (N, 3, H, W): maps (N, 1, H, W)."""
    return gradient.abs().amax(dim=1, keepdim=True)


def input_x_gradient(network: Network, pixels: Tensor, target: Target = None) -> Tensor:
    """Each pixel's value times its gradient, (N, 3, H, W), signed: the score to first order, from a black image on.

    Shrikumar, Greenside, Shcherbina & Kundaje, "Not Just a Black Box: Learning Important Features Through Propagating
    Activation Differences", arXiv:1605.01713 (2016). Black pixels always get 0. Arguments and errors are those of
    ``saliency``.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> cnnviz.input_x_gradient(network, pixels, "tabby").shape
        torch.Size([1, 3, 64, 96])
    """
    return require_pixels(pixels, network.spec.channels).to(network.device) * pixel_gradient(network, pixels, target)


def sum_in_batches(network: Network, image: Tensor, count: int, run: Callable[[slice], Tensor]) -> Tensor:
    """The sum of the results of ``run`` over slices of ``count`` variants of an image, as many at a time as fit."""
    height, width = image.shape[2:]
    at_once = max_batch_size((height, width), network.spec.size, network.device)
    return sum(in_batches_that_fit(run, count, at_once))  # type: ignore[return-value]
