"""Attacks on image files: at full resolution, judged by the prediction for the file as it is read back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cnnviz.adversarial import norms
from cnnviz.adversarial.deepfool import deepfool
from cnnviz.adversarial.fgsm import fgsm, iterative_fgsm
from cnnviz.adversarial.image_loading import ImagePipeline
from cnnviz.adversarial.objective import class_names, predictions_of
from cnnviz.adversarial.settings import NORMS, Attack
from cnnviz.adversarial.target_ascent import fooling_image
from cnnviz.errors import ImageError
from cnnviz.imaging.pixels import to_pil_image
from cnnviz.network.network import Network
from cnnviz.network.prediction import Prediction

LEVEL = 1 / 255
_MORE_STEPS = 7  # times the steps, where those do not reach the confidence
_ENLARGE_BY, _ENLARGEMENTS = 1.25, 20


@dataclass(frozen=True)
class AttackResult:
    """An adversarial image, and how the network's prediction changed.

    Attributes:
        original: the image before the attack.
        adversarial: the image after it, 8 bits a channel, to be saved in the pipeline's format.
        loaded: ``adversarial`` as it is read back from its file.
        before, after: the predictions for ``original`` and for ``loaded``.
        success: whether ``after`` is what the attack asked for.
        attack: the settings used, ``label`` filled in.
        linf, l2: the norms of ``loaded`` minus ``original``, in units of pixel value.
        tried: the epsilons that ``minimal_attack`` tried, in rising order.
    """

    original: Image.Image
    adversarial: Image.Image
    loaded: Image.Image
    before: Prediction
    after: Prediction
    success: bool
    attack: Attack
    linf: float
    l2: float
    tried: list[float] = field(default_factory=list)


def fool(network: Network, image: Image.Image, attack: Attack, pipeline: ImagePipeline) -> AttackResult:
    """An adversarial image within ``attack.epsilon`` of ``image``, judged as the network reads it from its file.

    Args:
        network: the network to fool.
        image: the image to change, at its own resolution.
        attack: the settings.
        pipeline: how the image is written and read back.

    Raises:
        UsageError: the settings contradict each other.
        ImageError: nothing to do, as ``target`` is predicted already, or ``label`` is not.
    """
    attack.validate()
    before = _predict(network, pipeline.preprocess(image), attack)
    attack = _with_label(network, attack, before)
    found = _attacked(network, image, attack, pipeline, before)
    return _surer(network, found, attack.confidence, pipeline)


def _attacked(
    network: Network,
    image: Image.Image,
    attack: Attack,
    pipeline: ImagePipeline,
    before: Prediction,
) -> AttackResult:
    """The result of one attack, with the image as it is read back from its file."""
    adversarial = pipeline.pixels(image) if attack.epsilon == 0 else _perturb(network, image, attack, pipeline)
    written = quantized(adversarial, image, attack)
    after, success = _judged(network, written, attack, pipeline)
    file = pipeline.roundtrip(written)
    change = pipeline.pixels(file) - pipeline.pixels(image)
    linf, l2 = (float(norms.size(change, norm)) for norm in NORMS)
    return AttackResult(image, written, file, before, after, success, attack, linf, l2)


def _judged(network: Network, written: Image.Image, attack: Attack, pipeline: ImagePipeline) -> tuple[Prediction, bool]:
    """The prediction for an image as it is read back, and whether the attack succeeded.

    Where the image is to survive JPEG too, for the first of the two files that fails.
    """
    found = []
    for seen in pipeline.load_each(written):
        after = _predict(network, seen, attack)
        success = after[0] == attack.target if attack.target is not None else after[0] != attack.label
        found.append((after, success))
        if not success:
            break
    return found[-1]


def _surer(network: Network, found: AttackResult, confidence: float, pipeline: ImagePipeline) -> AttackResult:
    """The result of more steps toward the predicted class, within the bound; ``found`` if its confidence is higher."""
    first = found.attack
    if first.target is not None or found.after[2] >= confidence:
        return found
    iterative = replace(first, method="iterative")
    if not found.success:
        found = _attacked(network, found.original, iterative, pipeline, found.before)
        if not found.success or found.after[2] >= confidence:
            return found
    for steps in (first.steps, _MORE_STEPS * first.steps):
        toward = replace(iterative, target=found.after[0], steps=steps)
        surer = _attacked(network, found.original, toward, pipeline, found.before)
        if surer.success and surer.after[2] > found.after[2]:
            found = replace(surer, attack=iterative)
        if found.after[2] >= confidence:
            break
    return found


def minimal_attack(
    network: Network,
    image: Image.Image,
    attack: Attack,
    pipeline: ImagePipeline,
) -> AttackResult:
    """The attack at the smallest epsilon that succeeds, searched by bisection.

    Epsilons are whole gray levels, or for L2 tenths of the largest.

    Args:
        network: the network to fool.
        image: the image to change, at its own resolution.
        attack: the settings; ``epsilon`` is the largest allowed. If it fails there too, that result is returned.
        pipeline: how the image is written and read back.
    """
    unit = LEVEL if attack.norm == "linf" else attack.epsilon / 10
    most = max(1, int(attack.epsilon / unit + 1e-6))
    tried: dict[int, AttackResult] = {}

    def at(level: int) -> AttackResult:
        if level not in tried:
            tried[level] = fool(network, image, replace(attack, epsilon=level * unit, confidence=0.0), pipeline)
        return tried[level]

    low, high = 0, 1
    while high < most and not at(high).success:
        low, high = high, min(2 * high, most)
    while at(high).success and high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if at(middle).success else (middle, high)
    least = _surer(network, at(high), attack.confidence, pipeline) if at(high).success else at(high)
    return replace(least, tried=[level * unit for level in sorted(tried)])


def quantized(adversarial: Tensor, image: Image.Image, attack: Attack) -> Image.Image:
    """The adversarial pixels (1, C, H, W) as an 8-bit image that is within epsilon in L-infinity after rounding too.

    8 bits cannot hold an epsilon below one gray level; there rounding decides which pixels change by one level.
    """
    rounded = np.asarray(to_pil_image(adversarial), dtype=np.int16)
    if attack.norm == "linf" and attack.epsilon >= LEVEL:
        original = np.asarray(image.convert("RGBA" if adversarial.shape[1] == 4 else "RGB"), dtype=np.int16)
        most = int(attack.epsilon * 255 + 1e-6)
        rounded = original + np.clip(rounded - original, -most, most)
    return Image.fromarray(rounded.clip(0, 255).astype(np.uint8))


def _perturb(network: Network, image: Image.Image, attack: Attack, pipeline: ImagePipeline) -> Tensor:
    """The adversarial pixels (1, C, H, W) at the image's own resolution, not rounded."""
    pixels, through = pipeline.pixels(image).to(network.device), pipeline.differentiable
    if attack.method == "fgsm":
        return fgsm(network, pixels, attack.epsilon, target=attack.target, label=attack.label, through=through)
    if attack.method == "iterative":
        return iterative_fgsm(
            network,
            pixels,
            attack.epsilon,
            target=attack.target,
            label=attack.label,
            steps=attack.steps,
            norm=attack.norm,
            random_start=attack.random_start,
            seed=attack.seed,
            through=through,
        )
    if attack.method == "ascent":
        bound = attack.epsilon if attack.norm == "l2" else None
        found = fooling_image(network, pixels, attack.target, steps=attack.steps, epsilon=bound, through=through)
        return _within(pixels, found - pixels, attack)
    found = deepfool(
        network, pixels, label=attack.label, norm=attack.norm, steps=attack.steps, through=pipeline.resize_and_crop
    )
    return _enlarged(network, image, pixels, found - pixels, attack, pipeline)


def _within(pixels: Tensor, change: Tensor, attack: Attack) -> Tensor:
    return (pixels + norms.project(change, attack.epsilon, attack.norm)).clamp(0, 1)


def _enlarged(
    network: Network, image: Image.Image, pixels: Tensor, change: Tensor, attack: Attack, pipeline: ImagePipeline
) -> Tensor:
    """DeepFool's perturbation, enlarged step by step until rounding to 8 bits no longer undoes it.

    The smallest perturbation to a decision boundary is often below half a gray level everywhere, which no file holds.
    """
    adversarial = _within(pixels, change, attack)
    for _ in range(_ENLARGEMENTS):
        if _judged(network, quantized(adversarial, image, attack), attack, pipeline)[1]:
            break
        change = change * _ENLARGE_BY
        adversarial = _within(pixels, change, attack)
    return adversarial


def _predict(network: Network, seen: Tensor, attack: Attack) -> Prediction:
    """What the image is taken for; with sigmoids, whether it is taken for the class that the attack is about."""
    return predictions_of(network, seen, attack.label if attack.target is None else attack.target)[0]


def _with_label(network: Network, attack: Attack, before: Prediction) -> Attack:
    """The attack with its label filled in; ImageError if its goal is reached before it starts."""
    if attack.target == before[0]:
        raise ImageError(f"The network takes it for {before[1]} already, which is the target; name another.")
    if attack.target is None and attack.label not in (None, before[0]):
        wanted = class_names(network)[attack.label]  # type: ignore[index]
        raise ImageError(f"The network does not take it for {wanted} but for {before[1]}: it is fooled already.")
    return replace(attack, label=before[0])


def noise(size: tuple[int, int], seed: int, channels: int = 3) -> Image.Image:
    """An image (width, height) of 3 or 4 channels of uniform noise around mid-gray, to start a fooling image from."""
    values = torch.rand((1, channels, size[1], size[0]), generator=torch.Generator().manual_seed(seed))
    return to_pil_image(0.5 + 0.2 * (values - 0.5))
