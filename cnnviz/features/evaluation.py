"""How a classifier does on images whose classes are known: accuracy, confusion matrix, and its mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from cnnviz.network.prediction import Prediction


@dataclass(frozen=True)
class Judgment:
    """What a network says of one image whose class is known.

    Attributes:
        name: the image's.
        true: its class, with the score that the network gives it.
        predicted: the class with the highest score.
        rank: the true class's place by score, 1 for the highest.
    """

    name: str
    true: Prediction
    predicted: Prediction
    rank: int

    @property
    def is_mistake(self) -> bool:
        """Whether the class predicted is another than the true one."""
        return self.true[0] != self.predicted[0]


def judged(name: str, ranked: Sequence[Prediction], true: int) -> Judgment:
    """The judgment of an image by its predictions (all classes, highest score first) and its true class's index."""
    rank = next(place for place, prediction in enumerate(ranked, 1) if prediction[0] == true)
    return Judgment(name, ranked[rank - 1], ranked[0], rank)


@dataclass(frozen=True)
class ConfusionMatrix:
    """How often images of each class were taken for each class.

    Attributes:
        rows: the true classes, by index, in the network's order.
        columns: the classes that images are or were taken for, in the network's order.
        counts: (rows, columns) int64.
    """

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Evaluation:
    """The judgments of some images by a network.

    Attributes:
        judgments: one for each image.
        classes: how many the network has.
        is_probability: whether its scores are probabilities.
    """

    judgments: Sequence[Judgment]
    classes: int
    is_probability: bool = True

    @cached_property
    def labels(self) -> dict[int, str]:
        """The name of each class that an image is or was taken for."""
        return {p[0]: p[1] for judgment in self.judgments for p in (judgment.true, judgment.predicted)}

    def top(self, k: int) -> int:
        """For how many images the true class is among the ``k`` with the highest scores."""
        return sum(judgment.rank <= k for judgment in self.judgments)

    @property
    def accuracy(self) -> float:
        """The fraction of images whose class is predicted, in [0, 1]."""
        return self.top(1) / len(self.judgments)

    @property
    def top5(self) -> float | None:
        """The fraction of images whose class is among the five likeliest; None for so few classes that it must be."""
        return self.top(5) / len(self.judgments) if self.classes > 5 else None

    @cached_property
    def mistakes(self) -> list[Judgment]:
        """Those whose class was not predicted, the highest score of the wrong class first."""
        wrong = [judgment for judgment in self.judgments if judgment.is_mistake]
        return sorted(wrong, key=lambda judgment: (-judgment.predicted[2], judgment.name))

    @cached_property
    def matrix(self) -> ConfusionMatrix:
        """The confusion matrix."""
        pairs = Counter((judgment.true[0], judgment.predicted[0]) for judgment in self.judgments)
        rows = sorted({true for true, _ in pairs})
        columns = sorted({*rows, *(predicted for _, predicted in pairs)})
        counts = np.zeros((len(rows), len(columns)), np.int64)
        for (true, predicted), count in pairs.items():
            counts[rows.index(true), columns.index(predicted)] = count
        return ConfusionMatrix(tuple(rows), tuple(columns), counts)
