"""The one path every per-image command takes: expand inputs, settle outputs, load, run, write, report.

A command supplies one function from a picture to a result; all else, down to the exit code, is the same for all.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cnnviz import __version__
from cnnviz.cli import console, inputs, outputs
from cnnviz.cli.command import current
from cnnviz.cli.hints import message_with_hint
from cnnviz.cli.idle import idle
from cnnviz.cli.inputs import Source
from cnnviz.cli.options import BatchOptions, EngineName, NetworkOptions, OutputOptions, PictureOptions, RunOptions
from cnnviz.cli.outputs import COMPANION, MAIN, Destination
from cnnviz.cli.process import signals
from cnnviz.cli.work import Done, Failure, Item, Made, Named, Workbench, image_file
from cnnviz.errors import ImageError, MemoryShortError
from cnnviz.runtime.paths import path_exists

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from cnnviz.cli.longjob import Watch
    from cnnviz.imaging.image_io import ByteChunks
    from cnnviz.network.network import Network
    from cnnviz.runtime.executors.task_result import Compute, Executor


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

    ``image``: what is written (a film's frames; a page's bytes or pieces; None for commands that only print);
    ``lines``: what is printed without ``--json``, after the paths of what was written; ``facts``: what ``--json``
    tells, all JSON-able; ``target``: the class's name, for ``{target}`` in output templates; ``companions``: further
    files, written beside the image under its name with the suffix that is the key: their contents, or pictures, which
    carry the recipe too; ``quality``: of the image, where its format has one; the usual one if None; ``is_measured``:
    whether the facts tell what was measured of the image, which a format that loses something changes.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    image: Image | list[Image] | bytes | ByteChunks | None = None
    lines: Sequence[str] = ()
    target: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)
    companions: Mapping[str, bytes | Image] = field(default_factory=dict)
    quality: int | None = None
    is_measured: bool = False


_BESIDE = 8  # characters more than the picture's have the names of snapshots and states
_TASKS = 16
"""So many tasks there are at least, so that some are read and some written while others compute."""

Explain = Callable[["Network", Picture], Result]
"""What a command does with a picture; a ``Technique`` where it can do several at once."""


@dataclass
class Bench:
    """An engine ready to work, what is known of its network, and how many pictures make a task."""

    engine: Executor[Sequence[Item], list[Done]]
    network: Named
    at_once: int = 1
    is_remote: bool = False


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
    remark: str | None = field(default=None, init=False)

    def __call__(self, explain: Explain) -> None:
        """Run ``explain`` over all pictures; exits with 1 (or 4, out of memory) if any failed."""
        console.configure(quiet=self.run.quiet, verbose=self.run.verbose)
        shard = inputs.shard(self.input)
        sources = inputs.expand(self.input)
        model, remark = self.network.choose(self.technique)
        destinations = self._plan(sources, model)
        own = shard.of([Item(*pair) for pair in zip(sources, destinations, strict=True)])
        items = [item for item in own if not self._is_done(item.destination)]
        if not items:
            why = "every output is there already" if own else f"shard {shard} of {len(sources)} pictures is empty"
            console.detail(f"Nothing to do: {why}.")
            return
        self.remark = remark
        if remark:
            console.warn(remark)
        with self._bench(model, explain, items) as bench:
            failures = self._work_through(bench, items)
        if failures:
            raise typer.Exit(max(failures))

    @property
    def batch(self) -> BatchOptions:
        """What works through the pictures; the default for commands that do not ask."""
        return self.run if isinstance(self.run, BatchOptions) else BatchOptions()

    def _plan(self, sources: list[Source], model: str) -> Sequence[Destination | None]:
        if self.output is None:
            return [None] * len(sources)
        companions = [*self.companions, *(self.watch.companions if self.watch else ())]
        beside = _BESIDE if self.watch else 0
        name = current.command.partition(" ")[0]  # 'fast-style' of 'fast-style apply'
        return outputs.plan(
            sources, self.output, name, model, companions, self.suffix, inputs.shard(self.input), beside
        )

    def _is_done(self, destination: Destination | None) -> bool:
        return bool(
            self.output
            and self.output.skip_existing
            and destination
            and destination.is_settled
            and not destination.is_stdout
            and outputs.is_done(destination.path())
        )

    def load(self, model: str) -> Network:
        """The network under study; tells of it, and seeds everything random."""
        from cnnviz.runtime.seed import seed_everything

        network = self.network.load(model, self.run.seed, progress=console.shows_progress())
        if network.weights.remark:
            console.warn(message_with_hint(network.weights.remark))
        idle("size", when=network.spec.fixed, why=f"on {network.name}, which takes pictures of one size")
        is_local = getattr(self.run, "engine", EngineName.local) is EngineName.local
        idle("ray_address", when=is_local, why="without --engine ray")
        console.detail(
            f"{network.name} ({network.weights.label}), {network.classes} classes, "
            f"on {network.device} in {network.precision}"
        )
        seed_everything(self.run.seed)
        signals.work_started = True
        return network

    @contextmanager
    def _bench(self, model: str, explain: Explain, items: Sequence[Item]) -> Iterator[Bench]:
        """The engine asked for, ready to work."""
        if self.batch.engine is EngineName.ray:
            from cnnviz.cli.cluster import ray_bench

            signals.work_started = True
            with ray_bench(self, explain, model, len(items)) as bench:
                yield bench
            return
        network = self.load(model)
        workbench = Workbench(self, network, explain)
        with workbench.threads() as lanes:
            yield self._local_bench(workbench, lanes, len(items))

    def _local_bench(self, workbench: Workbench, lanes: int, count: int) -> Bench:
        from cnnviz.runtime.executors.serial import SerialExecutor
        from cnnviz.runtime.executors.threads import ThreadExecutor, thread_count

        def work(items: Sequence[Item], compute: Compute) -> list[Done]:
            return [(item, self._kept(item, made)) for item, made in workbench(items, compute)]

        jobs, network = self.batch.jobs, workbench.network
        if jobs == 1 or count == 1 or self.watch is not None:  # a long job has one picture, one bar, one film
            return Bench(SerialExecutor(work), network)
        workbench.prepare()
        threads = jobs or thread_count(lanes)
        # To know takes a pass, in this thread; of few pictures none share one anyway.
        at_once = workbench.pictures_at_once if count >= 2 * _TASKS else 1
        return Bench(ThreadExecutor(work, threads, lanes), network, at_once)

    def _work_through(self, bench: Bench, items: Sequence[Item]) -> list[int]:
        """Exit codes of the pictures that failed; each failure is told as it happens, and the rest goes on."""
        failures: list[int] = []
        at_once = max(1, min(bench.at_once, len(items) // _TASKS))
        tasks = [items[start : start + at_once] for start in range(0, len(items), at_once)]
        outcomes = bench.engine.run(tasks, ordered=not self.batch.unordered)
        with console.progress(len(items), "pictures") as advance, closing(outcomes):
            for outcome in outcomes:
                for item, value in outcome.get():
                    made = self._kept(item, value) if bench.is_remote else value
                    if isinstance(made, Made):
                        self._report(item.source, made, bench.network)
                    else:
                        full = is_disk_full(made)
                        remedy = " Make room, and go on with --skip-existing." if full else ""
                        console.error(about(item.source, made) + remedy)
                        failures.append(made.exit_code)
                        if full:
                            return failures
                    advance(item.source.name)
        return failures

    def _kept(self, item: Item, made: Made | Failure) -> Made | Failure:
        """``made``, written where it belongs, or why it could not be."""
        if not isinstance(made, Made) or item.destination is None:
            return made
        try:
            made.written = self._write(made, item)
        except ImageError as error:
            return error
        made.content, made.companions = None, {}
        return made

    def read(self, source: Source, network: Network) -> Picture:
        """One picture as the network is to see it; ImageError or MemoryShortError if it cannot be."""
        return read_picture(source, network, self.input)

    def watched(self, work: Callable[[], Result], item: Item, network: Network) -> Result:
        """What ``work`` makes. A long job that is interrupted leaves the picture so far where the whole one was due."""
        destination = item.destination
        if self.watch is None or destination is None:
            return work()
        path = None if destination.is_stdout or not destination.is_settled else destination.path()
        recipe = self._recipe(Result(), item.source, network)
        try:
            with self.watch.over(path, recipe, force=bool(self.output and self.output.force)):
                result = work()
                result.companions = {**result.companions, **self.watch.made()}
                return result
        except KeyboardInterrupt:
            unfinished, written = self.watch.unfinished(), ""
            if unfinished is not None:
                written = ", ".join(self._write(self.encoded(unfinished, item, network), item)) or "the output"
            if told := self.watch.kept(written):
                console.warn(f"Interrupted: {told}")
            raise

    def encoded(self, result: Result, item: Item, network: Named) -> Made:
        """A result with its pictures as the bytes of the files they are to be."""
        made = Made(result.facts, result.lines, result.target)
        if item.destination is None:
            return made
        from cnnviz.imaging.encoding import is_lossless
        from cnnviz.imaging.image_io import ByteChunks

        image, recipe = result.image, self._recipe(result, item.source, network)
        assert image is not None
        path = None if item.destination.is_stdout else item.destination.path(result.target)
        suffix = path.suffix.lower() if path else self.suffix
        made.content = image if isinstance(image, ByteChunks) else image_file(image, suffix, recipe, result.quality)
        if result.is_measured and not is_lossless(suffix):
            made.facts = {**made.facts, "measured": f"before encoding as {suffix}"}
        main = path.suffix if path else self.suffix
        made.companions = {
            suffix: image_file(companion, Path(suffix).suffix or suffix, {**recipe, COMPANION: suffix, MAIN: main})
            for suffix, companion in result.companions.items()
        }
        return made

    def _write(self, made: Made, item: Item) -> list[str]:
        """The paths written, the picture's first; none if it went to standard output or is there already."""
        from cnnviz.imaging.image_io import write_bytes

        assert made.content is not None and self.output is not None and item.destination is not None
        if item.destination.is_stdout:
            console.result_bytes(made.content)
            return []
        path = item.destination.path(made.target)
        if self.output.skip_existing and outputs.is_done(path):
            return []
        force = self.output.force or (self.output.skip_existing and path_exists(path))
        if item.source.path and path_exists(path) and path.samefile(item.source.path):
            raise ImageError(f"'{path}' is the input itself; nothing was written.")
        _make_folder(path.parent)
        files = {path: made.content} | {path.with_suffix(suffix): data for suffix, data in made.companions.items()}
        return [str(write_bytes(content, place, force=force)) for place, content in files.items()]

    def _recipe(self, result: Result, source: Source, network: Named) -> dict[str, Any]:
        return {**recipe_of(network, [source.named], self.run.seed), **result.recipe}

    def _report(self, source: Source, made: Made, network: Named) -> None:
        if self.run.json and not (self.output and self.output.output == outputs.STDOUT):
            console.result_json(
                {
                    "input": source.display,
                    "output": made.written[0] if made.written else None,
                    **({"companions": made.written[1:]} if made.written[1:] else {}),
                    "model": network.name,
                    "weights": network.weights.label,
                    **_about_weights(network),
                    **({"note": self.remark} if self.remark else {}),
                    **made.facts,
                    "seconds": round(made.seconds, 3),
                    "seed": self.run.seed,
                    "parameters": current.parameters(),
                }
            )
        else:
            for place in made.written:
                console.told(place)
            for line in made.lines:
                console.result(line) if self.output is None else console.told(line)


def _about_weights(network: Named) -> dict[str, Any]:
    """What else is to be known of the weights, if anything."""
    remark = network.weights.remark
    note = None if remark is None else message_with_hint(remark)
    facts = {"transform_input": network.weights.transform_input, "note": note}
    return {name: value for name, value in facts.items() if value is not None}


def recipe_of(network: Named, names: Sequence[str], seed: int) -> dict[str, Any]:
    """What made a result: this command with its parameters, the network, and the pictures as they were named."""
    return {
        "command": current.command,
        "version": __version__,
        "inputs": list(names),
        "model": network.name,
        "weights": network.weights.label,
        "weights_sha256": network.weights.sha256,
        **({"precision": network.precision} if network.precision != "fp32" else {}),
        "seed": seed,
        "parameters": current.parameters(),
    }


def read_picture(source: Source, network: Network, options: PictureOptions) -> Picture:
    """Read one picture and bring it to the size ``network`` is to see; ImageError or MemoryShortError if it cannot."""
    from cnnviz.imaging.image_io import read_pil_image

    try:
        photo = read_pil_image(source.content(), background=options.background, max_pixels=options.max_pixels)
        return framed(source, photo, network, options)
    except MemoryError as error:
        if isinstance(error, MemoryShortError):
            raise
        raise MemoryShortError(f"{source.display} is too large for this machine's memory.") from error


def framed(source: Source, photo: Image, network: Network, options: PictureOptions) -> Picture:
    """A photo at the size ``network`` is to see; MemoryShortError if that cannot be."""
    from cnnviz.imaging.pixels import center_square, resized_shape, to_pixels
    from cnnviz.runtime.memory import require_memory, require_memory_for_pixels

    spec, crop = network.spec, network.spec.crop if options.square else None
    size: int | tuple[int, int] = spec.size if spec.fixed else (options.size_of(photo) or spec.size)
    if spec.fixed and not crop:
        size = (spec.size, spec.size)
    height, width = resized_shape(photo, size, crop or False)
    require_memory_for_pixels((height, width), network.device)
    require_memory(network, (min(height, options.piece or height), min(width, options.piece or width)))
    pixels = to_pixels(photo, size, crop=crop or False)
    return Picture(source, photo, center_square(photo, crop) if crop else photo, pixels)


def about(source: Source, error: Exception) -> str:
    """The error's sentence, with the picture's path in front where it does not name it itself."""
    message = message_with_hint(error)
    return message if source.display in message else f"{source.display}: {message}"


def is_disk_full(error: Exception) -> bool:
    """Whether there is no room left for any further result."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in (errno.ENOSPC, errno.EDQUOT)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"The folder '{folder}' cannot be made: {error.strerror}.") from error
