"""How a network is fooled: perturbations too small to see that change what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz._lazy import lazy_names

_HOME_OF = {
    "deepfool": "cnnviz.adversarial.boundary",
    "fgsm": "cnnviz.adversarial.gradient_sign",
    "fooling_image": "cnnviz.adversarial.ascent",
    "fooling_rate": "cnnviz.adversarial.universal",
    "iterative_fgsm": "cnnviz.adversarial.gradient_sign",
    "universal_perturbation": "cnnviz.adversarial.universal",
}

__all__ = list(_HOME_OF)

if TYPE_CHECKING:
    from cnnviz.adversarial.ascent import fooling_image as fooling_image
    from cnnviz.adversarial.boundary import deepfool as deepfool
    from cnnviz.adversarial.gradient_sign import fgsm as fgsm
    from cnnviz.adversarial.gradient_sign import iterative_fgsm as iterative_fgsm
    from cnnviz.adversarial.universal import fooling_rate as fooling_rate
    from cnnviz.adversarial.universal import universal_perturbation as universal_perturbation

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
