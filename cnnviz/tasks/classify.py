"""Names the likeliest classes of an image; where its class is known, says how often the network is right."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from cnnviz.figures.captions import score_column
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.pipeline.true_classes import TrueClasses
from cnnviz.settings import setting
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.explanations import prediction_json
from cnnviz.tasks.shared.true_classes import TrueClassTask, classes_setting, ranked

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.features.evaluation import Evaluation, Judgment
    from cnnviz.network.network import Network
    from cnnviz.network.prediction import Prediction

_MOST_LISTED = 20
"""Mistakes in words; the table has all."""

MATRIX, MISTAKES = ".csv", ".mistakes.csv"
"""The suffixes of the tables beside the figure."""


@dataclass(frozen=True)
class Classify(TrueClassTask, TaskDefaults):
    """The ``top`` likeliest classes of each image.

    With ``classes`` each image is judged, and ``summarize`` makes accuracy, confusion matrix and mistakes of all.
    """

    writes: ClassVar[bool] = False

    top: int = setting(5, "How many classes to list.", min=1, names=("--top", "-k"))
    classes: str | None = classes_setting()
    known_classes: TrueClasses | None = field(default=None, compare=False)

    @property
    def sidecars(self) -> Sequence[str]:
        return (MATRIX, MISTAKES)

    def compute(self, network: Network, pixels: Tensor) -> Sequence[Sequence[Prediction]]:
        return ranked(network, pixels) if self.known_classes else network.predict(pixels, self.top)

    def render(self, network: Network, image: LoadedImage, answer: Sequence[Prediction]) -> Result:
        width = len(str(network.classes - 1))
        shown = answer[: self.top]
        scores = [score_column(each.score, network.has_probabilities) for each in shown]
        longest = max(map(len, scores))
        lines = [
            f"  {score:>{longest}}  {i:>{width}}  {label}" for score, (i, label, _) in zip(scores, shown, strict=True)
        ]
        metadata = {"predictions": [prediction_json(each, network.has_probabilities) for each in shown]}
        true = self.true_class(image.source)
        if true is None:
            return Result(metadata, text=[image.source.display, *lines])
        from cnnviz.features.evaluation import judged

        found = judged(image.source.display, answer, true)
        place = f" (rank {found.rank})" if found.is_mistake else ""
        known = {
            "true": prediction_json(found.true, network.has_probabilities),
            "correct": not found.is_mistake,
            "rank": found.rank,
        }
        return Result(metadata | known, text=[f"{image.source.display}  true: {found.true[1]}{place}", *lines])

    def summarize(self, name: str, classes: int, records: Sequence[tuple[str, Mapping[str, Any]]]) -> Result | None:
        """Accuracy, confusion matrix and mistakes; None where no image's class is known.

        Args:
            name: the network's.
            classes: how many it has.
            records: each image's name, and the metadata that ``render`` gave for it.
        """
        from cnnviz.features.evaluation import Evaluation

        known = [(image, metadata) for image, metadata in records if "true" in metadata]
        if not known:
            return None
        is_probability = "probability" in known[0][1]["true"]
        found = Evaluation([_judgment(*record) for record in known], classes, is_probability)
        tables = {MATRIX: _matrix_table(found), MISTAKES: _mistakes_table(found)}
        return Result({"summary": _summary(found)}, _figure(name, found), _text(found), sidecars=tables)


def _judgment(image: str, metadata: Mapping[str, Any]) -> Judgment:
    from cnnviz.features.evaluation import Judgment

    true, predicted = (tuple(each.values()) for each in (metadata["true"], metadata["predictions"][0]))
    return Judgment(image, true, predicted, metadata["rank"])  # type: ignore[arg-type]


def _summary(found: Evaluation) -> dict[str, Any]:
    """The summary of all images as ``--json`` prints it."""
    rows = found.matrix.rows
    per_class = [_class_json(found, row, index) for row, index in enumerate(rows)]
    return {
        "pictures": len(found.judgments),
        "correct": found.top(1),
        "accuracy": round(found.accuracy, 6),
        "top5": None if found.top5 is None else round(found.top5, 6),
        "classes": per_class,
        "mistakes": [
            {
                "input": each.name,
                "true": prediction_json(each.true, found.is_probability),
                "predicted": prediction_json(each.predicted, found.is_probability),
            }
            for each in found.mistakes
        ],
    }


def _class_json(found: Evaluation, row: int, index: int) -> dict[str, Any]:
    """The counts of the images of one class, as JSON."""
    matrix = found.matrix
    counts = zip(matrix.columns, matrix.counts[row].tolist(), strict=True)
    taken_for = {found.labels[column]: count for column, count in counts if count and column != index}
    correct = int(matrix.counts[row, matrix.columns.index(index)])
    pictures = int(matrix.counts[row].sum())
    about = {"index": index, "label": found.labels[index], "pictures": pictures, "correct": correct}
    return {**about, "taken_for": taken_for}


def _text(found: Evaluation) -> list[str]:
    """The summary in words."""
    count, classes = len(found.judgments), len(found.matrix.rows)
    top5 = "" if found.top5 is None else f", top-5 {found.top5:.1%}"
    lines = [
        f"{classes:,} {'class' if classes == 1 else 'classes'}, {count:,} {'image' if count == 1 else 'images'}: "
        f"accuracy {found.accuracy:.1%} ({found.top(1):,} of {count:,}){top5}"
    ]
    if found.mistakes:
        lines.append(
            f"{len(found.mistakes):,} {'mistake' if len(found.mistakes) == 1 else 'mistakes'}, most certain first:"
        )
    for each in found.mistakes[:_MOST_LISTED]:
        predicted, true = (score_column(p[2], found.is_probability) for p in (each.predicted, each.true))
        lines.append(f"  {predicted}  {each.name}: {each.predicted[1]}, not {each.true[1]} ({true.strip()})")
    more = len(found.mistakes) - _MOST_LISTED
    return [*lines, f"  and {more:,} more"] if more > 0 else lines


def _figure(name: str, found: Evaluation) -> Image:
    """The confusion matrix of the classes that images are of; the others that they were taken for are one column."""
    from cnnviz.figures.confusion import confusion_figure

    matrix = found.matrix
    own = [matrix.columns.index(index) for index in matrix.rows]
    inside = matrix.counts[:, own]
    other = matrix.counts.sum(1) - inside.sum(1)
    title = f"{name}: {found.accuracy:.1%} of {len(found.judgments):,} images".replace("%", " %")
    labels = [found.labels[index] for index in matrix.rows]
    return confusion_figure(inside, labels, title, other=other if other.any() else None)


def _matrix_table(found: Evaluation) -> bytes:
    """The confusion matrix with a row for each true class and a column for each predicted one."""
    names = _distinct(found.labels)
    rows = [["true \\ predicted", *(names[index] for index in found.matrix.columns)]]
    counts = zip(found.matrix.rows, found.matrix.counts.tolist(), strict=True)
    return _csv([*rows, *([names[index], *row] for index, row in counts)])


def _distinct(labels: Mapping[int, str]) -> dict[int, str]:
    """The labels, with the index where two are alike, as ImageNet's two maillots."""
    texts = list(labels.values())
    return {index: f"{label} ({index})" if texts.count(label) > 1 else label for index, label in labels.items()}


def _mistakes_table(found: Evaluation) -> bytes:
    score = "probability" if found.is_probability else "value"
    header = ["file", "true", "predicted", score, f"{score} of true", "rank of true"]
    rows = [
        [each.name, each.true[1], each.predicted[1], each.predicted[2], each.true[2], each.rank]
        for each in found.mistakes
    ]
    return _csv([header, *rows])


def _csv(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode(errors="surrogateescape")
