"""Which of several maps to believe, and whether any: chosen on some fills, measured on others, beside baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from cnnviz.attribution.blank import is_constant
from cnnviz.attribution.metrics.baselines import BASELINES, baseline_map
from cnnviz.attribution.metrics.bootstrap import Values, interval_of, resampled_means
from cnnviz.attribution.metrics.fills import CHOOSING, MEASURING, Fill
from cnnviz.attribution.metrics.hiding import Hiding, hiding
from cnnviz.attribution.metrics.jitters import steady_jitter
from cnnviz.attribution.targets import Target, TargetFunction, resolved_targets
from cnnviz.errors import UsageError
from cnnviz.imaging.checks import require_pixels
from cnnviz.network.network import Network

LEVEL = 0.99
LEAST_MOVED = 0.02
"""How far hiding has to move the score: a probability by that much, other values by that part of the clean one."""


@dataclass(frozen=True)
class Choice:
    """The margins and scores of all maps on the first half of the fills, which choose the best map.

    Attributes:
        margins: of each map its score minus the best baseline's, on the same fills; in the order of the best.
        scores: of each map and baseline the mean score over the fills that may measure it.
        fills: the names of those fills, of all.
    """

    margins: Mapping[str, float]
    scores: Mapping[str, float]
    fills: Sequence[str]


@dataclass(frozen=True)
class Certificate:
    """Whether a map is better than those that know nothing of the network.

    Attributes:
        certified: whether it is.
        method: the map chosen; None where there was none that shows anything.
        baseline: the best baseline on the measuring half.
        margin: the chosen map's score minus that of the best baseline: the 99 % interval (low, high).
        estimate: the same as measured.
        scores: of the chosen map and each baseline on the measuring half.
        moved: how far the score of the class moved whatever was hidden.
        reason: why no map is certified; empty for one that is.
        fills: the names of the fills that measured.
        jitters: with how many jitters of the image each.
        choice: what chose the map, on the other half.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> found = cnnviz.certify(network, pixels, {"map": cnnviz.saliency(network, pixels)}, steps=2, jitters=1)
        >>> sorted(found.scores)
        ['edges', 'map', 'middle', 'random', 'smooth-random']
    """

    certified: bool
    method: str | None
    baseline: str
    margin: tuple[float, float]
    estimate: float
    scores: Mapping[str, float]
    moved: float
    reason: str
    fills: Sequence[str]
    jitters: int
    choice: Choice


def certify(
    network: Network,
    pixels: Tensor,
    maps: Mapping[str, Tensor],
    target: Target = None,
    *,
    made_with: Mapping[str, Sequence[str]] | None = None,
    steps: int = 8,
    jitters: int = 2,
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> Certificate:
    """The best of some maps of an image, and whether it is better than maps that know nothing of the network.

    Twelve fills and some jitters of the image choose: the map with the largest mean margin over the best of the four
    baselines. Twelve other fills and other jitters measure that one map. Its margin's 99 % interval comes from a
    bootstrap over the fills, then over the jitters, in which the best baseline is found again each time; it is widened
    for the small number of fills. The map is certified where the interval lies above zero and hiding moves the score.

    Args:
        network: the network that the maps explain.
        pixels: (1, C, H, W) in [0, 1].
        maps: (1, 1, H, W) each, by name, larger where more important. Maps that are the same everywhere are left out.
        target: the class explained; the class predicted if None.
        made_with: the kinds of fills that maps were made with, by their names: these neither choose nor measure them.
        steps: shares of the pixels that are hidden in turn.
        jitters: of the image, in each half.
        seed: of the fills, the jitters, the baselines and the bootstrap.
        on_step: called with how many of all measurements are done.

    Raises:
        UsageError: several images, no such class, a map of another size, the name of a baseline, no steps or jitters.

    Example:
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> pixels = cnnviz.read_image("sample_images/chelsea.png", size=64)
        >>> maps = {"saliency": cnnviz.saliency(network, pixels), "gradcam": cnnviz.grad_cam(network, pixels)}
        >>> found = cnnviz.certify(network, pixels, maps, steps=4, jitters=1)
        >>> found.method in maps, found.margin[0] <= found.estimate <= found.margin[1]
        (True, True)
    """
    pixels = require_pixels(pixels, network.spec.channels)
    _require_maps(pixels, maps, steps, jitters)
    (explained,) = resolved_targets(network, pixels, target)
    shown = {name: found.detach().cpu().float() for name, found in maps.items() if not is_constant(found)}
    half = _Half(network, pixels, explained, made_with or {}, steps, jitters, seed)
    report = _counter(on_step, jitters * (len(CHOOSING) + len(MEASURING)))
    chosen_on = half.measured(CHOOSING, shown, 0, report)
    choice = chosen_on.choice(list(shown))
    best = next(iter(choice.margins), None)
    measured_on = half.measured(MEASURING, {best: shown[best]} if best else {}, 1, report)
    return measured_on.certificate(best, choice, half.seen(), network.has_probabilities, seed)


def _require_maps(pixels: Tensor, maps: Mapping[str, Tensor], steps: int, jitters: int) -> None:
    if len(pixels) != 1:
        raise UsageError(f"One image is judged at a time, not {len(pixels)}.")
    if steps < 1 or jitters < 1:
        raise UsageError("A certificate needs at least one step and one jitter.")
    for name, found in maps.items():
        if name in BASELINES:
            raise UsageError(f"'{name}' is the name of a baseline.")
        if found.shape != (1, 1, *pixels.shape[2:]):
            raise UsageError(
                f"The map '{name}' has the shape {tuple(found.shape)}; pixels {tuple(pixels.shape)} need "
                f"{(1, 1, *pixels.shape[2:])}."
            )


def _counter(on_step: Callable[[int, int], None] | None, total: int) -> Callable[[], None]:
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if on_step:
            on_step(done, total)

    return count


@dataclass
class _Half:
    """Measures maps by hiding, and remembers how far the score moved."""

    network: Network
    pixels: Tensor
    target: int | TargetFunction
    made_with: Mapping[str, Sequence[str]]
    steps: int
    jitters: int
    seed: int
    found: list[Hiding] = field(default_factory=list)

    def measured(
        self, fills: Sequence[Fill], maps: Mapping[str, Tensor], half: int, report: Callable[[], None]
    ) -> _Measured:
        """The scores of maps and baselines under the fills of one half, with that half's jitters."""
        names = [*maps, *BASELINES]
        scores = np.zeros((len(names), len(fills), self.jitters))
        for number in range(self.jitters):
            # Each half has its own jitters, and each jitter its own fills.
            seed = 1_000 * self.seed + 2 * number + half
            jitter = steady_jitter(self.network, self.pixels, self.target, seed)
            image = jitter.of_image(self.pixels)
            known = [jitter.of_maps(found) for found in maps.values()]
            for place, fill in enumerate(fills):
                drawn = 100 * seed + place
                # Random baselines are drawn for each fill: what one of them has by luck is then part of the interval.
                blind = [baseline_map(name, image, drawn).cpu() for name in BASELINES]
                hidden = hiding(
                    self.network, image, torch.cat([*known, *blind]), self.target, fill, steps=self.steps, seed=drawn
                )
                scores[:, place, number] = hidden.scores.numpy()
                self.found.append(hidden)
                report()
        return _Measured(names, list(fills), scores, self.made_with)

    def seen(self) -> tuple[float, float]:
        """The least and the largest score of the class, of all that were seen."""
        return min(each.least for each in self.found), max(each.largest for each in self.found)


@dataclass(frozen=True)
class _Measured:
    """Scores (maps and baselines, fills, jitters) of one half; the baselines come last."""

    names: list[str]
    fills: list[Fill]
    scores: Values
    made_with: Mapping[str, Sequence[str]]

    def allowed(self, name: str | None) -> list[int]:
        """The fills that may measure a map: those of other kinds than it was made with."""
        made = self.made_with.get(name, ()) if name else ()
        return [place for place, fill in enumerate(self.fills) if fill.kind not in made]

    def of(self, name: str, fills: list[int]) -> Values:
        return self.scores[self.names.index(name)][fills]

    def choice(self, methods: list[str]) -> Choice:
        margins, scores = {}, {}
        for name in [*methods, *BASELINES]:
            fills = self.allowed(name)
            scores[name] = round(float(self.of(name, fills).mean()), 6) if fills else float("nan")
        for name in methods:
            fills = self.allowed(name)
            if not fills:  # nothing is left to choose it by
                continue
            best = max(float(self.of(other, fills).mean()) for other in BASELINES)
            margins[name] = float(self.of(name, fills).mean()) - best
        ordered = dict(sorted(margins.items(), key=lambda pair: -pair[1]))
        return Choice(ordered, scores, [fill.name for fill in self.fills])

    def certificate(
        self, method: str | None, choice: Choice, seen: tuple[float, float], is_probability: bool, seed: int
    ) -> Certificate:
        fills = self.allowed(method)
        blind = np.stack([self.of(name, fills) for name in BASELINES])
        means = blind.mean((1, 2))
        baseline = list(BASELINES)[int(means.argmax())]
        scores = dict(zip(BASELINES, map(float, means), strict=True))
        moved, names = seen[1] - seen[0], [self.fills[place].name for place in fills]
        enough = moved >= LEAST_MOVED * (1.0 if is_probability else max(map(abs, seen)))
        if method is None:
            reason = "no method gives a map that shows anything"
            jitters = self.scores.shape[2]
            return Certificate(False, None, baseline, (0.0, 0.0), 0.0, scores, moved, reason, names, jitters, choice)
        own = self.of(method, fills)
        estimate = float(own.mean() - means.max())
        drawn = resampled_means(np.concatenate((own[None], blind)), seed)
        margin = interval_of(estimate, drawn[0] - drawn[1:].max(0), len(fills), LEVEL)
        reason = "" if margin[0] > 0 else "the interval of its margin over the best baseline holds zero"
        if not enough:
            reason = "the score hardly moves whatever is hidden"
        return Certificate(
            not reason, method, baseline, margin, estimate, {method: float(own.mean()), **scores}, moved, reason,
            names, own.shape[1], choice,
        )  # fmt: skip
