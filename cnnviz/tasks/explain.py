"""The map to believe, chosen and measured for the network and image at hand, or that none is to be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cnnviz.attribution.registry import METHODS, AttributionMethod
from cnnviz.errors import UsageError
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.pipeline.true_classes import TrueClasses
from cnnviz.settings import setting
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.explanations import explanation_result, target_setting, versus_setting, wanted_target
from cnnviz.tasks.shared.true_classes import TrueClassTask, classes_setting

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.attribution.metrics.certificate import Certificate
    from cnnviz.attribution.targets import Explanation, ResolvedOnce
    from cnnviz.network.network import Network

DECLINED = "no map is better than guessing the middle"
"""What a figure says where no map is certified."""

_QUICK = ("saliency", "input-x-gradient", "guided", "gradcam", "hirescam", "layercam", "fullgrad")
_USUAL = (*_QUICK, "smoothgrad", "integrated", "gradcam++", "guided-gradcam", "occlusion")


@dataclass(frozen=True)
class Budget:
    """How much is tried: these methods (all if None), this number of shares hidden in turn, and of jitters."""

    methods: tuple[str, ...] | None
    steps: int
    jitters: int

    def chosen(self, network: Network) -> list[AttributionMethod]:
        """The methods to try on a network: all it allows where it allows none of the budget's."""
        from cnnviz.report.comparison import usable_methods

        usable = usable_methods([network], [METHODS[name] for name in self.methods or METHODS])
        return usable or usable_methods([network], list(METHODS.values()))


BUDGETS = {
    "fast": Budget(_QUICK, steps=4, jitters=1),
    "normal": Budget(_USUAL, steps=6, jitters=2),
    "thorough": Budget(None, steps=8, jitters=4),
}


@dataclass(frozen=True)
class ExplainAnswer:
    """The map chosen for one image, and its certificate.

    Attributes:
        explanation: the class predicted and the class explained.
        certificate: which map was chosen, and whether it is better than the baselines.
        chosen: that map, (1, 1, H, W), smoothed as it is shown; None where no method gives one.
        refused: why a method gives no map, by its name.
    """

    explanation: Explanation
    certificate: Certificate
    chosen: Tensor | None
    refused: Mapping[str, str]


@dataclass(frozen=True)
class Explain(TrueClassTask, TaskDefaults):
    """The best map of each image by a budget of methods, certified to be better than maps that know nothing."""

    target: str | None = target_setting()
    versus: str | None = versus_setting()
    budget: str = setting(
        "normal",
        "How much is tried. fast: methods of a few passes; thorough: all methods.",
        choices=tuple(BUDGETS),
    )
    classes: str | None = classes_setting()
    known_classes: TrueClasses | None = field(default=None, compare=False)
    seed: int = 0

    @property
    def batchable(self) -> bool:
        return False

    def compute(self, network: Network, pixels: Tensor) -> Sequence[ExplainAnswer]:
        return [self._explain(network, image) for image in pixels.split(1)]

    def _explain(self, network: Network, image: Tensor) -> ExplainAnswer:
        from cnnviz.attribution.metrics.certificate import certify
        from cnnviz.attribution.targets import ResolvedOnce

        budget, once = BUDGETS[self.budget], ResolvedOnce(wanted_target(self.target, self.versus))
        maps, refused = _maps(network, image, once, budget.chosen(network), self.seed)
        (explanation,) = once.explanations(network, image)
        found = certify(
            network,
            image,
            maps,
            explanation.explained,
            made_with={name: METHODS[name].made_with for name in maps},
            steps=budget.steps,
            jitters=budget.jitters,
            seed=self.seed,
        )
        return ExplainAnswer(explanation, found, maps.get(found.method or ""), refused)

    def render(self, network: Network, image: LoadedImage, answer: ExplainAnswer) -> Result:
        explanation, found = answer.explanation, answer.certificate
        certificate = certificate_json(found, BUDGETS[self.budget].steps, network.has_probabilities)
        refused = {"refused": dict(answer.refused)} if answer.refused else {}
        tried = {"tried": {name: round(margin, 4) for name, margin in found.choice.margins.items()}}
        figure = self._figure(network, image, answer)
        result = explanation_result(
            figure, explanation, **self.true_json(image.source), **certificate, **tried, **refused
        )
        result.recipe = {**result.recipe, **certificate}
        result.text = [f"  {line}" for line in reading(found, explanation.name)]
        return result

    def _figure(self, network: Network, image: LoadedImage, answer: ExplainAnswer) -> Image:
        from cnnviz.figures.captions import explanation_title
        from cnnviz.figures.certificate import certificate_figure
        from cnnviz.figures.maps import MapStyle

        found, drawn = answer.certificate, None
        if found.certified and found.method is not None and answer.chosen is not None:
            method = METHODS[found.method]
            style = MapStyle("overlay", percentile=method.percentile, blur=0.0, signed=method.signed)
            drawn = style.draw(answer.chosen, image.photo), method.title
        title = explanation_title(network.name, answer.explanation, self.true_label(image.source))
        return certificate_figure(
            image.photo,
            image.caption,
            drawn,
            [(title_of(name), score, name == found.method) for name, score in found.scores.items()],
            [title, *reading(found, answer.explanation.name)],
        )


def _maps(
    network: Network, image: Tensor, target: ResolvedOnce, methods: Sequence[AttributionMethod], seed: int
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Each method's map (1, 1, H, W), smoothed as it is shown over the photo, and why the others have none."""
    from cnnviz.imaging.pixel_ops import gaussian_blur

    maps, refused = {}, {}
    for method in methods:
        try:
            found = method(network, image, target, **method.accepted(seed=seed))
        except UsageError as error:
            refused[method.name] = str(error)
            continue
        maps[method.name] = gaussian_blur(found.detach().cpu().float(), method.blur)
    return maps, refused


def title_of(name: str) -> str:
    """The name of a method or a baseline in figures."""
    from cnnviz.attribution.metrics.baselines import BASELINES

    return METHODS[name].title if name in METHODS else BASELINES.get(name, name)


def certificate_json(found: Certificate, steps: int, is_probability: bool) -> dict[str, Any]:
    """The certificate as metadata and recipe have it."""
    low, high = found.margin
    return {
        "verdict": "certified" if found.certified else "declined",
        **({"reason": found.reason} if found.reason else {}),
        "method": found.method,
        "baseline": found.baseline,
        "margin": [round(low, 4), round(high, 4)],
        "measured": {
            "score": f"insertion minus deletion area of the {'probability' if is_probability else 'value'}",
            "margin": round(found.estimate, 4),
            "level": 0.99,
            "fills": list(found.fills),
            "jitters": found.jitters,
            "steps": steps,
            "scores": {name: round(score, 4) for name, score in found.scores.items()},
            "moved": round(found.moved, 4),
        },
    }


def reading(found: Certificate, whose: str) -> list[str]:
    """A certificate in sentences."""
    if found.method is None:
        return [f"{DECLINED}: {found.reason}."]
    title, low, high = title_of(found.method), *found.margin
    measured = (
        f"{found.estimate:+.3f} ({low:+.3f} to {high:+.3f}, 99 %) over the best that knows nothing of the network, "
        f"{title_of(found.baseline)}; {len(found.fills)} fills × {found.jitters} "
        f"{'jitter' if found.jitters == 1 else 'jitters'} that did not choose it"
    )
    if found.certified:
        return [
            f"Hiding where {title} is bright takes {whose} its score sooner than any map that knows nothing would.",
            f"{title}: {measured}.",
        ]
    moved = f"{found.reason} (by {found.moved:.4f})" if "hardly" in found.reason else found.reason
    return [f"{DECLINED}: {moved}.", f"The best tried, {title}: {measured}."]
