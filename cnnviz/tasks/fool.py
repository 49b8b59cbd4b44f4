"""Images changed by less than one can see so that the network takes them for something else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnviz.adversarial.settings import METHODS, NORMS, Attack
from cnnviz.errors import ImageError, Remark, UsageError
from cnnviz.figures.captions import percent
from cnnviz.pipeline.outputs import PNG
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.settings import setting
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.epsilon import epsilon_setting, epsilon_text, parse_epsilon
from cnnviz.tasks.shared.explanations import prediction_json

if TYPE_CHECKING:
    from PIL.Image import Image

    from cnnviz.adversarial.image_attack import AttackResult
    from cnnviz.adversarial.image_loading import ImagePipeline
    from cnnviz.network.network import Network
    from cnnviz.pipeline.step_monitor import StepMonitor

_RGBA = 4
"""The most channels that an image file of eight bits holds."""

CONFIDENCE = 0.99
"""Without a target, the probability of the new class at which the attack stops, within its bound."""

USUAL_EPSILON = "2/255"
LARGEST_MINIMAL = "32"
"""The largest epsilon that is tried where the smallest is looked for and none was named."""


@dataclass(frozen=True)
class Fool(TaskDefaults):
    """An adversarial example for each image, judged by the file that holds it.

    ``raw_format`` is the extension of the file that ``raw`` writes, by which the attack is judged; on a panel nobody is
    fooled.
    """

    needs_gradients = True

    method: str | None = setting(
        None,
        "How the perturbation is found.",
        choices=METHODS,
        show_default="fgsm and, until the network is 99 % sure, iterative; iterative alone with a target, "
        "a norm of l2, or --jpeg",
    )
    target: str | None = setting(
        None, "Class to be taken for: index, name, or part of a name.", names=("--target", "-t"), metavar="CLASS"
    )
    label: str | None = setting(None, "True class, if it is not the predicted one.", metavar="CLASS")
    epsilon: str = epsilon_setting(USUAL_EPSILON)
    norm: str = setting(Attack.norm, "What epsilon bounds: the largest change, or L2.", choices=NORMS)
    steps: int = setting(Attack.steps, "Steps of the methods that take several.", min=1)
    random_start: bool = setting(Attack.random_start, "Start the iterative method at a random point (PGD).")
    min_epsilon: bool = setting(False, "Find the smallest epsilon that works, up to --epsilon (or 32).")
    jpeg: int | None = setting(
        None, "Survive being saved as JPEG of this quality; a .jpg is written with it.", min=1, max=100
    )
    small: bool = setting(False, "Change the image at the network's size instead of its own.")
    noise: bool = setting(False, "Start from noise of the image's size instead of the image.")
    raw: bool = setting(False, "Write the adversarial image alone, not the panel.")
    strict: bool = setting(False, "A network that is not fooled is a failure (exit 1).")
    raw_format: str = PNG
    seed: int = 0

    def __post_init__(self) -> None:
        parse_epsilon(self.epsilon, self.norm)

    @property
    def format(self) -> str:
        """The extension of the file that the attack is judged by."""
        return self.raw_format if self.raw else PNG

    @property
    def largest_epsilon(self) -> float:
        """The bound of the perturbation in units of pixel value."""
        is_usual = self.min_epsilon and self.norm == "linf" and self.epsilon == USUAL_EPSILON
        return parse_epsilon(LARGEST_MINIMAL if is_usual else self.epsilon, self.norm)

    @property
    def chosen_method(self) -> str:
        """The method asked for, or else one step where that suffices: measured, it seldom reaches a target or
        survives a lossy file."""
        from cnnviz.imaging.encoding import is_lossless

        if self.method is not None:
            return self.method
        is_lossy = self.jpeg is not None or not is_lossless(self.format)
        return "fgsm" if self.target is None and self.norm == "linf" and not is_lossy else "iterative"

    def attack(self, target: int | None, label: int | None) -> Attack:
        """The library's settings, with the classes by their indices."""
        return Attack(
            method=self.chosen_method,
            epsilon=self.largest_epsilon,
            norm=self.norm,
            target=target,
            label=label,
            steps=self.steps,
            random_start=self.random_start,
            seed=self.seed,
            confidence=CONFIDENCE if self.method in (None, "iterative") else 0.0,
        )

    def run(self, network: Network, image: LoadedImage, monitor: StepMonitor) -> Result:
        from cnnviz.adversarial.image_attack import fool, minimal_attack
        from cnnviz.adversarial.objective import class_names
        from cnnviz.network.targets import find_class

        names = class_names(network)
        target, label = (None if name is None else find_class(names, name) for name in (self.target, self.label))
        self._require_file_for(network)
        start, pipeline = self._start(image)
        find = minimal_attack if self.min_epsilon else fool
        found = find(network, start, self.attack(target, label), pipeline)
        warnings = self._warnings(image, found, pipeline)
        return Result(
            _metadata(found, pipeline),
            found.adversarial if self.raw else _panel(network, image, found, pipeline),
            target=found.after[1],
            recipe={} if target is None else {"target": {"index": target, "label": names[target]}},
            quality=pipeline.quality,
            warnings=warnings,
        )

    def _start(self, image: LoadedImage) -> tuple[Image, ImagePipeline]:
        """The image to be changed, and how the network reads it."""
        from cnnviz.adversarial.image_attack import noise
        from cnnviz.adversarial.image_loading import ImagePipeline
        from cnnviz.imaging.pixels import to_pil_image

        has_alpha = image.pixels.shape[1] == _RGBA
        whole = to_pil_image(image.bands.values) if has_alpha and image.bands is not None else image.original
        start = to_pil_image(image.pixels) if self.small else whole
        if self.noise:
            start = noise(start.size, self.seed, _RGBA if has_alpha else 3)
        # An image of the network's size is seen as it is; cutting its center out again would show something else.
        crop = False if self.small else image.crop
        return start, ImagePipeline(image.size, crop, self.jpeg, self.format, has_alpha)

    def _require_file_for(self, network: Network) -> None:
        """UsageError unless a file of the format holds all the channels that the network sees."""
        from cnnviz.imaging.encoding import is_lossless

        channels = network.spec.channels
        if not network.spec.is_photo and channels != _RGBA:
            raise UsageError(
                f"An adversarial image is judged by its file, and files hold 1, 3 or 4 channels; {network.name} takes "
                f"images of {channels}."
            )
        if channels == _RGBA and (self.jpeg is not None or not is_lossless(self.format)):
            raise UsageError(f"The {channels} channels that {network.name} takes are kept by a .png or .tif only.")

    def _warnings(self, image: LoadedImage, found: AttackResult, pipeline: ImagePipeline) -> list[str]:
        """Warnings about the attack; ImageError if it failed and ``strict`` is set."""
        name, attack = image.source.display, found.attack
        if found.success:
            if pipeline.is_lossless or attack.norm != "linf" or found.linf <= attack.epsilon + 1e-6:
                return []
            return [
                f"{name}: the attack keeps to {epsilon_text(attack.epsilon, attack.norm)}; saving as "
                f"{pipeline.format} changes pixels by up to {found.linf * 255:.0f}/255."
            ]
        file = "" if pipeline.is_lossless else f" of the {pipeline.format} file"
        file = " after JPEG" if pipeline.jpeg is not None else file
        message = f"was not fooled: it still says {found.after[1]} {percent(found.after[2])}{file}."
        is_lossless = pipeline.is_lossless
        if self.strict:
            raise ImageError(f"The network {message}", remedy="stronger_attack", is_lossless=is_lossless)
        return [Remark(f"{name}: the network {message}", remedy="stronger_attack", is_lossless=is_lossless)]


def _metadata(found: AttackResult, pipeline: ImagePipeline) -> dict[str, Any]:
    from cnnviz.imaging.image_metrics import psnr, ssim

    attack = found.attack
    return {
        "success": found.success,
        "before": prediction_json(found.before),
        "after": prediction_json(found.after),
        "method": attack.method,
        "epsilon": attack.epsilon,
        "norm": attack.norm,
        "linf": round(found.linf, 6),
        "l2": round(found.l2, 4),
        "psnr": _rounded(psnr(found.original, found.loaded), 2),
        "ssim": _rounded(ssim(found.original, found.loaded), 5),
        "jpeg": pipeline.jpeg,
        "judged_as": pipeline.format,
        "tried": found.tried,
    }


def _rounded(value: float, digits: int) -> float | None:
    """None for what has no value: the PSNR of equal images, the SSIM of images smaller than its window."""
    return round(value, digits) if math.isfinite(value) else None


def _panel(network: Network, image: LoadedImage, found: AttackResult, pipeline: ImagePipeline) -> Image:
    """The original, the magnified perturbation, and the adversarial image, each with what the network says."""
    from cnnviz.figures.fooling import fooling_panel
    from cnnviz.imaging.bands import select_channels, show
    from cnnviz.imaging.pixels import from_pixels

    before, after = (f"{label} {percent(probability)}" for _, label, probability in (found.before, found.after))
    outcome, attack = "fooled" if found.success else "not fooled", found.attack
    original, adversarial = (pipeline.pixels(each) for each in (found.original, found.adversarial))
    seen = [show(from_pixels(each), image.channels).image for each in (original, adversarial)]
    return fooling_panel(
        seen[0],
        select_channels((adversarial - original)[0], image.channels)[None],
        seen[1],
        found.linf,
        before,
        after,
        f"{network.name} {outcome} by {attack.method}, ε = {epsilon_text(attack.epsilon, attack.norm)}",
    )
