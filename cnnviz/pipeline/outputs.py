"""Where each result is written, settled and checked before any work begins."""

from __future__ import annotations

import os
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from cnnviz.errors import UsageError
from cnnviz.pipeline.config import OutputConfig
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.recipe import UNFINISHED
from cnnviz.runtime.executors.shard import WHOLE, Shard
from cnnviz.runtime.paths import as_file_name, is_folder, path_exists

STDOUT = "-"
PNG = ".png"
DEFAULT_TEMPLATE = "{stem}.{command}"
NUMBERS = (".npy", ".npz")
RECIPE_SUFFIX = ".json"
"""Suffix of the file with the recipe beside a .npy file."""
ANIMATIONS = (".gif", ".webp", ".mp4")
PAGES = (".html",)
MODELS = (".safetensors",)

_LONGEST_NAME = 255
"""Bytes of a file's name, in every file system in use."""

_FIELDS = ("stem", "name", "parent", "command", "model", "target")

STYLE = "style"
"""The field of templates that only painting in a style has."""


@dataclass(frozen=True)
class OutputPath:
    """Where one image's result goes: a template still to be filled in with ``{target}``, or ``-``."""

    template: str
    fields: Mapping[str, str]

    @property
    def is_stdout(self) -> bool:
        return self.template == STDOUT

    @property
    def is_known(self) -> bool:
        """Whether the path is known before the network predicts a class."""
        return "target" not in _fields_in(self.template)

    def path(self, target: str = "") -> Path:
        name = as_file_name(target)
        path = self._path(name)
        excess = max(len(os.fsencode(part)) for part in path.parts) - _LONGEST_NAME if path.parts else 0
        # A class's name may be longer than any file's.
        return path if excess <= 0 else self._path(name.encode()[: -excess or None].decode(errors="ignore"))

    def _path(self, target: str) -> Path:
        return Path(self.template.format(**{**self.fields, "target": target}))


def plan(
    sources: Sequence[ImageSource],
    options: OutputConfig,
    command: str,
    model: str,
    companions: Sequence[str] = (),
    suffix: str = PNG,
    shard: Shard = WHOLE,
    beside: int = 0,
    has_numbers: bool = False,
    fields: Mapping[str, str] = MappingProxyType({}),
    default: str = DEFAULT_TEMPLATE,
) -> list[OutputPath]:
    """A destination for each source, in their order.

    ``sources`` are all images named: two shards must not meet in one file either. Only those of ``shard`` are going
    to be written.

    ``companions`` are the suffixes of files that will be written beside each image, as ``.html``; ``suffix`` is the
    image's own where its name is not given: ``.gif`` for animations and ``.html`` for pages.
    ``has_numbers`` allows .npy and .npz files.
    ``beside`` is how many characters more than the image's the names of other files may have; ``fields`` are further
    ones of templates, ``default`` is the template where only a folder is named, or nothing.

    Raises UsageError, before anything is computed, where two results would be one file, a result would overwrite
    its input, a file is there already (and neither overwritten nor left out), or the format is unknown;
    ImageError where nothing can be written.
    """
    known = {"command": command, "model": as_file_name(model), **fields}
    destinations = [_destination(source, options, known, default + suffix) for source in sources]
    own = shard.of(list(zip(sources, destinations, strict=True)))
    if options.output == STDOUT and len(own) > 1:
        raise UsageError(f"Standard output takes one image, but there are {len(own)}.", remedy="output_folder")
    _refuse_unknown_formats(destinations, suffix, NUMBERS if has_numbers else ())
    settled = _settled(list(zip(sources, destinations, strict=True)))
    _refuse_collisions(settled)
    _refuse_inputs(sources, settled)
    if not (options.force or options.skip_existing):
        paths = [path for _, path in _settled(own)]
        _refuse_existing([*paths, *(path.with_suffix(suffix) for path in paths for suffix in companions)])
    longest = max((len(suffix) - len(Path(suffix).suffix) for suffix in companions), default=0)
    written = [place for source, place in own if not (place.is_stdout or _is_missing(source))]
    _refuse_where_nothing_can_be_written(written, max(beside, longest))
    return destinations


def _is_missing(source: ImageSource) -> bool:
    return source.path is not None and not path_exists(source.path)


def _refuse_where_nothing_can_be_written(destinations: Sequence[OutputPath], beside: int) -> None:
    from cnnviz.imaging.image_io import check_writable

    probed: set[Path] = set()
    for destination in destinations:
        path = destination.path("x")
        if len(os.fsencode(path.name)) + beside > _LONGEST_NAME:
            raise UsageError(f"The name of the output '{path}' is too long for a file.", remedy="shorter_output")
        probed = check_writable(path, probed)


def _settled(pairs: Sequence[tuple[ImageSource, OutputPath]]) -> list[tuple[ImageSource, Path]]:
    return [(source, place.path()) for source, place in pairs if place.is_known and not place.is_stdout]


def require_files(options: OutputConfig, option: str) -> None:
    """Raise UsageError where ``option``, which writes several files, meets standard output, which takes one."""
    if options.output == STDOUT:
        raise UsageError(f"{option} writes several files, and standard output takes one.", remedy="output_file")


def _destination(source: ImageSource, options: OutputConfig, known: Mapping[str, str], default: str) -> OutputPath:
    output = options.output
    if output is None:
        template = default
    elif output == STDOUT:
        template = STDOUT
    elif _is_folder(output):
        folder = str(Path(output) / source.folder).replace("{", "{{").replace("}", "}}")
        template = f"{folder}{os.sep}{default}"
    else:
        template = output
        _check_template(output, [*_FIELDS, *known])
    parent = str(source.path.parent) if source.path else "."
    return OutputPath(template, {"stem": source.stem, "name": source.name, "parent": parent, **known})


def has_field(output: str | None, field: str) -> bool:
    """Whether a template with a field names the outputs; where none or a folder is named, the default one has it."""
    return output is None or _is_folder(output) or (output != STDOUT and field in _fields_in(output))


def suffix_of(options: OutputConfig) -> str:
    """The extension of the files that are going to be written; ``.png`` where no name tells it."""
    output = options.output
    if output is None or output == STDOUT or _is_folder(output):
        return PNG
    return Path(output).suffix.lower() or PNG


def _is_folder(output: str) -> bool:
    return output.endswith(("/", os.sep)) or is_folder(output)


def _fields_in(template: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]


def _check_template(template: str, fields: Sequence[str]) -> None:
    try:
        unknown = [name for name in _fields_in(template) if name not in fields]
    except ValueError as error:
        raise UsageError(f"The output template '{template}' has an unmatched brace; write {{{{ for {{.") from error
    if unknown:
        known = " ".join(f"{{{name}}}" for name in dict.fromkeys(fields))
        raise UsageError(f"The output template knows no field '{{{unknown[0]}}}'; there are {known}.")


def _refuse_unknown_formats(destinations: Sequence[OutputPath], usual: str, more: Sequence[str]) -> None:
    from cnnviz.imaging.encoding import FORMATS

    kinds = (("an animation", ANIMATIONS), ("a page", PAGES), ("a model", MODELS), ("", FORMATS))
    thing, known = next((t, f) for t, f in kinds if usual in f)
    formats = sorted([*known, *more])
    for destination in destinations:
        suffix = Path(destination.template).suffix.lower()
        if not destination.is_stdout and suffix not in formats:
            given = f"the extension '{suffix}'" if suffix else "no extension"
            what = f"{thing} is written as" if thing else "use"
            raise UsageError(
                f"The output '{destination.template}' has {given}; {what} one of {', '.join(formats)}, or a FOLDER/."
            )


def _refuse_collisions(settled: Sequence[tuple[ImageSource, Path]]) -> None:
    owner: dict[str, ImageSource] = {}
    for source, path in settled:
        key = os.path.normcase(os.path.abspath(path))
        if key in owner:
            raise UsageError(
                f"'{owner[key].display}' and '{source.display}' would both be written to '{path}'.",
                remedy="output_template",
            )
        owner[key] = source


def _refuse_inputs(sources: Sequence[ImageSource], settled: Sequence[tuple[ImageSource, Path]]) -> None:
    inputs = {os.path.realpath(source.path) for source in sources if source.path}
    for _, path in settled:
        if os.path.realpath(path) in inputs:
            raise UsageError(f"'{path}' is an input; it would be overwritten. Choose another output.")


def _refuse_existing(paths: Sequence[Path]) -> None:
    existing = [path for path in paths if os.path.lexists(path)]
    if existing:
        exist = f"and {len(existing) - 1} more exist" if len(existing) > 1 else "exists"
        raise UsageError(f"'{existing[0]}' {exist} already.", remedy="existing_output")


def is_done(path: Path) -> bool:
    """Whether a complete image exists, not one that an interrupted job left."""
    from cnnviz.errors import ImageError
    from cnnviz.imaging.recipe import read_recipe

    if not path_exists(path):
        return False
    try:
        return UNFINISHED not in read_recipe(path)
    except ImageError:
        return True  # somebody else's file, which is not ours to replace
