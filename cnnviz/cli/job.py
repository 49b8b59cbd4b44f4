"""The one path every per-image command takes: expand inputs, settle outputs, load, run, write, report.

A command supplies one function from a picture to a result; all else, down to the exit code, is the same for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cnnviz import __version__
from cnnviz.cli import console, inputs, outputs
from cnnviz.cli.command import current
from cnnviz.cli.inputs import Source
from cnnviz.cli.options import NetworkOptions, OutputOptions, PictureOptions, RunOptions
from cnnviz.cli.outputs import Destination
from cnnviz.errors import ImageError, MemoryShortError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.cli.longjob import Watch
    from cnnviz.network import Network


@dataclass
class Picture:
    """One picture on its way through: the photo as the network frames it, and the pixels the network sees.

    ``whole`` is upright sRGB at its own resolution, ``photo`` the same or, with ``--crop``, its central square;
    ``pixels`` is (1, 3, H, W) in [0, 1] at the network's size.
    """

    source: Source
    whole: Image
    photo: Image
    pixels: Tensor


@dataclass
class Result:
    """What a technique makes of one picture.

    ``image``: what is written (a film's frames; a page's bytes; None for commands that only print); ``lines``: what is
    printed without ``--json``, after the paths of what was written; ``facts``: what ``--json`` tells, all JSON-able;
    ``target``: the class's name, for ``{target}`` in output templates; ``companions``: further files, written beside
    the image under its name with the suffix that is the key: their contents, or pictures, which carry the recipe too.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    image: Image | list[Image] | bytes | None = None
    lines: Sequence[str] = ()
    target: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)
    companions: Mapping[str, bytes | Image] = field(default_factory=dict)


Explain = Callable[["Network", Picture], Result]


@dataclass
class ImageJob:
    """A command over pictures. ``output`` is None for commands that print and write nothing; ``companions`` are the
    suffixes of what its results bring besides images; ``watch`` is hung on the callback of jobs that take many
    steps; ``suffix`` is the format where no name tells it (``.gif`` for films, ``.html`` for pages)."""

    technique: str
    network: NetworkOptions
    input: PictureOptions
    run: RunOptions
    output: OutputOptions | None = None
    companions: Sequence[str] = ()
    watch: Watch | None = None
    suffix: str = ".png"

    def __call__(self, explain: Explain) -> None:
        """Run ``explain`` over all pictures; exits with 1 (or 4, out of memory) if any failed."""
        console.configure(quiet=self.run.quiet, verbose=self.run.verbose)
        sources = inputs.expand(self.input)
        model, remark = self.network.choose(self.technique)
        destinations = self._plan(sources, model)
        todo = [(s, d) for s, d in zip(sources, destinations, strict=True) if not self._is_done(d)]
        if not todo:
            console.detail("Nothing to do: every output is there already.")
            return
        if remark:
            console.warn(remark)
        network = self._load(model)
        failures = self._work_through(network, explain, todo)
        if failures:
            raise typer.Exit(max(failures))

    def _plan(self, sources: list[Source], model: str) -> Sequence[Destination | None]:
        if self.output is None:
            return [None] * len(sources)
        companions = [*self.companions, *(self.watch.companions if self.watch else ())]
        name = current.command.partition(" ")[0]  # 'fast-style' of 'fast-style apply'
        return outputs.plan(sources, self.output, name, model, companions, self.suffix)

    def _is_done(self, destination: Destination | None) -> bool:
        return bool(
            self.output
            and self.output.skip_existing
            and destination
            and destination.is_settled
            and not destination.is_stdout
            and outputs.is_done(destination.path())
        )

    def _load(self, model: str) -> Network:
        from cnnviz.runtime.seed import seed_everything

        network = self.network.load(model, self.run.seed, progress=console.shows_progress())
        if network.weights.remark:
            console.warn(network.weights.remark)
        console.detail(
            f"{network.name} ({network.weights.label}), {network.classes} classes, "
            f"on {network.device} in {network.precision}"
        )
        seed_everything(self.run.seed)
        return network

    def _work_through(
        self, network: Network, explain: Explain, todo: Sequence[tuple[Source, Destination | None]]
    ) -> list[int]:
        """Exit codes of the pictures that failed; each failure is told as it happens, and the rest goes on."""
        failures = []
        with console.progress(len(todo), "pictures") as advance:
            for source, destination in todo:
                try:
                    self._one(network, explain, source, destination)
                except (ImageError, MemoryShortError) as error:
                    console.error(about(source, error))
                    failures.append(error.exit_code)
                advance(source.name)
        return failures

    def _one(self, network: Network, explain: Explain, source: Source, destination: Destination | None) -> None:
        from cnnviz.runtime.memory import clear_error_when_short

        started = time.perf_counter()
        picture = read_picture(source, network, self.input)
        with clear_error_when_short(min(picture.pixels.shape[2:])):
            result = self._watched(lambda: explain(network, picture), source, destination, network)
        written = self._write(result, source, destination, network) if destination else []
        seconds = time.perf_counter() - started
        self._report(source, written, result, network, seconds)

    def _watched(
        self, work: Callable[[], Result], source: Source, destination: Destination | None, network: Network
    ) -> Result:
        """What ``work`` makes. A long job that is interrupted leaves the picture so far where the whole one was due."""
        if self.watch is None or destination is None:
            return work()
        path = None if destination.is_stdout or not destination.is_settled else destination.path()
        recipe = self._recipe(Result(), source, network)
        try:
            with self.watch.over(path, recipe, force=bool(self.output and self.output.force)):
                result = work()
                result.companions = {**result.companions, **self.watch.made()}
                return result
        except KeyboardInterrupt:
            unfinished = self.watch.unfinished()
            if unfinished is not None:
                written = self._write(unfinished, source, destination, network)
                console.warn(f"Interrupted: {', '.join(written) or 'the output'} holds the picture so far.")
            raise

    def _write(self, result: Result, source: Source, destination: Destination, network: Network) -> list[str]:
        """The paths written, the picture's first; none if it went to standard output or is there already."""
        from cnnviz.imaging.files import write_bytes, write_image

        assert result.image is not None and self.output is not None
        recipe = self._recipe(result, source, network)
        if destination.is_stdout:
            console.result_bytes(_file_content(result.image, self.suffix, recipe))
            return []
        path = destination.path(result.target)
        if self.output.skip_existing and outputs.is_done(path):
            return []
        force = self.output.force or (self.output.skip_existing and path.exists())
        if source.path and path.exists() and path.samefile(source.path):
            raise ImageError(f"'{path}' is the input itself; nothing was written.")
        _make_folder(path.parent)
        if isinstance(result.image, bytes):
            written = [write_bytes(result.image, path, force=force)]
        else:
            written = [write_image(result.image, path, recipe, force=force)]
        for suffix, made in result.companions.items():
            content = _file_content(made, suffix.rpartition(".")[2], recipe)
            written.append(write_bytes(content, path.with_suffix(suffix), force=force))
        return [str(place) for place in written]

    def _recipe(self, result: Result, source: Source, network: Network) -> dict[str, Any]:
        return {**recipe_of(network, [source.name], self.run.seed), **result.recipe}

    def _report(self, source: Source, written: list[str], result: Result, network: Network, seconds: float) -> None:
        if self.run.json and not (self.output and self.output.output == outputs.STDOUT):
            console.result_json(
                {
                    "input": source.display,
                    "output": written[0] if written else None,
                    **({"companions": written[1:]} if written[1:] else {}),
                    "model": network.name,
                    "weights": network.weights.label,
                    **result.facts,
                    "seconds": round(seconds, 3),
                    "seed": self.run.seed,
                    "parameters": current.parameters(),
                }
            )
        else:
            for line in (*written, *result.lines):
                console.result(line)


def recipe_of(network: Network, names: Sequence[str], seed: int) -> dict[str, Any]:
    """What made a result: this command with its parameters, the network, and the pictures by their names."""
    return {
        "command": current.command,
        "version": __version__,
        "inputs": list(names),
        "model": network.name,
        "weights": network.weights.label,
        "weights_sha256": network.weights.sha256,
        "seed": seed,
        "parameters": current.parameters(),
    }


def read_picture(source: Source, network: Network, options: PictureOptions) -> Picture:
    """Read one picture and bring it to the size ``network`` is to see; ImageError or MemoryShortError if it cannot."""
    from cnnviz.imaging.files import read_photo

    photo = read_photo(source.content(), background=options.background, max_pixels=options.max_pixels)
    return framed(source, photo, network, options)


def framed(source: Source, photo: Image, network: Network, options: PictureOptions) -> Picture:
    """A photo at the size ``network`` is to see; MemoryShortError if that cannot be."""
    from cnnviz.imaging.pixels import center_square, planned_size, to_pixels
    from cnnviz.runtime.memory import require_memory

    spec, crop = network.spec, options.square
    size: int | tuple[int, int] = spec.size if spec.fixed else (options.size_of(photo) or spec.size)
    if spec.fixed and not crop:
        size = (spec.size, spec.size)
    height, width = planned_size(photo, size, crop)
    require_memory(network, (min(height, options.piece or height), min(width, options.piece or width)))
    pixels = to_pixels(photo, size, crop=crop)
    return Picture(source, photo, center_square(photo) if crop else photo, pixels)


def about(source: Source, error: Exception) -> str:
    """The error's sentence, with the picture's path in front where it does not name it itself."""
    message = str(error)
    return message if source.display in message else f"{source.display}: {message}"


def _file_content(made: Image | list[Image] | bytes, format: str, recipe: dict[str, Any]) -> bytes:
    from cnnviz.imaging.files import encode

    return made if isinstance(made, bytes) else encode(made, format, recipe)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"The folder '{folder}' cannot be made: {error.strerror}.") from error
