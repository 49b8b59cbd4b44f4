"""Every attribution method, once: commands, reports, docs and tests read it from here.

To add a method, write its function in a file of this package and an entry at the end of ``_ALL``, from which
``METHODS`` is made. Importing this module imports no torch: functions are named by their path and loaded when they are
called.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from cnnviz.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.attribution.targets import Target
    from cnnviz.network.network import Network


@dataclass(frozen=True)
class AttributionMethod:
    """An attribution method: how to call it, how to draw its map and how to read it.

    Args:
        name: what ``compare`` and ``report`` know it by.
        title: its name in figures.
        function: path of ``function(network, pixels, target, **settings)``, which takes pixels (N, 3, H, W) in [0, 1]
            and returns (N, 1, H, W) or (N, 3, H, W).
        question: the question that it answers.
        caveat: when not to believe it.
        formula: its map, with the class score S, pixels x and feature maps A.
        command: the command that offers it, beside ``compare`` and ``report``.
        options: the options that choose it there; ``{"method": name}`` if None.
        settings: the function's keyword arguments that commands may set.
        signed: whether both signs of the map mean something; drawn on a diverging scale.
        percentile: magnitudes above this percentile of the map are clipped.
        blur: standard deviation, in pixels, of the Gaussian that smooths the map where it lies over the image.
        batchable: whether several images may be computed at once (see ``TaskDefaults``).
        has_overlay: whether the command can lay the map over the image.
        needs_gradients: whether the network must have gradients; without, scores alone are compared.
        needs_layers: whether it must show a layer's maps, which programs and exported black boxes do not.
        asks_for_class: whether the map depends on the class.
    """

    name: str
    title: str
    function: str
    question: str
    caveat: str
    formula: str = ""
    command: str = "saliency"
    options: Mapping[str, Any] | None = field(default=None, hash=False)
    settings: tuple[str, ...] = ()
    signed: bool = False
    percentile: float = 99.0
    blur: float = 2.0
    batchable: bool = True
    has_overlay: bool = True
    needs_gradients: bool = True
    needs_layers: bool = False
    asks_for_class: bool = True

    def lacking(self, network: Network) -> str:
        """What the method needs and the network does not have: ``gradients``, ``layers``, or nothing."""
        if self.needs_gradients and not network.has_gradients:
            return "gradients"
        return "layers" if self.needs_layers and network.black_box is not None else ""

    @property
    def command_options(self) -> Mapping[str, Any]:
        """The options of ``command`` that choose this method."""
        return {"method": self.name} if self.options is None else self.options

    def overlay_command(self) -> tuple[str, dict[str, Any]]:
        """The command that lays the map over the image as ``compare`` and ``report`` do, and its options."""
        if not self.has_overlay:
            return "compare", {"methods": self.name}
        blur = {"blur": self.blur} if self.blur else {}
        return self.command, {"view": "overlay", **self.command_options, **blur}

    def accepted(self, **values: Any) -> dict[str, Any]:
        """Those of ``values`` that are settings of this method."""
        return {name: value for name, value in values.items() if name in self.settings}

    def attribute(self, network: Network, pixels: Tensor, target: Target = None, **settings: Any) -> Tensor:
        """The function's attribution of pixels (N, 3, H, W): (N, 1, H, W), or (N, 3, H, W) with color channels."""
        module, _, name = self.function.rpartition(".")
        attribution: Tensor = getattr(import_module(module), name)(network, pixels, target, **settings)
        return attribution

    def map_of(self, attribution: Tensor) -> Tensor:
        """The map (N, 1, H, W): the sum over color channels if signed, otherwise their largest magnitude."""
        if attribution.shape[1] == 1:
            return attribution
        return attribution.sum(1, keepdim=True) if self.signed else attribution.abs().amax(1, keepdim=True)

    def __call__(self, network: Network, pixels: Tensor, target: Target = None, **settings: Any) -> Tensor:
        """The map (N, 1, H, W) of pixels (N, 3, H, W)."""
        return self.map_of(self.attribute(network, pixels, target, **settings))


def by_key(pairs: Iterable[tuple[str, AttributionMethod]]) -> dict[str, AttributionMethod]:
    """The methods by their keys; ValueError for two with one key."""
    found: dict[str, AttributionMethod] = {}
    for key, method in pairs:
        other = found.setdefault(key, method)
        if other is not method:
            raise ValueError(f"The attribution methods {other.name!r} and {method.name!r} are both chosen by {key!r}.")
    return found


_ALL = (
    AttributionMethod(
        "saliency",
        "saliency",
        "cnnviz.attribution.gradients.saliency",
        "To which pixels is the score most sensitive?",
        "Sensitivity is not importance: a saturated score has small gradients everywhere.",
        "max over RGB of |∂S/∂x|",
        options={},
    ),
    AttributionMethod(
        "smoothgrad",
        "SmoothGrad",
        "cnnviz.attribution.smoothgrad.smoothgrad",
        "To which pixels is it sensitive on average, with a little noise added?",
        "Smoother is not truer: the noise chooses what is averaged away.",
        "max over RGB of |mean ∂S/∂(x + noise)|",
        settings=("samples", "sigma", "seed"),
        batchable=False,
    ),
    AttributionMethod(
        "integrated",
        "integrated gradients",
        "cnnviz.attribution.integrated_gradients.integrated_gradients",
        "Which pixels brought the score up, starting from a black image?",
        "The baseline decides: from black, dark pixels can hardly count.",
        "(x − x₀) · ∫ ∂S/∂x from x₀ to x",
        settings=("steps", "baseline"),
        signed=True,
        batchable=False,
    ),
    AttributionMethod(
        "input-x-gradient",
        "input × gradient",
        "cnnviz.attribution.gradients.input_x_gradient",
        "What is each pixel's share of the score, to first order?",
        "Black pixels have no share whatever they mean.",
        "x · ∂S/∂x",
        signed=True,
    ),
    AttributionMethod(
        "guided",
        "guided backpropagation",
        "cnnviz.attribution.guided_backprop.guided_backprop",
        "What in the image excites the class, by positive evidence only?",
        "Edges look sharp for every class and for random weights too.",
        "∂S/∂x, negative gradients dropped at every ReLU",
        command="guided",
        options={},
        has_overlay=False,
    ),
    AttributionMethod(
        "deconvnet",
        "deconvnet",
        "cnnviz.attribution.guided_backprop.deconvnet",
        "What pattern would have caused this activation, projected back?",
        "It depends on the image mostly through the pooling, and less on the class than it seems.",
        "∂S/∂x, with ReLU applied to gradients in place of its own derivative",
        command="guided",
        has_overlay=False,
    ),
    AttributionMethod(
        "gradcam",
        "Grad-CAM",
        "cnnviz.attribution.cam.grad_cam",
        "Which places of the last feature maps speak for the class?",
        "Its resolution is the layer's, a dozen cells across, however smooth it looks.",
        "ReLU(Σ mean(∂S/∂A) · A)",
        command="gradcam",
        options={},
        settings=("layer", "smooth"),
        percentile=100.0,
        blur=0.0,
    ),
    AttributionMethod(
        "gradcam++",
        "Grad-CAM++",
        "cnnviz.attribution.cam.grad_cam_plus_plus",
        "Which places speak for the class, where it is seen several times?",
        "Positive gradients alone are counted: what speaks against the class is not taken off.",
        "ReLU(Σ Σ(α · ReLU(∂S/∂A)) · A), α = 1 / (2 + ∂S/∂A · ΣA)",
        command="gradcam",
        settings=("layer", "smooth"),
        percentile=100.0,
        blur=0.0,
    ),
    AttributionMethod(
        "hirescam",
        "HiResCAM",
        "cnnviz.attribution.cam.hires_cam",
        "Which places of the last maps did the score come from, position by position?",
        "Where a linear layer follows the mean of the maps it is Grad-CAM; elsewhere it is coarser than its name.",
        "ReLU(Σ ∂S/∂A · A)",
        command="gradcam",
        settings=("layer", "smooth"),
        percentile=100.0,
        blur=0.0,
    ),
    AttributionMethod(
        "xgradcam",
        "XGrad-CAM",
        "cnnviz.attribution.cam.xgrad_cam",
        "Which places speak for the class, if the maps' shares must add up to the score?",
        "The shares add up only as far as the network after the layer is linear.",
        "ReLU(Σ (Σ ∂S/∂A · A / ΣA) · A)",
        command="gradcam",
        settings=("layer", "smooth"),
        percentile=100.0,
        blur=0.0,
    ),
    AttributionMethod(
        "layercam",
        "LayerCAM",
        "cnnviz.attribution.cam.layer_cam",
        "Which places of an early or late layer speak for the class?",
        "Positive gradients alone are counted: what speaks against the class is not taken off.",
        "Σ ReLU(∂S/∂A) · A",
        command="gradcam",
        settings=("layer", "smooth"),
        percentile=100.0,
        blur=0.0,
    ),
    AttributionMethod(
        "scorecam",
        "Score-CAM",
        "cnnviz.attribution.gradient_free_cam.score_cam",
        "Which maps, laid over the image as masks, keep the class's score?",
        "A masked image is like none that the network was trained with; one map often takes all the weight.",
        "ReLU(Σ softmax(S(x seen through A)) · A)",
        command="gradcam",
        settings=("layer", "smooth"),
        percentile=100.0,
        blur=0.0,
        batchable=False,
        needs_gradients=False,
        needs_layers=True,
    ),
    AttributionMethod(
        "ablationcam",
        "Ablation-CAM",
        "cnnviz.attribution.gradient_free_cam.ablation_cam",
        "Which maps does the score drop without?",
        "Maps that say the same stand in for each other, and none of them seems to matter.",
        "ReLU(Σ (S − S without A) · A)",
        command="gradcam",
        settings=("layer", "smooth"),
        percentile=100.0,
        blur=0.0,
        batchable=False,
        needs_gradients=False,
        needs_layers=True,
    ),
    AttributionMethod(
        "eigencam",
        "Eigen-CAM",
        "cnnviz.attribution.gradient_free_cam.eigen_cam",
        "Where do the last maps vary together, whatever the class?",
        "It asks for no class, and shows the same for all.",
        "ReLU(first principal component of A)",
        command="gradcam",
        settings=("layer", "smooth"),
        percentile=100.0,
        blur=0.0,
        needs_gradients=False,
        needs_layers=True,
        asks_for_class=False,
    ),
    AttributionMethod(
        "finercam",
        "Finer-CAM",
        "cnnviz.attribution.cam.finer_cam",
        "Which places tell the class from those most like it?",
        "What the like classes share with it is dark, the object itself perhaps.",
        "Grad-CAM of S − Σ pᵈ Sᵈ / Σ pᵈ over the three classes d nearest to it",
        command="gradcam",
        settings=("layer", "smooth"),
        percentile=100.0,
        blur=0.0,
    ),
    AttributionMethod(
        "refinecam",
        "RefineCAM",
        "cnnviz.attribution.cam.refine_cam",
        "Where do early and late layers agree that the class is?",
        "One layer that is dark at a place makes it dark.",
        "Π Grad-CAM++ of each layer, scaled to [0, 1]",
        command="gradcam",
        settings=("layer", "smooth"),
        percentile=100.0,
        blur=0.0,
    ),
    AttributionMethod(
        "shapleycam",
        "ShapleyCAM",
        "cnnviz.attribution.cam.shapley_cam",
        "Which places have a share in the class's score and probability, to second order?",
        "The second order is of the softmax alone where the network is made of ReLUs.",
        "ReLU(Σ mean(∂S/∂A − ½ ∂²S/∂A² A) · A), S + log p for S",
        command="gradcam",
        settings=("layer", "smooth"),
        percentile=100.0,
        blur=0.0,
    ),
    AttributionMethod(
        "guided-gradcam",
        "guided Grad-CAM",
        "cnnviz.attribution.cam.guided_grad_cam",
        "What fine detail lies where the last maps speak for the class?",
        "The detail is guided backpropagation's and shares its flaws.",
        "guided backpropagation · Grad-CAM",
        command="gradcam",
        options={"guided": True},
        settings=("layer", "smooth"),
    ),
    AttributionMethod(
        "occlusion",
        "occlusion",
        "cnnviz.attribution.occlusion.occlusion",
        "Where does hiding a patch cost the class its score?",
        "One patch at a time cannot show that either of two parts would do.",
        "S(x) − S(x with a patch hidden)",
        command="occlusion",
        options={},
        settings=("patch", "stride", "fill", "score", "batch", "algorithm", "seed", "approximate"),
        percentile=100.0,
        blur=0.0,
        batchable=False,
        needs_gradients=False,
    ),
)

METHODS: Mapping[str, AttributionMethod] = by_key((method.name, method) for method in _ALL)
"""The methods by name."""


DEFAULT_COMPARED = "saliency,smoothgrad,guided,gradcam,occlusion"
"""The methods that are compared where none is named; of a network without gradients, those that need none."""

DEFAULT_REPORTED = "saliency,smoothgrad,integrated,input-x-gradient,guided,deconvnet,gradcam,guided-gradcam,occlusion"
"""The methods on a report's page where none is named."""


def methods_of(command: str, default: str) -> dict[str, AttributionMethod]:
    """The methods that ``command`` offers, by the value of its ``method`` option; ``default`` is the first one's.

    Those that another option chooses are left out.

    Raises:
        ValueError: two entries of the command that its ``method`` option does not tell apart.
    """
    offered = (
        method for method in METHODS.values() if method.command == command and set(method.command_options) <= {"method"}
    )
    return by_key((method.command_options.get("method", default), method) for method in offered)


def select_methods(names: str) -> dict[str, AttributionMethod]:
    """The methods named in ``names``, separated by commas, by name.

    Raises:
        UsageError: an unknown name, or none at all; the message lists all methods.
    """
    wanted = dict.fromkeys(name.strip().lower() for name in names.split(",") if name.strip())
    choices = ", ".join(METHODS)
    for name in wanted:
        if name not in METHODS:
            near = difflib.get_close_matches(name, METHODS, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UsageError(f"There is no method '{name}'{hint}; the choices are {choices}.")
    if not wanted:
        raise UsageError(f"No method is named; the choices are {choices}.")
    return {name: METHODS[name] for name in wanted}
