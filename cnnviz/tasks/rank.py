"""Methods ranked over many images: their scores with intervals, beside maps that know nothing of the network."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.attribution.registry import METHODS, AttributionMethod, select_methods
from cnnviz.errors import CnnvizError, ImageError, UsageError
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.runtime.paths import is_folder
from cnnviz.settings import setting
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.boxes import rank_boxes_setting
from cnnviz.tasks.shared.explanations import wanted_target

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.attribution.metrics.ranking import ImageScores, Ranking
    from cnnviz.network.network import Network
    from cnnviz.pipeline.collection_job import ImageCollection
    from cnnviz.pipeline.inputs import ImageSource
    from cnnviz.pipeline.marked_objects import MarkedObjects


@dataclass(frozen=True)
class Rank(TaskDefaults):
    """Ranks ``methods`` on the images of a collection; ``target`` and ``versus`` are what is explained."""

    maps: tuple[str, ...] | None = setting(
        None, "With --rank: maps made elsewhere, FOLDER/{stem}.npy; may be repeated.", names=("--map",),
        metavar="NAME=FOLDER",
    )  # fmt: skip
    boxes: str | None = rank_boxes_setting()
    methods: str = "saliency"
    target: str | None = None
    versus: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        select_methods(self.methods)
        _ = self.folders

    @property
    def sidecars(self) -> Sequence[str]:
        return (".csv", ".json")

    @property
    def folders(self) -> dict[str, Path]:
        """The folders of maps made elsewhere, by the names that they get. UsageError for names that are not free."""
        from cnnviz.attribution.metrics.baselines import BASELINES

        found: dict[str, Path] = {}
        for text in self.maps or ():
            name, equals, folder = text.partition("=")
            if not (name and equals and folder):
                raise UsageError(f"Maps made elsewhere have a name and a folder, as in mine=maps/, not '{text}'.")
            if name in found or name in METHODS or name in BASELINES:
                raise UsageError(f"The name '{name}' of maps made elsewhere is taken; give another.")
            found[name] = Path(folder)
        return found

    def run(self, network: Network, images: ImageCollection) -> Result:
        from cnnviz.attribution.metrics.ranking import rank, ranking_fills
        from cnnviz.pipeline.marked_objects import MarkedObjects
        from cnnviz.report.comparison import usable_methods

        for name, folder in self.folders.items():
            if not is_folder(folder):
                raise UsageError(f"There is no folder '{folder}' of maps called '{name}'.")
        methods = usable_methods([network], list(select_methods(self.methods).values()))
        marked = MarkedObjects.of(Path(self.boxes)) if self.boxes else None
        fills = ranking_fills([kind for method in methods for kind in method.made_with])
        refused: dict[str, str] = {}
        scores: list[ImageScores] = []
        with images.reporter.progress(len(images.sources), "images") as advance:
            for source in images.sources:
                try:
                    scores.append(self._measured(network, images, source, methods, refused, fills, marked))
                except CnnvizError as error:
                    images.fail(source, error)
                advance("")
        if not scores:
            raise images.nothing_read()
        shown = [name for name in scores[0].values["hiding"] if name not in refused]
        found = rank([_only(each, shown) for each in scores], fills, seed=self.seed)
        return Result(
            {**ranking_json(found), **({"refused": refused} if refused else {})},
            _figure(network, found),
            _text(found),
            sidecars={".csv": _csv(found), ".json": json.dumps(ranking_json(found), indent=2).encode()},
            warnings=[f"Left out {name}: {reason}" for name, reason in refused.items()],
        )

    def _measured(
        self,
        network: Network,
        images: ImageCollection,
        source: ImageSource,
        methods: Sequence[AttributionMethod],
        refused: dict[str, str],
        fills: Sequence[Any],
        marked: MarkedObjects | None,
    ) -> ImageScores:
        """The scores of one image; ``refused`` gets the methods that the network does not allow."""
        from cnnviz.attribution.metrics.ranking import image_scores
        from cnnviz.attribution.targets import ResolvedOnce
        from cnnviz.pipeline.image_loading import read_image

        image = read_image(source, network, images.config)
        once = ResolvedOnce(wanted_target(self.target, self.versus))
        maps = {name: read_map(folder / f"{source.stem}.npy", image) for name, folder in self.folders.items()}
        for method in methods:
            if method.name in refused:
                continue
            try:
                values = method(network, image.pixels, once, **method.accepted(seed=self.seed))
                maps[method.name] = _smoothed(values, method.blur)
            except UsageError as error:
                refused[method.name] = str(error)
        (explanation,) = once.explanations(network, image.pixels)
        mask = marked_mask(marked, image, explanation.target.label)
        return image_scores(network, image.pixels, maps, explanation.explained, fills, mask=mask, seed=self.seed)


def marked_mask(marked: MarkedObjects | None, image: LoadedImage, label: str) -> Tensor | None:
    """Where the marked objects of a class are in what the network sees; None where none is marked."""
    from cnnviz.pipeline.marked_objects import object_mask

    found = marked.marked(image.source) if marked else None
    drawn = object_mask(image, found, label) if found else None
    return drawn[0] if drawn else None


def _smoothed(values: Tensor, sigma: float) -> Tensor:
    """A map as it is shown over the photo."""
    from cnnviz.imaging.pixel_ops import gaussian_blur

    return gaussian_blur(values.detach().cpu().float(), sigma)


def read_map(path: Path, image: LoadedImage) -> Tensor:
    """A map of an image from a ``.npy`` file, (1, 1, H, W) at the size the network sees; ImageError for no map."""
    import numpy as np
    import torch
    from torch.nn.functional import interpolate

    try:
        values = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise ImageError(f"There is no map '{path}' for '{image.source.display}'.") from error
    except (OSError, ValueError, EOFError) as error:
        raise ImageError(f"'{path}' is no map: an array of numbers as numpy.save writes it.") from error
    shape = values.shape
    is_map = values.ndim >= 2 and values.size == shape[-1] * shape[-2] > 0 and values.dtype.kind in "fiub"
    if not is_map or not np.isfinite(values).all():
        raise ImageError(f"'{path}' is no map: finite numbers of the shape (H, W), not {values.dtype} {shape}.")
    found = torch.from_numpy(values.astype(np.float32).reshape(1, 1, *shape[-2:]))
    size = image.pixels.shape[2:]
    return found if found.shape[2:] == size else interpolate(found, tuple(size), mode="bilinear", align_corners=False)


def _only(scores: ImageScores, names: Sequence[str]) -> ImageScores:
    """The scores of these maps; those of a method that another image refused are left out."""
    all_names = list(scores.values["hiding"])
    places = [place for place, name in enumerate(all_names[: len(scores.agreement)]) if name in names]
    values = {metric: {name: found[name] for name in names} for metric, found in scores.values.items()}
    return replace(scores, values=values, agreement=scores.agreement[places][:, places])


def title_of(name: str) -> str:
    """The name of a method, a baseline or maps made elsewhere in figures."""
    from cnnviz.attribution.metrics.baselines import BASELINES

    return METHODS[name].title if name in METHODS else BASELINES.get(name, name)


def _rounded(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def ranking_json(found: Ranking) -> dict[str, Any]:
    """The ranking as metadata and the file beside the sheet have it."""
    return {
        "images": found.images,
        "level": 0.95,
        "fills": list(found.fills),
        "best_baseline": found.best_baseline,
        "ranking": [
            {
                "name": row.name,
                "baseline": row.is_baseline,
                **{metric: [_rounded(value) for value in values] for metric, values in row.values.items()},
                "margin": [_rounded(value) for value in row.margin],
            }
            for row in found.rows
        ],
        "agreement": {
            one: {other: round(value, 4) for other, value in row.items()} for one, row in found.agreement.items()
        },
    }


def _csv(found: Ranking) -> bytes:
    metrics = [*found.rows[0].values, "margin"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rank", "map", "baseline", *(f"{name}{end}" for name in metrics for end in ("", " low", " high"))])
    for place, row in enumerate(found.rows, 1):
        values = {**row.values, "margin": row.margin}
        numbers = [_rounded(value) for name in metrics for value in values[name]]
        writer.writerow([place, row.name, "yes" if row.is_baseline else "no", *numbers])
    return text.getvalue().encode()


def _text(found: Ranking) -> list[str]:
    lines = [f"{found.images} {'image' if found.images == 1 else 'images'}, insertion − deletion area, 95 %:"]
    for place, row in enumerate(found.rows, 1):
        mean, low, high = row.values["hiding"]
        interval = f" ({low:+.3f} to {high:+.3f})" if math.isfinite(low) else ""
        note = "  knows nothing of the network" if row.is_baseline else ""
        lines.append(f"  {place:2}  {mean:+.3f}{interval}  {title_of(row.name)}{note}")
    return lines


def _figure(network: Network, found: Ranking) -> Image:
    from cnnviz.attribution.metrics.ranking import METRICS
    from cnnviz.figures.intervals import Row
    from cnnviz.figures.ranking import ranking_sheet

    plots = []
    for metric in found.rows[0].values:
        title, high_is_good = METRICS[metric]
        rows = [
            Row(title_of(row.name), *row.values[metric], color="#999999" if row.is_baseline else "#1f77b4")
            for row in found.rows
        ]
        plots.append((f"{title} ({'high' if high_is_good else 'low'} is good)", rows))
    count = f"{found.images} {'image' if found.images == 1 else 'images'}"
    return ranking_sheet(plots, f"{network.name}: maps of {count} ranked; gray: know nothing of the network")
