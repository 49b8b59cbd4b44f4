"""What tasks share that know which class each image truly is of: the setting, and how it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from cnnviz.errors import UsageError
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.reporter import Reporter
from cnnviz.pipeline.true_classes import TrueClasses
from cnnviz.settings import setting

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.network.network import Network
    from cnnviz.network.prediction import Prediction

Task = TypeVar("Task", bound="TrueClassTask")


def classes_setting() -> Any:
    """By what the true classes of images are known: ``folder``, or a CSV file; None if they are not."""
    help = "What the images truly show: 'folder' (each is named as a class), or a CSV file of images and classes."
    return setting(None, help, metavar="folder|FILE.csv")


class TrueClassTask:
    """A task about images whose classes may be known. Its fields are at least these.

    ``known_classes`` is made from ``classes`` before any work, where the images are listed and a network is loaded.
    """

    classes: str | None
    known_classes: TrueClasses | None

    def with_files(self: Task) -> Task:
        """The task with the table read, where classes are given by one."""
        if self.classes is None or self.known_classes is not None:
            return self
        return replace(self, known_classes=TrueClasses.of(self.classes))  # type: ignore[type-var]

    def for_images(self: Task, sources: Sequence[ImageSource], reporter: Reporter) -> Task:
        """The task with what the classes of these images are called; a note of images that the table lacks."""
        task = self.with_files()
        if task.known_classes is None:
            return task
        return replace(task, known_classes=among(task.known_classes, sources, reporter))  # type: ignore[type-var]

    def for_network(self: Task, network: Network) -> Task:
        """The task with the class indices of this network. UsageError for a name that fits none of its classes."""
        if self.known_classes is None:
            return self
        return replace(self, known_classes=bound_to(self.known_classes, network))  # type: ignore[type-var]

    def true_class(self, source: ImageSource) -> int | None:
        """The index of an image's true class; None where that is not known."""
        return None if self.known_classes is None else self.known_classes.index(source)

    def true_label(self, source: ImageSource) -> str | None:
        """The name of an image's true class; None where that is not known."""
        index = self.true_class(source)
        return None if index is None or self.known_classes is None else self.known_classes.labels[index]

    def true_json(self, source: ImageSource) -> dict[str, Any]:
        """An image's true class as metadata have it, under ``true``; nothing where it is not known."""
        index = self.true_class(source)
        return {} if index is None else {"true": {"index": index, "label": self.true_label(source)}}


def among(known: TrueClasses, sources: Sequence[ImageSource], reporter: Reporter) -> TrueClasses:
    """The true classes of these images; a note names those that the table lacks."""
    missing = known.missing(sources) if known.table is not None else []
    found = known.among(sources)
    if missing and known.table is not None:
        some = f"'{missing[0].display}'" + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
        reporter.warn(f"The table of classes '{known.table.path}' lacks {some}.")
    return found


def class_indices(network: Network) -> tuple[str, ...]:
    """The names of the classes that ``ranked`` orders, by index; for one logit its class and ``not CLASS``."""
    labels = network.labels or ()
    return (labels[0], f"not {labels[0]}") if len(labels) == 1 else labels


def bound_to(known: TrueClasses, network: Network, *, has_indices: bool = True) -> TrueClasses:
    """The true classes by the labels of a network; UsageError where it has no classes, or a name fits none of them.

    ``has_indices`` says whether a number may be the index of a class.
    """
    network.require_classifier()
    labels = class_indices(network)
    if network.classes > 1:
        return known.bound(labels, network.weights.class_to_idx, has_indices=has_indices)
    if not network.has_probabilities:
        raise UsageError(f"{network.name} gives one number and no class, so no image is of a class of its.")
    # One logit is about the second of two classes, the first is its negation.
    folders = network.weights.class_to_idx or {}
    return known.bound(labels, {name: 1 - index for name, index in folders.items()}, has_indices=False)


def ranked(network: Network, pixels: Tensor) -> list[list[Prediction]]:
    """All classes of each image, highest score first; for one logit its class and ``not CLASS``."""
    from cnnviz.network.prediction import Prediction

    found = network.predict(pixels, network.classes)
    if network.classes > 1:
        return found
    negation = class_indices(network)[1]
    both = ([own, Prediction(1, negation, 1 - own.score)] for (own,) in found)
    return [sorted(pair, key=lambda prediction: -prediction.score) for pair in both]
