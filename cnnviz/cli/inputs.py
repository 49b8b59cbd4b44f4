"""From what the user typed to a list of pictures to read."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cnnviz.cli import console
from cnnviz.cli.options import PictureOptions
from cnnviz.errors import UsageError
from cnnviz.runtime.batch.shard import WHOLE, Shard

STDIN = "-"


@dataclass(frozen=True)
class Source:
    """What a result is about: one picture to read (a path, or standard input, where ``path`` is None), or a
    thing with a name: a network, a folder as a whole (``path`` is None and ``label`` its name).

    ``folder`` is where a picture lies below the folder it was found in (``.`` for a file named itself), so that a
    tree of pictures can be written as a tree.
    """

    path: Path | None
    folder: Path = Path()
    label: str = ""

    @property
    def name(self) -> str:
        return self.path.name if self.path else self.label or "stdin"

    @property
    def stem(self) -> str:
        return self.path.stem if self.path else self.label or "stdin"

    @property
    def display(self) -> str:
        return str(self.path) if self.path else self.label or "<stdin>"

    @property
    def named(self) -> str:
        """What is typed for it: the path as it was given, or ``-``."""
        return str(self.path) if self.path else self.label or STDIN

    def content(self) -> Path | bytes:
        """What the imaging room reads: the path, or all of standard input."""
        return self.path if self.path else sys.stdin.buffer.read()


def expand(options: PictureOptions) -> list[Source]:
    """All pictures meant, of whatever shard, in the order given, each once; folders are searched in alphabetical order.

    A file that does not exist is kept: it is one bad picture among others, reported in its turn. No picture at all
    is a UsageError.
    """
    named = list(options.images or [])
    if options.files_from is not None:
        if options.files_from == STDIN and STDIN in named:
            raise UsageError("Standard input cannot be both a picture and the list of pictures.")
        named += _read_list(options.files_from)
        nothing = f"The list of pictures in '{options.files_from}' is empty."
    else:
        nothing = "No picture was given. Name files or folders, '-' for standard input, or --files-from LIST."
    if not named:
        raise UsageError(nothing)
    sources = [source for name in named for source in _expand_one(name, options.recursive)]
    return list(dict.fromkeys(sources))


def shard(options: PictureOptions) -> Shard:
    """The part of the pictures that is asked for; UsageError where ``--shard`` makes no sense."""
    return Shard.parse(options.shard) if options.shard is not None else WHOLE


def _read_list(place: str) -> list[str]:
    try:
        data = sys.stdin.buffer.read() if place == STDIN else Path(place).read_bytes()
    except OSError as error:
        raise UsageError(f"The list of pictures '{place}' cannot be read: {error.strerror}.") from error
    separator = b"\0" if b"\0" in data else b"\n"
    return [os.fsdecode(line.rstrip(b"\r")) for line in data.split(separator) if line.strip()]


def _expand_one(name: str, recursive: bool) -> Iterator[Source]:
    path = Path(name)
    if name == STDIN:
        yield Source(None)
    elif path.is_dir():
        yield from _in_folder(path, recursive)
    elif not os.path.lexists(path) and glob.has_magic(name):
        yield from _matching(name, recursive)
    else:
        yield Source(path)


def _in_folder(folder: Path, recursive: bool) -> Iterator[Source]:
    from cnnviz.imaging import SUFFIXES
    from cnnviz.imaging.kinds import UNREAD

    found = sorted(folder.rglob("*") if recursive else folder.iterdir())
    files = [p for p in found if not p.name.startswith(".") and p.is_file()]
    pictures = [p for p in files if p.suffix.lower() in SUFFIXES | UNREAD]
    if len(files) > len(pictures):
        console.detail(f"{len(files) - len(pictures)} files in '{folder}' are no pictures and are passed over.")
    if not pictures:
        deeper = "" if recursive else " (-r looks into its folders too)"
        raise UsageError(f"There are no pictures in the folder '{folder}'{deeper}.")
    for path in pictures:
        yield Source(path, path.parent.relative_to(folder))


def _matching(pattern: str, recursive: bool) -> Iterator[Source]:
    matches = sorted(glob.glob(pattern, recursive=True))
    if not matches:
        raise UsageError(f"Nothing matches '{pattern}'.")
    for match in matches:
        if Path(match).is_dir():
            if recursive:
                yield from _in_folder(Path(match), recursive)
        else:
            yield Source(Path(match))
