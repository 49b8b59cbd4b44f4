"""``cnnviz dream``: photos in which a network sees more of what it sees in them already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli.command import command
from cnnviz.cli.features import ChannelsOption
from cnnviz.cli.idle import idle
from cnnviz.cli.jobs import image_job
from cnnviz.cli.options import BatchOptions, CanvasOptions, LongOptions, NetworkOptions, OutputOptions
from cnnviz.errors import UsageError
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.pipeline.step_monitor import StepMonitor
from cnnviz.synthesis.settings import DreamSettings
from cnnviz.tasks.layers import channel_numbers

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.network.network import Network
    from cnnviz.runtime.progress import OnStep
    from cnnviz.synthesis.deepdream import DreamTarget


@dataclass(frozen=True)
class Sleep:
    """How to dream: what of, how deep, how strongly."""

    layers: tuple[str, ...]
    channels: str | None
    guide: Path | None
    settings: DreamSettings
    zoom: int
    zoom_factor: float
    rotate: float
    average_pooling: bool
    seed: int

    def wanted(self, network: Network) -> list[DreamTarget]:
        """Layers and channels that are to be seen more of."""
        from cnnviz.network.default_layers import dream_layers
        from cnnviz.synthesis.deepdream import DreamTarget

        layers = self.layers or dream_layers(network)
        if self.channels is None:
            return [DreamTarget(layer) for layer in layers]
        return [DreamTarget(layer, channel) for layer in layers for channel in channel_numbers([self.channels])]


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @command(
        app,
        "dream",
        examples="cnnviz dream sample_images/astronaut.png\n"
        "cnnviz dream sample_images/rocket.jpg --layer fire5 --strength 1.5 --size 384\n"
        "cnnviz dream sample_images/coffee.png --guide sample_images/starry.jpg\n"
        "cnnviz dream sample_images/rocket.jpg --zoom 12 --size 256 -o fall.gif",
    )
    def dream(
        network: NetworkOptions,
        input: CanvasOptions,
        output: OutputOptions,
        long: LongOptions,
        run: BatchOptions,
        layers: Annotated[
            list[str] | None,
            typer.Option(
                "--layer",
                "-l",
                help="Layer to see more of; may be given several times. Shallow layers give strokes and swirls, deep "
                "ones eyes and faces. Defaults: SqueezeNet fire7, GoogLeNet inception4c, VGG relu4_3, ResNet layer3.",
            ),
        ] = None,
        channels: ChannelsOption = None,
        guide: Annotated[
            Path | None, typer.Option("--guide", help="See this picture's features instead.", metavar="IMG")
        ] = None,
        octaves: Annotated[
            int, typer.Option("--octaves", min=1, max=64, help="Sizes, from small to large.")
        ] = DreamSettings.octaves,
        octave_scale: Annotated[
            float, typer.Option("--octave-scale", help="Ratio of one size to the next.")
        ] = DreamSettings.octave_scale,
        steps: Annotated[int, typer.Option("--steps", min=1, help="Steps of each octave.")] = DreamSettings.steps,
        strength: Annotated[
            float, typer.Option("--strength", min=0, help="How far each step goes.")
        ] = DreamSettings.step_size,
        jitter: Annotated[
            int, typer.Option("--jitter", min=0, help="Largest random shift, in pixels.")
        ] = DreamSettings.jitter,
        keep_color: Annotated[
            float, typer.Option("--keep-color", min=0, max=1, help="Share of the photo's own colour to keep.")
        ] = 0.3,
        average_pooling: Annotated[
            bool, typer.Option("--average-pooling", help="Average where the network takes maxima: waves, like fur.")
        ] = False,
        zoom: Annotated[
            int,
            typer.Option(
                "--zoom", min=0, max=100_000, help="A film of so many frames falling into the dream.", metavar="N"
            ),
        ] = 0,
        zoom_factor: Annotated[float, typer.Option("--zoom-factor", min=1, max=1000, help="Of each frame.")] = 1.05,
        rotate: Annotated[float, typer.Option("--rotate", help="Degrees each frame turns.")] = 0.0,
    ) -> None:
        """Dream of a photo: more of what the network sees in it, at every scale (Mordvintsev, Olah & Tyka 2015)."""
        if octave_scale <= 1:
            raise UsageError(f"--octave-scale must be above 1, not {octave_scale:g}.")
        idle("channels", when=guide is not None, why="with --guide, whose features are sought in all channels")
        idle("zoom_factor", "rotate", when=zoom < 2, why="without a --zoom of two frames or more")
        idle("octave_scale", when=octaves == 1, why="with --octaves 1")
        sleep = Sleep(
            tuple(layers or ()),
            channels,
            guide,
            DreamSettings(octaves, octave_scale, steps, strength, jitter, keep_color, input.tile),
            *(zoom, zoom_factor, rotate, average_pooling, run.seed),
        )
        watch = StepMonitor(long)
        suffix = ".gif" if zoom else ".png"
        job = image_job("dream", network, input, run, output, monitor=watch, suffix=suffix)
        job(_Dreamer(sleep, watch))


class _Dreamer:
    """Dreams of picture after picture, of the same things."""

    def __init__(self, sleep: Sleep, watch: StepMonitor) -> None:
        self.sleep = sleep
        self.watch = watch
        self.guide = _read_guide(sleep.guide) if sleep.guide else None

    def __call__(self, network: Network, picture: LoadedImage) -> Result:
        from cnnviz.network.network_transforms import has_max_pooling
        from cnnviz.synthesis.deepdream import activation_gain

        idle("average_pooling", when=not has_max_pooling(network), why=f"on {network.name}, which takes no maxima")
        wanted = self.sleep.wanted(network)
        layers = list(dict.fromkeys(want.layer for want in wanted))
        facts: dict[str, Any] = {"layers": layers}
        if self.sleep.zoom:
            frames = self._film(network, picture.pixels, wanted)
            return Result({**facts, "frames": len(frames)}, _photos(frames))
        image = _photos([self._dream(network, picture.pixels, wanted, self.watch)])[0]
        if self.sleep.settings.tile is None:
            facts["activation_gain"] = round(activation_gain(network, picture.pixels, _eight_bit(image), layers), 3)
        return Result(facts, image, is_measured="activation_gain" in facts)

    def _dream(
        self,
        network: Network,
        pixels: Tensor,
        wanted: Sequence[DreamTarget],
        on_step: OnStep,
        sleep: Sleep | None = None,
    ) -> Tensor:
        from cnnviz.network.network_transforms import with_average_pooling
        from cnnviz.synthesis.deepdream import dream

        sleep = sleep or self.sleep
        return dream(
            with_average_pooling(network) if sleep.average_pooling else network,
            pixels,
            wanted,
            guide=self.guide,
            settings=sleep.settings,
            seed=sleep.seed,
            on_step=on_step,
        )

    def _film(self, network: Network, pixels: Tensor, wanted: Sequence[DreamTarget]) -> list[Tensor]:
        """The first frame is dreamt in full, each further one a little on: it is the last frame's dream already."""
        from cnnviz.synthesis.deepdream import dream_steps, later_frame_settings, zoom_frames
        from cnnviz.synthesis.optimization import offset_steps

        first, size = self.sleep, (pixels.shape[2], pixels.shape[3])
        settings = first.settings
        later_settings = later_frame_settings(settings)
        of_first, of_later = (dream_steps(network, size, each) for each in (settings, later_settings))
        total = of_first + of_later * (first.zoom - 1)

        def paint(start: Tensor, number: int) -> Tensor:
            before = of_first + of_later * (number - 1) if number else 0
            later = replace(first, settings=later_settings, seed=first.seed + number)
            tell = offset_steps(self.watch, before, total) or self.watch
            return self._dream(network, start, wanted, tell, later if number else first)

        return zoom_frames(network, pixels, first.zoom, paint, factor=first.zoom_factor, degrees=first.rotate)


def _read_guide(path: Path) -> Tensor:
    from cnnviz.imaging.image_io import read_image

    return read_image(path, 320)


def _photos(frames: Sequence[Tensor]) -> list[Any]:
    from cnnviz.imaging.pixels import to_pil_image

    return [to_pil_image(frame, clamp=True) for frame in frames]


def _eight_bit(image: Any) -> Tensor:
    from cnnviz.imaging.pixels import to_pixels

    return to_pixels(image)
