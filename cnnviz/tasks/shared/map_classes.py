"""What the colors of a map of images mean: folders, classes of the network, or what it predicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnviz.errors import ModelError, UsageError
from cnnviz.figures.class_colors import OTHER, limited_classes
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.reporter import Reporter
from cnnviz.pipeline.true_classes import FOLDER, TrueClasses
from cnnviz.tasks.shared.true_classes import among, bound_to, class_indices

if TYPE_CHECKING:
    from cnnviz.network.network import Network
    from cnnviz.network.prediction import Prediction

AUTO, PREDICTED, NONE = "auto", "predicted", "none"
WORDS = (AUTO, FOLDER, PREDICTED, NONE)

UNKNOWN = "not in the table"
"""The class of an image that the table lacks."""


@dataclass(frozen=True)
class MapClasses:
    """The classes of the images of a map.

    Attributes:
        names: of each image's class; empty if colors mean nothing.
        order: the names of all classes that there may be, in the order of their colors; empty for the alphabet's.
        mistaken: whether the network predicts another class, None where the true one is unknown; empty where no class
            is one of the network's.
    """

    names: Sequence[str] = ()
    order: Sequence[str] = ()
    mistaken: Sequence[bool | None] = ()

    def colors(self) -> tuple[list[str], dict[str, str]]:
        """The class of each image, rare ones taken together, and the color of each class."""
        names, colors = limited_classes(self.names, self.order)
        return names, {name: OTHER if name == UNKNOWN else color for name, color in colors.items()}

    def metadata(self) -> dict[str, Any]:
        """How many images are mistaken, where that is known."""
        judged = [wrong for wrong in self.mistaken if wrong is not None]
        if not judged:
            return {}
        return {"mistakes": sum(judged), "accuracy": round(1 - sum(judged) / len(judged), 6)}


def named(network: Network, index: int, probability: float) -> Prediction:
    """A prediction of the feature store with its class's name, empty for a network without classes.

    The class of a network of one logit is, where it is unlikely, the negation of its own.
    """
    from cnnviz.network.prediction import Prediction

    if index < 0:
        return Prediction(index, "", probability)
    if network.classes == 1 and network.has_probabilities and probability < 0.5:
        return Prediction(1, class_indices(network)[1], 1 - probability)
    return Prediction(index, network.label(index), probability)


def require_classes(value: str) -> None:
    """Raise UsageError unless ``value`` is one of ``WORDS``, or a CSV file that can be read."""
    if value in WORDS:
        return
    try:
        TrueClasses.of(value)
    except UsageError as error:
        if "there is no file" not in str(error):
            raise
        words = ", ".join(WORDS)
        raise UsageError(
            f"Classes are {words}, or a CSV file of images and classes; there is no file '{value}'."
        ) from None


def map_classes(
    value: str, network: Network, sources: Sequence[ImageSource], predicted: Sequence[int], reporter: Reporter
) -> MapClasses:
    """The classes of some images.

    Folders or words of a table that all name classes of the network are these; else they are taken as they are, and
    nothing is called a mistake. By ``auto`` folders count only where there are several, and numbers alone are no
    classes.

    Args:
        value: one of ``WORDS``, or a CSV file.
        network: whose classes may be meant.
        sources: the images.
        predicted: the index of the class that the network predicts for each; negative where it has none.
        reporter: gets a note of images that a table lacks.
    """
    labels = class_indices(network)
    if value == PREDICTED:
        return MapClasses([labels[index] for index in predicted], labels)
    if value == NONE:
        return MapClasses()
    folders = [source.path.parent.resolve().name if source.path else "" for source in sources]
    if value == AUTO and len(set(folders)) < 2:
        return MapClasses()
    known = among(TrueClasses.of(FOLDER if value == AUTO else value), sources, reporter)
    try:
        bound = bound_to(known, network, has_indices=value != AUTO or not all(map(str.isdigit, folders)))
    except (UsageError, ModelError):  # other words than the network's, or a network without a classifier
        if known.table is None:
            return MapClasses(folders)
        words = ((known.names_of(source) or (UNKNOWN,))[0] for source in sources)
        return MapClasses(list(words))
    indices = [bound.index(source) for source in sources]
    names = [UNKNOWN if index is None else labels[index] for index in indices]
    mistaken = [None if i is None or p < 0 else i != p for i, p in zip(indices, predicted, strict=True)]
    return MapClasses(names, labels, mistaken)
