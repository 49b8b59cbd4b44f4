"""Which class each image truly is of: by the folder it lies in, or by a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cnnviz.errors import UsageError, listed, shortened
from cnnviz.network.class_names import classes_of_folders, nearest_names
from cnnviz.pipeline.class_table import ClassTable, read_class_table
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.runtime.paths import is_file

FOLDER = "folder"

_LISTED = 3  # folders that are named in a message

Names = tuple[str, ...]
"""What may name an image's class: its folders from the outermost to the innermost, or the table's word; or nothing."""


@dataclass(frozen=True)
class TrueClasses:
    """The true classes of some images.

    Attributes:
        table: of images and classes; None takes the folders that images lie in.
        wanted: all names that images have, each once, with an image that has it.
        indices: the class of each of these names, once a network was asked.
        labels: the network's.
    """

    table: ClassTable | None = None
    wanted: Mapping[Names, str] = field(default_factory=dict)
    indices: Mapping[Names, int] = field(default_factory=dict)
    labels: tuple[str, ...] = ()

    @staticmethod
    def of(value: str) -> TrueClasses:
        """By ``folder``, or by a CSV file; UsageError where it is neither, or the file cannot be read."""
        if value == FOLDER:
            return TrueClasses()
        if not is_file(value):
            raise UsageError(
                f"Classes are given by '{FOLDER}', or by a CSV file: there is no file '{shortened(value)}'."
            )
        return TrueClasses(read_class_table(Path(value)))

    def names_of(self, source: ImageSource) -> Names:
        """What may name the class of an image; nothing where the table lacks it."""
        if self.table is None:
            return folders_of(source)
        key = self.table.key_of(source.path) if source.path else None
        return () if key is None else (self.table.classes[key],)

    def among(self, sources: Sequence[ImageSource]) -> TrueClasses:
        """The true classes of these images; UsageError where the table has none of them, or one row for several."""
        wanted: dict[Names, str] = {}
        for source in sources:
            wanted.setdefault(self.names_of(source), source.display)
        if self.table is not None:
            self._check_table(self.table, sources)
        elif () in wanted:
            raise UsageError(f"'{wanted[()]}' lies in no folder that could name its class.")
        return replace(self, wanted={names: source for names, source in wanted.items() if names})

    def _check_table(self, table: ClassTable, sources: Sequence[ImageSource]) -> None:
        keys = Counter(table.key_of(source.path) for source in sources if source.path)
        keys.pop(None, None)
        if not keys:
            raise UsageError(f"The table of classes '{table.path}' has none of the images, as '{sources[0].display}'.")
        key, count = keys.most_common(1)[0]
        if count > 1:
            raise UsageError(
                f"'{shortened(str(key))}' in '{table.path}' may be any of {count} images: give their paths."
            )

    def missing(self, sources: Iterable[ImageSource]) -> list[ImageSource]:
        """The images whose class is unknown: those that the table lacks."""
        return [source for source in sources if not self.names_of(source)]

    def bound(
        self, labels: tuple[str, ...], known: Mapping[str, int] | None = None, *, has_indices: bool = True
    ) -> TrueClasses:
        """The true classes with the class index of each name, by the labels of a network.

        ``known`` are the folders it was trained on; ``has_indices`` says whether a number may be a class's index.
        Raises UsageError for a name that fits no class, with the nearest, or that fits several.
        """
        texts = dict.fromkeys(name for names in self.wanted for name in names)
        found = classes_of_folders(labels, texts, known, has_indices=has_indices)
        named = {name: fit for name, fit in found.items() if fit is not None}
        unknown = [names for names in self.wanted if not any(name in named for name in names)]
        if unknown:
            raise self._no_class(labels, unknown)
        indices: dict[Names, int] = {}
        for names, image in self.wanted.items():
            fits = {named[name].index: name for name in names if name in named}
            by_name = {named[name].index: name for name in names if name in named and not named[name].by_number}
            best = by_name or fits
            if len(best) > 1:
                raise UsageError(
                    f"'{image}' lies in the folders of {len(best)} classes: {listed(list(best.values()))}."
                )
            indices[names] = next(iter(best))
        return replace(self, indices=indices, labels=labels)

    def _no_class(self, labels: tuple[str, ...], unknown: Sequence[Names]) -> UsageError:
        words = list(dict.fromkeys(names[0] for names in unknown))
        shown = [f"'{shortened(word)}'" for word in words[:_LISTED]]
        rest = [f"{len(words) - _LISTED} more"] if len(words) > _LISTED else []
        is_one = len(words) == 1
        what = ("The folder " if is_one else "The folders ") + listed([*shown, *rest])
        if self.table is not None:
            what = f"{listed([*shown, *rest])} in '{self.table.path}'"
        near = nearest_names(labels, words[0], 0.0)
        those = f"nearest {'' if is_one else f'to {shown[0]} '}{'is' if len(near) == 1 else 'are'} {listed(near)}"
        text = f"{what} {'names' if is_one else 'name'} no class of this network{f'; the {those}' if near else ''}."
        return UsageError(text, remedy="class_names")

    def index(self, source: ImageSource) -> int | None:
        """The index of an image's true class; None where that is unknown."""
        return self.indices.get(self.names_of(source))


def folders_of(source: ImageSource) -> Names:
    """The folders between an image and the folder that was searched, outermost first; else the folder it lies in."""
    if source.path is None:
        return ()
    return source.folder.parts or tuple(filter(None, [source.path.parent.resolve().name]))
