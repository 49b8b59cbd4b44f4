"""Results as files: the bytes of their images, numbers and companions, and writing them where they belong."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.errors import ImageError
from cnnviz.pipeline import outputs
from cnnviz.pipeline.config import OutputConfig
from cnnviz.pipeline.image_task import BatchItem, EncodedResult, encode_output
from cnnviz.pipeline.outputs import NUMBERS, RECIPE_SUFFIX, OutputPath
from cnnviz.pipeline.recipe import COMPANION, MAIN
from cnnviz.pipeline.reporter import Reporter
from cnnviz.pipeline.result import Result
from cnnviz.runtime.paths import path_exists

if TYPE_CHECKING:
    from cnnviz.imaging.image_io import ByteChunks


def encode(
    result: Result, destination: OutputPath | None, recipe: dict[str, Any], suffix: str, *, has_numbers: bool
) -> EncodedResult:
    """A result with its images as the bytes of the files they are to be; without them where there is no destination.

    ``suffix`` is the format where the destination has none, ``recipe`` what files tell of how they were made.
    """
    encoded = EncodedResult(result.metadata, result.text, result.target)
    encoded.notes = [
        *(("warn", (), message) for message in result.warnings),
        *(("unused", (name,), why) for name, why in result.unused.items()),
    ]
    if destination is None:
        return encoded
    from cnnviz.imaging.encoding import is_lossless

    path = None if destination.is_stdout else destination.path(result.target)
    kind = path.suffix.lower() if path else suffix
    is_numbers = has_numbers and kind in NUMBERS
    content = _numbers(result, kind, recipe) if is_numbers else _image(result, kind, recipe)
    encoded.content, recipe_file = content
    if result.is_measured and not is_lossless(kind):
        encoded.metadata = {**encoded.metadata, "measured": f"before encoding as {kind}"}
    main = path.suffix if path else suffix
    encoded.sidecars = {
        sidecar_suffix: encode_output(
            sidecar,
            Path(sidecar_suffix).suffix or sidecar_suffix,
            {**recipe, COMPANION: sidecar_suffix, MAIN: main},
        )
        for sidecar_suffix, sidecar in result.sidecars.items()
    } | recipe_file
    return encoded


def write(encoded: EncodedResult, item: BatchItem, output: OutputConfig, reporter: Reporter) -> list[str]:
    """The paths written, the image's first; none if it went to standard output or is there already."""
    from cnnviz.imaging.image_io import write_bytes

    assert encoded.content is not None and item.destination is not None
    if item.destination.is_stdout:
        reporter.result_bytes(encoded.content)
        return []
    path = item.destination.path(encoded.target)
    if output.skip_existing and outputs.is_done(path):
        return []
    force = output.force or (output.skip_existing and path_exists(path))
    if item.source.path and path_exists(path) and path.samefile(item.source.path):
        raise ImageError(f"'{path}' is the input itself; nothing was written.")
    make_folder(path.parent)
    files = {path: encoded.content}
    files |= {path.with_suffix(suffix): data for suffix, data in encoded.sidecars.items()}
    return [str(write_bytes(content, place, force=force)) for place, content in files.items()]


def _image(result: Result, suffix: str, recipe: dict[str, Any]) -> tuple[bytes | ByteChunks, dict[str, bytes]]:
    """A result's image as the bytes of its file, in which the recipe is; no further files."""
    from cnnviz.imaging.image_io import ByteChunks

    image = result.image
    assert image is not None
    return image if isinstance(image, ByteChunks) else encode_output(image, suffix, recipe, result.quality), {}


def _numbers(result: Result, suffix: str, recipe: dict[str, Any]) -> tuple[bytes, dict[str, bytes]]:
    """A result's numbers as the bytes of their file; the recipe's file beside it, by its suffix, if there is one."""
    from cnnviz.imaging.numbers import encode_numbers, recipe_json

    beside = {RECIPE_SUFFIX: recipe_json(recipe).encode()} if suffix == ".npy" else {}
    return encode_numbers(result.arrays, suffix, recipe), beside


def is_disk_full(error: Exception) -> bool:
    """Whether there is no room left for any further result."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; ImageError that names it if it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"The folder '{folder}' cannot be made: {error.strerror}.") from error
