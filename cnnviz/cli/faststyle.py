"""``cnnviz fast-style``: photos painted in one pass by a trained network; training one; listing its styles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli import console
from cnnviz.cli.command import command
from cnnviz.cli.jobs import in_context, job_of
from cnnviz.cli.options import LARGEST_SIDE, BatchOptions, OutputOptions, PictureOptions, option, real
from cnnviz.errors import UsageError, shortened
from cnnviz.pipeline.config import FastStyleInputConfig
from cnnviz.pipeline.image_job import ImageJob
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.pipeline.video_job import VIDEO, VideoJob, has_any, run_all, split_videos
from cnnviz.runtime.paths import path_exists

if TYPE_CHECKING:
    from cnnviz.style.fast import FastStyleNetwork

GROUP = "fast-style"
EMBEDDED = "embedded"
_BYTES_PER_PIXEL = 400
"""What painting takes for each pixel seen at once, by the widths of the embedded network; measured, rounded up."""

_ModelOption = Annotated[
    str,
    typer.Option("--model", "-m", help="A trained model's file, or 'embedded'.", metavar="FILE"),
]


@dataclass
class StyleModelOptions:
    """Which trained style network, and where it computes."""

    model: _ModelOption = EMBEDDED
    device: Annotated[str, typer.Option("--device", envvar="CNNVIZ_DEVICE", help="auto, cpu, cuda or cuda:N.")] = "auto"

    @property
    def path(self) -> Path | None:
        return None if self.model == EMBEDDED else Path(self.model)

    def prepare(self) -> None:
        """Nothing is ever fetched."""

    def choose(self, technique: str) -> tuple[str, str | None]:
        """The model's name for outputs, and no remark; ModelError where it is not there or something else."""
        from cnnviz.style.model_file import read_metadata

        read_metadata(_place(self.path))
        return (self.path.stem if self.path else EMBEDDED), None

    def load(self, name: str, seed: int, *, workload: str, progress: bool) -> Any:
        """What ``ImageJob`` takes for its network: the painter."""
        from cnnviz.network.hashing import sha256
        from cnnviz.network.spec import WeightsInfo
        from cnnviz.runtime.device import choose_device
        from cnnviz.style.model_file import load_fast_style

        device = choose_device(self.device)
        place = _place(self.path)
        weights = WeightsInfo(place.name if self.path else EMBEDDED, sha256(place))
        return Painter(load_fast_style(place, device), str(self.path or EMBEDDED), weights)


@dataclass
class PaintedOptions(PictureOptions, FastStyleInputConfig):
    """Which photos are painted, and at what size: their own, however large, if nobody says."""

    size: Annotated[
        int | None,
        option(
            "--size",
            "-s",
            env="SIZE",
            panel="Input",
            min=16,
            max=LARGEST_SIDE,
            help="Shorter side of the result in pixels; smaller makes larger strokes.",
            show_default="the photo's",
        ),
    ] = None
    tile: Annotated[
        int | None,
        option(
            "--tile",
            panel="Input",
            min=64,
            help="Paint in pieces of at most this side.",
            metavar="N",
            show_default="1024, beyond 4 megapixels",
        ),
    ] = None


@dataclass
class Painter:
    """A trained style network where ``ImageJob`` looks for the network under study."""

    network: FastStyleNetwork
    name: str
    weights: Any
    precision: str = "fp32"

    @property
    def device(self) -> Any:
        return self.network.device

    @property
    def classes(self) -> int:
        return len(self.network.styles)

    @property
    def spec(self) -> Any:
        from cnnviz.network.spec import InputSpec

        return InputSpec(min_size=16)

    def activation_count(self, size: tuple[int, int]) -> int:
        """In four-byte values: larger pictures are painted in pieces, and cost the photo and the painting only."""
        from cnnviz.style.inference import LARGEST_WHOLE

        pixels = math.prod(size)
        return (min(pixels, LARGEST_WHOLE) * _BYTES_PER_PIXEL + pixels * 60) // 8


def parse_styles(text: str) -> dict[str, float]:
    """``mosaic`` or ``starry:0.7,ink:0.3`` as weights by name; UsageError for anything else."""
    found: dict[str, float] = {}
    for part in text.split(","):
        name, colon, weight = part.strip().partition(":")
        value = real(weight) if colon else 1.0
        if not name or name in found or value is None or value < 0:
            raise UsageError(f"--style takes a name or weights, as in starry:0.7,ink:0.3, not '{shortened(text)}'.")
        found[name] = value
    return found


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    from cnnviz.cli import styletraining

    group = typer.Typer(help="Paint photos in one pass with a trained style network; train one.", no_args_is_help=True)
    _register_apply(group)
    styletraining.register(group)
    _register_list(group)
    app.add_typer(group, name=GROUP)


def _register_apply(group: typer.Typer) -> None:
    @command(
        group,
        "apply",
        group=GROUP,
        examples="cnnviz fast-style apply photo.jpg --style mosaic\n"
        "cnnviz fast-style apply photos/ --style starry:0.7,ink:0.3 -o painted/\n"
        "cnnviz fast-style apply photo.jpg --model my.safetensors --style monet -o - > painted.png",
    )
    def apply(
        network: StyleModelOptions,
        input: PaintedOptions,
        output: OutputOptions,
        run: BatchOptions,
        style: Annotated[
            str | None,
            typer.Option(
                "--style",
                help="A style's name, or several with weights, as starry:0.7,ink:0.3.",
                metavar="NAME[:WEIGHT],...",
                show_default="the model's first",
            ),
        ] = None,
    ) -> None:
        """Paint photos, or the frames of videos named, in a style in one pass."""
        from cnnviz.style.model_file import read_metadata

        known = read_metadata(_place(network.path))["styles"]
        wanted = parse_styles(style or known[0])
        _check_known(wanted, known)

        def paint(painter: Any, picture: LoadedImage) -> Result:
            return _painted(painter, picture, wanted, input.tile, run.seed)

        photos, videos = split_videos(input)
        photo_job = job_of(ImageJob, "style", network, photos, run, output)
        video_job = job_of(VideoJob, "style", network, videos, run, output, suffix=VIDEO)
        jobs = [job for job in (photo_job, video_job) if has_any(job.input)]
        run_all(jobs or [photo_job], in_context(paint))


def _painted(painter: Painter, picture: LoadedImage, style: dict[str, float], tile: int | None, seed: int) -> Result:
    from cnnviz.imaging.pixels import to_pil_image
    from cnnviz.style.inference import apply_fast_style

    painted = apply_fast_style(painter.network, picture.pixels, style, tile=tile, seed=seed)
    total = sum(style.values())
    facts = {
        "style": {name: weight / total for name, weight in style.items()},
        "size": [int(painted.shape[3]), int(painted.shape[2])],
    }
    return Result(facts, to_pil_image(painted, clamp=True))


def _check_known(wanted: dict[str, float], known: list[str]) -> None:
    for name in wanted:
        if name not in known:
            raise UsageError(f"There is no style '{name}'; the model has {', '.join(known)}.")
    if sum(wanted.values()) <= 0:
        raise UsageError("The weights of styles are all zero; one of them must be positive.")


def _register_list(group: typer.Typer) -> None:
    @command(group, "list", group=GROUP, examples="cnnviz fast-style list\ncnnviz fast-style list -m my.safetensors")
    def list_styles(
        model: _ModelOption = EMBEDDED,
        json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
        debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    ) -> None:
        """List the styles of a model, with the paths of their thumbnails."""
        from cnnviz.style.model_file import read_metadata, thumbnail

        place = _place(None if model == EMBEDDED else Path(model))
        rows = [(name, thumbnail(place, name)) for name in read_metadata(place)["styles"]]
        if json:
            for name, path in rows:
                console.result_json(
                    {"style": name, "thumbnail": str(path) if path_exists(path) else None, "model": model}
                )
            return
        console.table(("style", "thumbnail"), [(name, str(path) if path_exists(path) else "-") for name, path in rows])


def _place(path: Path | None) -> Path:
    from cnnviz.errors import ModelError
    from cnnviz.style.model_file import BUNDLED_FILE

    if path is None and not BUNDLED_FILE.exists():
        raise ModelError(
            "No fast style model is embedded in this build; train one with 'cnnviz fast-style train', and name it "
            "with --model FILE."
        )
    return path or BUNDLED_FILE
