"""From names of files, folders and patterns to a list of images."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cnnviz.errors import ImageError, UsageError
from cnnviz.pipeline.config import ImageConfig
from cnnviz.pipeline.reporter import SILENT, Reporter
from cnnviz.runtime.executors.shard import WHOLE, Shard
from cnnviz.runtime.paths import (
    UnreadableFileError,
    detect_encoding,
    is_file,
    is_folder,
    is_open_pipe,
    read_file,
    read_stream,
)

STDIN = "-"
_LARGEST_IMAGE = 3 << 29  # bytes, of one that comes through a pipe
_LARGEST_LIST = 1 << 28  # bytes
_ARRAY = ".npy"
_LONGEST_NAME = 1 << 15  # bytes
_NO_NAME = bytes(code for code in range(1, 32) if chr(code) not in "\t\n\r\f\x1b")


@dataclass(frozen=True)
class ImageSource:
    """What a result is about: one image to read (a path, or standard input, where ``path`` is None), or a
    thing with a name: a network, a folder as a whole (``path`` is None and ``label`` its name).

    ``folder`` is where an image lies below the folder it was found in (``.`` for a file named itself), so that a
    tree of images can be written as a tree. ``data`` is the content where it was read already, or why it could not be.
    """

    path: Path | None
    folder: Path = Path()
    label: str = ""
    data: bytes | ImageError | None = None

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
        """What ``cnnviz.imaging`` reads: the path, or the bytes of standard input, of an open pipe or of ``data``."""
        if isinstance(self.data, ImageError):
            raise self.data
        try:
            if not self.path:
                return read_stream(sys.stdin.buffer, _LARGEST_IMAGE) if self.data is None else self.data
            if self.data is None and not is_open_pipe(self.path):
                return self.path
            from cnnviz.imaging.image_reading import NamedBytes

            data = read_file(self.path, _LARGEST_IMAGE) if self.data is None else self.data
            return NamedBytes(data, str(self.path))
        except UnreadableFileError as error:
            raise ImageError(f"{self.display} {error}: no image is.") from error

    def with_data(self) -> ImageSource:
        """The source with its content, which can be sent to another machine."""
        from cnnviz.imaging.image_reading import read_file_bytes

        try:
            content = self.content()
            data = read_file_bytes(content) if isinstance(content, Path) else bytes(content)
        except ImageError as error:
            return ImageSource(self.path, self.folder, self.label, error)
        return ImageSource(self.path, self.folder, self.label, data)


def expand(config: ImageConfig, reporter: Reporter = SILENT) -> list[ImageSource]:
    """All images meant, of whatever shard, in the order given, each once; folders are searched in alphabetical order.

    A file that does not exist is kept: it is one bad image among others, reported in its turn. No image at all
    is a UsageError.
    """
    named = list(config.images or [])
    if config.files_from is not None:
        if config.files_from == STDIN and STDIN in named:
            raise UsageError("Standard input cannot be both an image and the list of images.")
        named += _read_list(config.files_from)
    if not named and config.files_from is not None:
        raise UsageError(f"The list of images in '{config.files_from}' is empty.")
    if not named:
        raise UsageError("No image was given.", remedy="name_images")
    sources = [source for name in named for source in _expand_one(name, config.recursive, reporter)]
    return list(dict.fromkeys(sources))


def shard(config: ImageConfig) -> Shard:
    """The part of the images that is asked for; UsageError where ``--shard`` makes no sense."""
    return Shard.parse(config.shard) if config.shard is not None else WHOLE


def _read_list(place: str) -> list[str]:
    try:
        data = read_stream(sys.stdin.buffer, _LARGEST_LIST) if place == STDIN else read_file(place, _LARGEST_LIST)
        encoding = detect_encoding(data)
        if encoding is not None:
            return _lines(data.decode(encoding).removeprefix("\ufeff").encode("utf-8", "surrogatepass"))
    except UnreadableFileError as error:
        raise UsageError(f"The list of images '{place}' {error}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The list of images '{place}' begins as text in {encoding}, but is none.") from error
    if data.translate(None, _NO_NAME) != data:
        raise UsageError(f"The list of images '{place}' is no list: it holds control characters; is it an image?")
    return _lines(data)


def _lines(data: bytes) -> list[str]:
    separator = b"\0" if b"\0" in data else b"\n"
    names = [line.rstrip(b"\r") for line in data.split(separator) if line.strip()]
    longest = max(names, key=len, default=b"")
    if len(longest) > _LONGEST_NAME:
        raise UsageError(f"The list of images is no list of names: one of its lines has {len(longest):,} bytes.")
    return [os.fsdecode(name) for name in names]


def _expand_one(name: str, recursive: bool, reporter: Reporter) -> Iterator[ImageSource]:
    path = Path(name)
    if name == STDIN:
        yield ImageSource(None)
    elif is_folder(path):
        yield from _in_folder(path, recursive, reporter)
    elif not os.path.lexists(path) and glob.has_magic(name):
        yield from _matching(name, recursive, reporter)
    else:
        yield ImageSource(path)


def _in_folder(folder: Path, recursive: bool, reporter: Reporter) -> Iterator[ImageSource]:
    from cnnviz.imaging.file_types import UNREADABLE_SUFFIXES
    from cnnviz.imaging.image_io import SUFFIXES

    found = sorted(_below(folder, recursive, reporter))
    files = [p for p in found if not p.name.startswith(".") and is_file(p)]
    images = [p for p in files if p.suffix.lower() in SUFFIXES | UNREADABLE_SUFFIXES]
    images = images or [p for p in files if p.suffix.lower() == _ARRAY]  # beside images an array is something else
    if len(files) > len(images):
        reporter.detail(f"{len(files) - len(images)} files in '{folder}' are no images and are skipped.")
    if not images:
        nothing = f"There are no images in the folder '{folder}'."
        raise UsageError(nothing) if recursive else UsageError(nothing, remedy="recursive")
    for path in images:
        yield ImageSource(path, path.parent.relative_to(folder))


def _below(folder: Path, recursive: bool, reporter: Reporter) -> Iterator[Path]:
    """What lies in a folder; for a folder in it that may not be read there is a warning."""

    def cannot(error: OSError) -> None:
        message = f"The folder '{error.filename}' cannot be looked into: {error.strerror}."
        if os.fspath(error.filename) == os.fspath(folder):
            raise UsageError(message) from error
        reporter.warn(message)

    for place, folders, files in os.walk(folder, onerror=cannot):
        yield from (Path(place, name) for name in files)
        if not recursive:
            folders.clear()


def _matching(pattern: str, recursive: bool, reporter: Reporter) -> Iterator[ImageSource]:
    matches = sorted(glob.glob(pattern, recursive=True))
    if not matches:
        raise UsageError(f"Nothing matches '{pattern}'.")
    for match in matches:
        if is_folder(match):
            if recursive:
                yield from _in_folder(Path(match), recursive, reporter)
        else:
            yield ImageSource(Path(match))
