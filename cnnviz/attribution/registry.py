"""Every attribution method, once: commands, reports, docs and tests read it from here.

To add a method, write its function in a file of this package and an entry at the end of ``_ALL``, from which
``METHODS`` is made. Importing this module imports no torch: functions are named by their path and loaded when they are
called.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from cnnviz.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.attribution.targets import ResolvedOnce, Target
    from cnnviz.network.network import Network


ONE_PASS = "1 pass forward and back"
"""The cost of most methods that read one gradient."""


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
        made_with: the kinds of what it hides pixels with, of ``metrics.fills``: these do not measure its map.
        needs_layers: whether it must show a layer's maps, which programs and exported black boxes do not.
        asks_for_class: whether the map depends on the class.
        paper: where it was published: authors, venue, year, arXiv.
        cost: how many passes through the network it takes, with its defaults.
        sum_error: path of ``function(network, pixels, attribution, target, **settings)``, which returns for each image
            how far the attribution is from summing up to the score, as a fraction; JSON has it by the function's name.
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
    made_with: tuple[str, ...] = ()
    needs_layers: bool = False
    asks_for_class: bool = True

    paper: str = ""
    cost: str = ONE_PASS
    sum_error: str = ""

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

    def attribute(
        self, network: Network, pixels: Tensor, target: Target | ResolvedOnce = None, **settings: Any
    ) -> Tensor:
        """The function's attribution of pixels (N, 3, H, W): (N, 1, H, W), or (N, 3, H, W) with color channels."""
        attribution: Tensor = _loaded(self.function)(network, pixels, target, **settings)
        return attribution

    def sum_errors(
        self,
        network: Network,
        pixels: Tensor,
        attribution: Tensor,
        target: Target | ResolvedOnce = None,
        **settings: Any,
    ) -> list[dict[str, float]]:
        """How far the attribution of each image is from summing up to the score, by its name; nothing if unknown."""
        if not self.sum_error:
            return [{} for _ in range(len(pixels))]
        errors: Tensor = _loaded(self.sum_error)(network, pixels, attribution, target, **settings)
        name = self.sum_error.rpartition(".")[2]
        return [{name: round(error, 6)} for error in errors.tolist()]

    def map_of(self, attribution: Tensor) -> Tensor:
        """The map (N, 1, H, W): the sum over color channels if signed, otherwise their largest magnitude."""
        if attribution.shape[1] == 1:
            return attribution
        return attribution.sum(1, keepdim=True) if self.signed else attribution.abs().amax(1, keepdim=True)

    def __call__(
        self, network: Network, pixels: Tensor, target: Target | ResolvedOnce = None, **settings: Any
    ) -> Tensor:
        """The map (N, 1, H, W) of pixels (N, 3, H, W)."""
        return self.map_of(self.attribute(network, pixels, target, **settings))


def _loaded(path: str) -> Callable[..., Any]:
    """The function at a dotted path."""
    module, _, name = path.rpartition(".")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function


def by_key(pairs: Iterable[tuple[str, AttributionMethod]]) -> dict[str, AttributionMethod]:
    """The methods by their keys; ValueError for two with one key."""
    found: dict[str, AttributionMethod] = {}
    for key, method in pairs:
        other = found.setdefault(key, method)
        if other is not method:
            raise ValueError(f"The attribution methods {other.name!r} and {method.name!r} are both chosen by {key!r}.")
    return found


_CAM: dict[str, Any] = {"command": "gradcam", "percentile": 100.0, "blur": 0.0}
"""What the methods of ``gradcam`` have in common."""

_HIDING: dict[str, Any] = {
    "percentile": 100.0,
    "blur": 0.0,
    "batchable": False,
    "needs_gradients": False,
    "made_with": ("constant",),
}
"""The settings shared by the methods that hide parts of the image."""

_PATH: dict[str, Any] = {"signed": True, "batchable": False, "made_with": ("constant",)}
"""The settings shared by the methods that average gradients between a baseline and the image."""

_ALL = (
    AttributionMethod(
        "saliency",
        "saliency",
        "cnnviz.attribution.gradients.saliency",
        "To which pixels is the score most sensitive?",
        "Sensitivity is not importance: a saturated score has small gradients everywhere.",
        "max over RGB of |∂S/∂x|",
        options={},
        paper="Simonyan, Vedaldi & Zisserman, ICLR workshop 2014, arXiv:1312.6034",
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
        paper="Smilkov et al. 2017, arXiv:1706.03825",
        cost="50 passes forward and back",
    ),
    AttributionMethod(
        "integrated",
        "integrated gradients",
        "cnnviz.attribution.integrated_gradients.integrated_gradients",
        "Which pixels brought the score up, starting from a black image?",
        "The baseline decides: from black, dark pixels can hardly count.",
        "(x − x₀) · ∫ ∂S/∂x from x₀ to x",
        settings=("steps", "baseline"),
        paper="Sundararajan, Taly & Yan, ICML 2017, arXiv:1703.01365",
        cost="64 passes forward and back",
        sum_error="cnnviz.attribution.integrated_gradients.completeness_error",
        **_PATH,
    ),
    AttributionMethod(
        "input-x-gradient",
        "input × gradient",
        "cnnviz.attribution.gradients.input_x_gradient",
        "What is each pixel's share of the score, to first order?",
        "Black pixels have no share whatever they mean.",
        "x · ∂S/∂x",
        signed=True,
        paper="Shrikumar et al. 2016, arXiv:1605.01713",
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
        paper="Springenberg et al., ICLR workshop 2015, arXiv:1412.6806",
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
        paper="Zeiler & Fergus, ECCV 2014, arXiv:1311.2901",
    ),
    AttributionMethod(
        "gradcam",
        "Grad-CAM",
        "cnnviz.attribution.cam.grad_cam",
        "Which places of the last feature maps speak for the class?",
        "Its resolution is the layer's, a dozen cells across, however smooth it looks.",
        "ReLU(Σ mean(∂S/∂A) · A)",
        options={},
        settings=("layer", "smooth"),
        paper="Selvaraju et al., ICCV 2017, arXiv:1610.02391",
        **_CAM,
    ),
    AttributionMethod(
        "gradcam++",
        "Grad-CAM++",
        "cnnviz.attribution.cam.grad_cam_plus_plus",
        "Which places speak for the class, where it is seen several times?",
        "Positive gradients alone are counted: what speaks against the class is not taken off.",
        "ReLU(Σ Σ(α · ReLU(∂S/∂A)) · A), α = 1 / (2 + ∂S/∂A · ΣA)",
        settings=("layer", "smooth"),
        paper="Chattopadhay et al., WACV 2018, arXiv:1710.11063",
        **_CAM,
    ),
    AttributionMethod(
        "hirescam",
        "HiResCAM",
        "cnnviz.attribution.cam.hires_cam",
        "Which places of the last maps did the score come from, position by position?",
        "Where a linear layer follows the mean of the maps it is Grad-CAM; elsewhere it is coarser than its name.",
        "ReLU(Σ ∂S/∂A · A)",
        settings=("layer", "smooth"),
        paper="Draelos & Carin 2020, arXiv:2011.08891",
        **_CAM,
    ),
    AttributionMethod(
        "xgradcam",
        "XGrad-CAM",
        "cnnviz.attribution.cam.xgrad_cam",
        "Which places speak for the class, if the maps' shares must add up to the score?",
        "The shares add up only as far as the network after the layer is linear.",
        "ReLU(Σ (Σ ∂S/∂A · A / ΣA) · A)",
        settings=("layer", "smooth"),
        paper="Fu et al., BMVC 2020, arXiv:2008.02312",
        **_CAM,
    ),
    AttributionMethod(
        "layercam",
        "LayerCAM",
        "cnnviz.attribution.cam.layer_cam",
        "Which places of an early or late layer speak for the class?",
        "Positive gradients alone are counted: what speaks against the class is not taken off.",
        "Σ ReLU(∂S/∂A) · A",
        settings=("layer", "smooth"),
        paper="Jiang et al., IEEE TIP 2021",
        **_CAM,
    ),
    AttributionMethod(
        "scorecam",
        "Score-CAM",
        "cnnviz.attribution.gradient_free_cam.score_cam",
        "Which maps, laid over the image as masks, keep the class's score?",
        "A masked image is like none that the network was trained with; one map often takes all the weight.",
        "ReLU(Σ softmax(S(x seen through A)) · A)",
        settings=("layer", "smooth"),
        batchable=False,
        needs_gradients=False,
        needs_layers=True,
        paper="Wang et al., CVPR workshop 2020, arXiv:1910.01279",
        cost="a pass forward for each map of the layer",
        made_with=("constant",),
        **_CAM,
    ),
    AttributionMethod(
        "ablationcam",
        "Ablation-CAM",
        "cnnviz.attribution.gradient_free_cam.ablation_cam",
        "Which maps does the score drop without?",
        "Maps that say the same stand in for each other, and none of them seems to matter.",
        "ReLU(Σ (S − S without A) · A)",
        settings=("layer", "smooth"),
        batchable=False,
        needs_gradients=False,
        needs_layers=True,
        paper="Desai & Ramaswamy, WACV 2020",
        cost="for each map of the layer a pass forward from there",
        **_CAM,
    ),
    AttributionMethod(
        "eigencam",
        "Eigen-CAM",
        "cnnviz.attribution.gradient_free_cam.eigen_cam",
        "Where do the last maps vary together, whatever the class?",
        "It asks for no class, and shows the same for all.",
        "ReLU(first principal component of A)",
        settings=("layer", "smooth"),
        needs_gradients=False,
        needs_layers=True,
        asks_for_class=False,
        paper="Muhammad & Yeasin, IJCNN 2020, arXiv:2008.00299",
        cost="1 pass forward",
        **_CAM,
    ),
    AttributionMethod(
        "finercam",
        "Finer-CAM",
        "cnnviz.attribution.cam.finer_cam",
        "Which places tell the class from those most like it?",
        "What the like classes share with it is dark, the object itself perhaps.",
        "Grad-CAM of S − Σ pᵈ Sᵈ / Σ pᵈ over the three classes d nearest to it",
        settings=("layer", "smooth"),
        paper="Zhang et al., CVPR 2025, arXiv:2501.11309",
        **_CAM,
    ),
    AttributionMethod(
        "refinecam",
        "RefineCAM",
        "cnnviz.attribution.cam.refine_cam",
        "Where do early and late layers agree that the class is?",
        "One layer that is dark at a place makes it dark.",
        "Π Grad-CAM++ of each layer, scaled to [0, 1]",
        settings=("layer", "smooth"),
        paper="2026, arXiv:2605.14641",
        **{**_CAM, "percentile": 99.0},  # a product has few large values
    ),
    AttributionMethod(
        "shapleycam",
        "ShapleyCAM",
        "cnnviz.attribution.cam.shapley_cam",
        "Which places have a share in the class's score and probability, to second order?",
        "The second order is of the softmax alone where the network is made of ReLUs.",
        "ReLU(Σ mean(∂S/∂A − ½ ∂²S/∂A² A) · A), S + log p for S",
        settings=("layer", "smooth"),
        paper="Cai 2025, arXiv:2501.06261",
        cost="1 pass forward, 2 back",
        **_CAM,
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
        paper="Selvaraju et al., ICCV 2017, arXiv:1610.02391",
        cost="2 passes forward and back",
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
        settings=("patch", "stride", "fill", "score", "batch", "algorithm", "seed"),
        paper="Zeiler & Fergus, ECCV 2014, arXiv:1311.2901",
        cost="a pass forward for each of some 600 patches, of what it reaches",
        **_HIDING,
    ),
    AttributionMethod(
        "vargrad",
        "VarGrad",
        "cnnviz.attribution.vargrad.vargrad",
        "Where does the gradient change most with a little noise?",
        "It hardly depends on the class: a gradient of either sign counts alike.",
        "max over RGB of var ∂S/∂(x + noise)",
        settings=("samples", "sigma", "seed"),
        batchable=False,
        paper="Adebayo et al., ICLR workshop 2018, arXiv:1810.03307",
        cost="50 passes forward and back",
    ),
    AttributionMethod(
        "squaregrad",
        "SquareGrad",
        "cnnviz.attribution.vargrad.squaregrad",
        "Where is the gradient large, of whatever sign, with a little noise?",
        "Few pixels hold most of it; gradients that cancel in SmoothGrad count in full.",
        "max over RGB of mean (∂S/∂(x + noise))²",
        settings=("samples", "sigma", "seed"),
        batchable=False,
        paper="Hooker et al., NeurIPS 2019, arXiv:1806.10758",
        cost="50 passes forward and back",
    ),
    AttributionMethod(
        "expected-gradients",
        "expected gradients",
        "cnnviz.attribution.expected_gradients.expected_gradients",
        "Which pixels brought the score up, starting from other images?",
        "The other images decide; with few of them the map shows them, too.",
        "mean over x₀ and t of (x − x₀) · ∂S/∂x at x₀ + t (x − x₀)",
        settings=("samples", "baselines", "seed"),
        paper="Erion et al., Nature Machine Intelligence 2021, arXiv:1906.10670",
        cost="50 passes forward and back",
        sum_error="cnnviz.attribution.expected_gradients.completeness_error",
        **_PATH,
    ),
    AttributionMethod(
        "gradientshap",
        "GradientSHAP",
        "cnnviz.attribution.expected_gradients.gradient_shap",
        "What is each pixel's Shapley value, were the score nearly linear?",
        "It is not, so these are no Shapley values; noise and baselines decide with it.",
        "mean of (x + noise − x₀) · ∂S/∂x between x₀ and x + noise",
        settings=("samples", "sigma", "baselines", "seed"),
        paper="Lundberg & Lee, NeurIPS 2017, arXiv:1705.07874",
        cost="50 passes forward and back",
        sum_error="cnnviz.attribution.expected_gradients.completeness_error",
        **_PATH,
    ),
    AttributionMethod(
        "blur-integrated",
        "blur integrated gradients",
        "cnnviz.attribution.path_gradients.blur_integrated_gradients",
        "Which details brought the score up, starting from a blurred image?",
        "Flat areas and broad colors, which a blur leaves, can hardly count.",
        "Σ ∂S/∂x · Δx, from blurred to sharp",
        settings=("steps",),
        signed=True,
        batchable=False,
        paper="Xu, Venugopalan & Sundararajan, CVPR 2020, arXiv:2004.03383",
        cost="64 passes forward and back",
        sum_error="cnnviz.attribution.path_gradients.completeness_error",
        made_with=("blur",),
    ),
    AttributionMethod(
        "guided-integrated",
        "guided integrated gradients",
        "cnnviz.attribution.path_gradients.guided_integrated_gradients",
        "Which pixels brought the score up, on a path around noisy gradients?",
        "The path is chosen by the network, so two maps do not compare the same images.",
        "Σ ∂S/∂x · Δx, values of the least |∂S/∂x| first",
        settings=("steps", "baseline"),
        paper="Kapishnikov et al., CVPR 2021, arXiv:2106.09788",
        cost="64 passes forward and back, one after another",
        sum_error="cnnviz.attribution.integrated_gradients.completeness_error",
        **_PATH,
    ),
    AttributionMethod(
        "fullgrad",
        "FullGrad",
        "cnnviz.attribution.fullgrad.fullgrad",
        "Which places hold the score, the network's biases included?",
        "Each layer is scaled to its own largest value, so a weak one counts like a strong one.",
        "Σ |x · ∂S/∂x| + Σ |b · ∂S/∂b|, each scaled to [0, 1]",
        blur=0.0,
        paper="Srinivas & Fleuret, NeurIPS 2019, arXiv:1905.00780",
    ),
    AttributionMethod(
        "rise",
        "RISE",
        "cnnviz.attribution.rise.rise",
        "Where does the score rise with a pixel in sight, whatever else is hidden?",
        "Blurred by its masks, and noisy with few of them; a small object between cells is lost.",
        "mean of S(masked x) where a pixel is visible − mean S",
        settings=("masks", "cells", "fill", "score", "seed"),
        signed=True,
        paper="Petsiuk, Das & Saenko, BMVC 2018, arXiv:1806.07421",
        cost="1000 passes forward",
        **_HIDING,
    ),
    AttributionMethod(
        "ablation",
        "feature ablation",
        "cnnviz.attribution.feature_ablation.feature_ablation",
        "Which superpixel's loss costs the class its score?",
        "One superpixel at a time cannot show that either of two parts would do.",
        "S(x) − S(x without a superpixel)",
        settings=("segments", "fill", "score", "seed"),
        signed=True,
        paper="after Zeiler & Fergus, ECCV 2014, arXiv:1311.2901",
        cost="a pass forward for each of 50 superpixels, of what it reaches",
        **_HIDING,
    ),
    AttributionMethod(
        "lime",
        "LIME",
        "cnnviz.attribution.local_models.lime",
        "Which superpixels raise the score, were their effects to add up?",
        "They do not add up; another seed, or number of superpixels, gives another map.",
        "weights of a ridge regression of S on visible superpixels",
        settings=("masks", "segments", "fill", "score", "seed"),
        signed=True,
        paper="Ribeiro, Singh & Guestrin, KDD 2016, arXiv:1602.04938",
        cost="1000 passes forward",
        **_HIDING,
    ),
    AttributionMethod(
        "kernelshap",
        "KernelSHAP",
        "cnnviz.attribution.local_models.kernel_shap",
        "What is each superpixel's fair share of the score?",
        "Most of the images it is judged by show little of the photo, unlike any the network knows.",
        "Shapley values of S over superpixels",
        settings=("masks", "segments", "fill", "score", "seed"),
        signed=True,
        paper="Lundberg & Lee, NeurIPS 2017, arXiv:1705.07874",
        cost="1000 passes forward",
        **_HIDING,
    ),
    AttributionMethod(
        "xrai",
        "XRAI",
        "cnnviz.attribution.xrai.xrai",
        "Which regions of the image hold the most of the score?",
        "Regions follow colors, not the network: two objects of one color are one.",
        "mean integrated gradients of regions, the largest first",
        settings=("steps",),
        percentile=98.0,
        blur=0.0,
        paper="Kapishnikov et al., ICCV 2019, arXiv:1906.02825",
        cost="128 passes forward and back, and segmentations",
        **_PATH,
    ),
    AttributionMethod(
        "deeplift",
        "DeepLIFT",
        "cnnviz.attribution.deeplift.deeplift",
        "What is each pixel's share of the score's difference from that of a black image?",
        "Only networks of ReLUs, sigmoids and max pooling have rules; the baseline decides.",
        "(x − x₀) · ∂S/∂x, with Δy/Δx for the derivative of every nonlinearity",
        settings=("baseline",),
        signed=True,
        paper="Shrikumar, Greenside & Kundaje, ICML 2017, arXiv:1704.02685",
        cost="1 pass forward and back, of two images",
        sum_error="cnnviz.attribution.integrated_gradients.completeness_error",
    ),
    AttributionMethod(
        "lrp",
        "LRP",
        "cnnviz.attribution.lrp.lrp",
        "To which pixels does the score go, if each layer divides it by what its inputs contribute?",
        "The rules decide: others, as well founded, give another map.",
        "Rⱼ = Σₖ aⱼ (wⱼₖ + γ wⱼₖ⁺) / Σⱼ aⱼ (wⱼₖ + γ wⱼₖ⁺) · Rₖ",
        signed=True,
        paper="Bach et al., PLOS ONE 2015",
        cost="2 passes forward, 1 back",
        sum_error="cnnviz.attribution.lrp.conservation_error",
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


GROUPS: Mapping[str, Callable[[AttributionMethod], bool]] = {
    "all": lambda method: True,
    "cam": lambda method: method.command == "gradcam",
    "fast": lambda method: method.cost.startswith(("1 pass", "2 pass")),
}
"""Names that stand for several methods; those of them that are not defined for a network are left out."""


def all_named(names: str) -> bool:
    """Whether ``names`` are methods that are each wanted by their own name, so that none may be left out."""
    return not any(name.strip().lower() in GROUPS for name in names.split(","))


def select_methods(names: str) -> dict[str, AttributionMethod]:
    """The methods named in ``names``, separated by commas, by name; ``all``, ``cam`` and ``fast`` stand for several.

    Raises:
        UsageError: an unknown name, or none at all; the message lists all methods.
    """
    wanted = dict.fromkeys(name.strip().lower() for name in names.split(",") if name.strip())
    choices = ", ".join((*GROUPS, *METHODS))
    found: dict[str, AttributionMethod] = {}
    for name in wanted:
        if name in GROUPS:
            found |= {key: method for key, method in METHODS.items() if GROUPS[name](method)}
        elif name in METHODS:
            found[name] = METHODS[name]
        else:
            near = difflib.get_close_matches(name, METHODS, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UsageError(f"There is no method '{name}'{hint}; the choices are {choices}.")
    if not found:
        raise UsageError(f"No method is named; the choices are {choices}.")
    return found
