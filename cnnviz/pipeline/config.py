"""The settings of a run as plain values: which images, which network, where results go, how much is done at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cnnviz.errors import ModelError, Remark, UsageError, shortened
from cnnviz.pipeline.parsing import index, real

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from cnnviz.network.default_model import Purpose
    from cnnviz.network.network import Network
    from cnnviz.runtime.workload import Workload

LARGEST_SIDE = 1_000_000
"""Pixels of any side that may be asked for; long before, memory is short."""

DEFAULT_MAX_PIXELS = 178_956_970
_TILE = 512  # pixels
CANVAS_SIDE = 512
"""Pixels of the shorter side that a larger photo is brought to for a dream, where no size is given."""


@dataclass
class NetworkConfig:
    """Which network, with which weights, and where it computes; the arguments of ``cnnviz.load_network``.

    ``model`` ``auto`` is the network that suits the task best of those that are here or can be fetched. ``exec`` is the
    command line of a program that is the network instead, as ``cnnviz.load_program`` takes it.
    """

    model: str = "auto"
    weights: str | None = None
    labels: Path | None = None
    mean: str | Sequence[float] | None = None
    std: str | Sequence[float] | None = None
    input_range: str | tuple[float, float] | None = None
    input_channels: int | None = None
    logits: str | None = None
    activation: str = "auto"
    transform_input: bool | None = None
    weights_key: str | None = None
    head_activation: str | None = None
    device: str = "auto"
    precision: str = "auto"
    fast_conv: bool | None = None
    offline: bool = False
    trust: bool = False
    exec: str | None = None
    exec_timeout: float = 600.0

    def load(self, name: str, seed: int, *, workload: Workload, progress: bool, side: int | None = None) -> Network:
        """The network, under the name that ``auto`` came down to; ``workload`` decides what precision ``auto`` is.

        ``side`` is what images are brought to, which a network of unknown size is taken to have been trained on.
        """
        from cnnviz.network.download import internet_access
        from cnnviz.network.loading import load_network
        from cnnviz.network.sources.table import is_described

        if self.exec is not None:
            from cnnviz.network.programs.program import load_program

            channels = self.input_channels or 3
            return load_program(self.exec, self.labels, size=side, channels=channels, timeout=self.exec_timeout)
        with internet_access(allowed=not self.offline):
            return load_network(
                name,
                weights=self.weights,
                labels=self.labels,
                device=self.device,
                precision=self.precision,
                mean=numbers(self.mean, "The mean"),
                std=numbers(self.std, "The standard deviation"),
                input_range=value_range(self.input_range, "The input range"),
                channels=self.input_channels,
                output=self.logits,
                activation=self.activation,
                transform_input=self.transform_input,
                weights_key=self.weights_key,
                head_activation=self.head_activation,
                size=None if is_described(name) else side,
                workload=workload,
                fast_conv=self.fast_conv,
                seed=seed,
                progress=progress,
                trust=self.trust,
            )

    def load_structure(self, name: str, seed: int) -> Network:
        """The network with its layers, shapes and costs, and, unless ``weights`` is a file, without weights.

        Nothing is downloaded. A file is loaded because it decides how many classes there are, and a network of the
        user's own as it is.
        """
        from cnnviz.network.catalogue_weights import looks_like_file
        from cnnviz.network.loading import load_meta_network
        from cnnviz.network.sources.table import find_source, is_described

        if self.exec is not None:
            raise ModelError(f"{name} only gives scores: it has no layers to look into.", remedy="scores_only")
        if find_source(name) is not None:
            weights = self.weights or ("random" if is_described(name) else None)
            return replace(self, weights=weights).load(name, seed, workload="exact", progress=False)
        named = self.weights if self.weights and self.weights.lower() not in ("random", "embedded") else None
        if named and looks_like_file(named):
            return self.load(name, seed, workload="exact", progress=False)
        return load_meta_network(name, named, self.input_channels)

    def choose(self, purpose: Purpose) -> tuple[str, Remark | None]:
        """The model's name, and a remark where ``auto`` had to settle for another than the best for ``purpose``."""
        from cnnviz.network.default_model import choose_model
        from cnnviz.network.download import internet_access
        from cnnviz.network.sources.table import require_ready

        if self.exec is not None:
            return self._program_name(self.exec), None
        if self.model != "auto":
            require_ready(self.model, trust=self.trust)
            return self.model, None
        if self.weights is not None and self.weights.lower() != "random":
            from cnnviz.network.loading import model_of

            found = model_of(self.weights, self.weights_key)
            assert found is not None
            return found
        with internet_access(allowed=not self.offline):
            choice = choose_model(purpose)
        return choice.name, choice.remark

    def _program_name(self, command: str) -> str:
        from cnnviz.network.programs.template import CommandTemplate

        if self.model != "auto" or self.weights is not None:
            raise UsageError("A program is a network of its own, without a model and weights.", remedy="only_program")
        return CommandTemplate.parse(command).name


@dataclass
class NetworksConfig(NetworkConfig):
    """Several networks, with everything else in common."""

    model: list[str] | None = None  # type: ignore[assignment]

    def each(self) -> list[NetworkConfig]:
        """The configuration of each network named, once each, in their order."""
        common = {f.name: getattr(self, f.name) for f in fields(NetworkConfig) if f.name not in ("model", "exec")}
        names = self.model or ([] if self.exec else ["auto"])
        networks = [NetworkConfig(model=name, **common) for name in dict.fromkeys(names)]
        if self.exec is not None:
            common |= {"weights": self.weights if not names else None}
            networks.append(NetworkConfig(exec=self.exec, **common))
        return networks


def numbers(value: str | Sequence[float] | None, option: str) -> list[float] | None:
    """Numbers, or a text of numbers separated by commas; UsageError that begins with ``option`` for anything else."""
    if value is None:
        return None
    if not isinstance(value, str):
        return list(value)
    found = [real(part) for part in value.split(",")]
    if None in found:
        raise UsageError(
            f"{option} takes numbers separated by commas, as in 0.485,0.456,0.406, not '{shortened(value)}'."
        )
    return [number for number in found if number is not None]


def value_range(value: str | tuple[float, float] | None, option: str) -> tuple[float, float] | None:
    """Two numbers, or a text such as ``0..255``; UsageError that begins with ``option`` for anything else."""
    if not isinstance(value, str):
        return value
    low, dots, high = value.partition("..")
    numbers = real(low), real(high)
    if not dots or numbers[0] is None or numbers[1] is None:
        raise UsageError(f"{option} is two numbers, as in 0..255 or -1..1, not '{shortened(value)}'.")
    return numbers[0], numbers[1]


@dataclass
class ImageConfig:
    """Which images (files, folders, patterns, ``-``, or a list of them in a file), and how they are read.

    ``show_channels`` are those that figures show of images that are no photos, see ``imaging.bands.shown_channels``.
    """

    images: list[str] | None = None
    files_from: str | None = None
    shard: str | None = None
    recursive: bool = False
    background: str = "white"
    max_pixels: int = DEFAULT_MAX_PIXELS
    show_channels: str | None = None

    @property
    def side(self) -> int | None:
        """The shorter side an image is brought to; None for what the network was trained on."""
        return None

    @property
    def square(self) -> bool:
        """Whether only the central square is looked at."""
        return False

    @property
    def piece(self) -> int | None:
        """The largest side the network sees at once; None for images that it sees whole."""
        return None

    def size_of(self, photo: Image) -> int | tuple[int, int] | None:
        """The size this image is brought to, as ``to_pixels`` takes it; ``side``, where all are treated alike."""
        return self.side


@dataclass
class InputConfig(ImageConfig):
    """Which images, and how they are brought to the network's size."""

    size: int | None = None
    crop: bool = False

    @property
    def side(self) -> int | None:
        return self.size

    @property
    def square(self) -> bool:
        return self.crop


def tile_side(text: str) -> int | None:
    """The side of tiles in pixels, 0 for images shown whole, None for ``auto``; UsageError for anything else."""
    if text == "auto":
        return None
    side = index(text)
    if side is None:
        raise UsageError(f"Tiles are auto, a side in pixels, or 0 for the whole image, not '{shortened(text)}'.")
    return side


@dataclass
class PaintingConfig(InputConfig):
    """Which photos are painted, at what size, whole or in tiles."""

    tile: str = "auto"

    @property
    def piece(self) -> int | None:
        side = tile_side(self.tile)
        return _TILE if side is None else side or None


@dataclass
class SampleConfig(ImageConfig):
    """Which samples of textures, and how large they are looked at."""

    sample_size: int = 256
    crop: bool = False
    tile: str = "auto"

    @property
    def side(self) -> int | None:
        return self.sample_size

    @property
    def square(self) -> bool:
        return self.crop


@dataclass
class CanvasConfig(ImageConfig):
    """Which photos are painted on, at what size, whole or in tiles."""

    size: int | None = None
    tile: int | None = None

    @property
    def piece(self) -> int | None:
        return self.tile

    def size_of(self, photo: Image) -> tuple[int, int]:
        """The photo's own shape, however long a strip it is: what is painted is not to be squeezed."""
        own = min(photo.size)
        scale = (self.size or (own if self.tile else min(own, CANVAS_SIDE))) / own
        return max(1, round(photo.height * scale)), max(1, round(photo.width * scale))


@dataclass
class FastStyleInputConfig(ImageConfig):
    """Which images are painted by a trained network, and at what size: their own if ``size`` is None."""

    size: int | None = None

    @property
    def side(self) -> int | None:
        return self.size

    def size_of(self, photo: Image) -> int | tuple[int, int]:
        return self.size or (photo.height, photo.width)


SHEET_SIDE = 384
"""Pixels of the shorter side at which a photo is painted for a sheet of styles, where no size is given."""


@dataclass
class StyleSheetInputConfig(FastStyleInputConfig):
    """Which images are painted in many styles, and at what size: at most ``SHEET_SIDE`` if ``size`` is None."""

    def size_of(self, photo: Image) -> int | tuple[int, int]:
        return self.size or min(SHEET_SIDE, *photo.size)


@dataclass
class OutputConfig:
    """Where results are written: a file, a folder, ``-``, or a template; by default ``{stem}.{command}.png``."""

    output: str | None = None
    force: bool = False
    skip_existing: bool = False


@dataclass
class MonitorConfig:
    """What an optimization of many steps leaves behind on its way, and whether it continues an interrupted run."""

    save_every: int = 0
    gif: bool = False
    resume: bool = False


@dataclass
class StoreConfig:
    """Where features of images are kept, so that the next run need not compute them again."""

    store: Path | None = None
    batch: int | None = None

    def batch_size(self, device: torch.device) -> int:
        """How many images the network sees at once on ``device``."""
        return self.batch or (4 if device.type == "cpu" else 16)


@dataclass
class RunConfig:
    """What makes a run repeatable."""

    seed: int = 0


@dataclass
class EngineConfig(RunConfig):
    """What works through the images: ``local`` (this process) or ``ray``, ``jobs`` at once."""

    engine: str = "local"
    jobs: int | None = None
    ray_address: str | None = None


@dataclass
class BatchConfig(EngineConfig):
    """What works through the images of a task with a result for each; ``unordered`` reports them as they are done."""

    unordered: bool = False
