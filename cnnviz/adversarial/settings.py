"""Settings of the attacks and their defaults, each written once; importing this module imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from cnnviz.errors import UsageError
from cnnviz.settings import setting

NORMS = ("linf", "l2")
METHODS = ("fgsm", "iterative", "ascent", "deepfool")
UNIVERSAL_METHODS = ("gradient", "deepfool")


def check_norm(norm: str, epsilon: float) -> None:
    """Raise UsageError for an unknown norm, or an epsilon that is negative, infinite or NaN."""
    if norm not in NORMS:
        raise UsageError(f"There is no norm '{norm}'; give linf or l2.")
    if not 0 <= epsilon < float("inf"):
        raise UsageError(f"Epsilon must be a number of at least 0, not {epsilon}.")


@dataclass(frozen=True)
class Attack:
    """The settings of an attack on one image.

    Attributes:
        method: one of ``METHODS``.
        epsilon: the largest perturbation in ``norm`` at the image's own resolution, in units of pixel value.
        norm: ``linf`` or ``l2``.
        target: the class index to be classified as; None for any class but ``label``.
        label: the class index to move away from; None for the predicted class.
        steps: of the methods that take several.
        random_start: start the iterative method at a random point of the ball.
        seed: of the random start.
        confidence: without a target, a probability in [0, 1]; where the network is fooled with less, the iterative
            method continues within epsilon toward the class that is predicted by then.
    """

    method: str = "fgsm"
    epsilon: float = 2 / 255
    norm: str = "linf"
    target: int | None = None
    label: int | None = None
    steps: int = 30
    random_start: bool = False
    seed: int = 0
    confidence: float = 0.0

    def validate(self) -> None:
        """Raise UsageError if the settings contradict each other."""
        check_norm(self.norm, self.epsilon)
        if self.method not in METHODS:
            raise UsageError(f"There is no method '{self.method}'; give one of {', '.join(METHODS)}.")
        if self.method == "fgsm" and self.norm != "linf":
            raise UsageError("fgsm steps along the gradient's sign, so its norm is linf.", remedy="iterative_attack")
        if self.method == "ascent" and self.target is None:
            raise UsageError("ascent raises the score of one class: it needs a target.", remedy="attack_target")
        if self.method == "deepfool" and self.target is not None:
            raise UsageError("deepfool goes to the nearest class and takes no target.", remedy="iterative_attack")


@dataclass(frozen=True)
class UniversalSettings:
    """The settings of ``universal_perturbation``, which explains them."""

    epsilon: float = 10 / 255
    norm: str = setting("linf", "Norm that epsilon bounds.", choices=NORMS)
    method: str = setting(
        "gradient", "gradient (a few images suffice) or deepfool (the 2017 paper).", choices=UNIVERSAL_METHODS
    )
    rate: float = setting(0.95, "Stop when this fraction of the images is fooled.", min=0, max=1, metavar="0..1")
    passes: int = setting(30, "Largest number of passes over the images.", min=1)
    seed: int = 0

    def validate(self) -> None:
        """Raise UsageError for an unknown method or norm, or a negative epsilon."""
        check_norm(self.norm, self.epsilon)
        if self.method not in UNIVERSAL_METHODS:
            raise UsageError(f"There is no method '{self.method}'; give {' or '.join(UNIVERSAL_METHODS)}.")
