"""Trains a network that paints in the styles of some images in one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.errors import UsageError, shortened
from cnnviz.pipeline import inputs
from cnnviz.pipeline.config import ImageConfig, MonitorConfig
from cnnviz.pipeline.parsing import whole
from cnnviz.pipeline.reporter import Reporter
from cnnviz.pipeline.result import Result, WrittenElsewhereError
from cnnviz.pipeline.step_monitor import StepMonitor
from cnnviz.settings import setting
from cnnviz.style.settings import FastStyleConfig, TrainingSettings
from cnnviz.tasks.shared.base import TaskDefaults

if TYPE_CHECKING:
    from PIL.Image import Image

    from cnnviz.network.network import Network
    from cnnviz.runtime.progress import Step
    from cnnviz.style.training import FastStyleTraining

_THUMBNAIL = 128  # pixels, the longer side
_WORTH_SAYING = 90  # seconds: that less is to come need not be told
_FIXED = ("content_layers", "style_layers", "style_loss", "average_pooling")
"""Settings that this task leaves at their defaults, and that its files do not record."""
_FREE = ("steps", "minutes", "resume", "save_every")
"""Parameters that may differ between a checkpoint and the run that resumes it."""


def _text(widths: Sequence[int]) -> str:
    return ",".join(map(str, widths))


@dataclass(frozen=True)
class FastStyleTrain(TaskDefaults):
    """A style network trained on ``photos``, with one style for each of the images ``styles``, named as the files."""

    purpose = "style"
    workload = "training"
    photos_only = "A style network"
    needs_gradients = True

    settings: TrainingSettings = field(default=TrainingSettings())
    widths: str = setting(
        _text(TrainingSettings.widths),
        "Channels at full, half and quarter resolution.",
        metavar="A,B,C",
        advanced=True,
    )
    mixed_precision: str = setting(
        TrainingSettings.precision,
        "What the trained network computes in.",
        choices=("fp32", "bf16", "fp16"),
        advanced=True,
    )
    extend: Path | None = setting(None, "Add the styles to this model; its own stay as they are.", metavar="FILE")
    minutes: float | None = setting(
        None, "As many steps as this time allows, in place of --steps.", metavar="N", min=0.01, show_default="by steps"
    )
    start: Path | None = setting(None, "Start from the weights of this model of the same styles.", metavar="FILE")
    styles: tuple[Path, ...] = ()
    photos: tuple[Path, ...] = ()
    seed: int = 0

    @property
    def suffix(self) -> str:
        return ".safetensors"

    @property
    def sidecars(self) -> Sequence[str]:
        return [f".{name}.jpg" for name in self.names]

    @property
    def names(self) -> list[str]:
        """The name of each style."""
        return [path.stem for path in self.styles]

    @property
    def training_settings(self) -> TrainingSettings:
        """All settings of the training; UsageError for those that make no sense."""
        return replace(self.settings, widths=parse_widths(self.widths), precision=self.mixed_precision)

    def monitor(self, config: MonitorConfig) -> StepMonitor:
        return PreviewMonitor(config)

    def validate(self) -> None:
        """Find mistakes in the names of styles and in the settings before any work.

        Raises:
            UsageError: two styles have one name, or a setting makes no sense.
        """
        from cnnviz.style.fast import check_names

        check_names(self.names)
        settings = self.training_settings
        FastStyleConfig(settings.widths, settings.blocks)

    def run(self, network: Network, monitor: StepMonitor) -> Result:
        from cnnviz.imaging.decoding import read_pil_image
        from cnnviz.imaging.pixels import to_pixels
        from cnnviz.runtime.distributed import launch_fabric
        from cnnviz.style.model_file import load_fast_style, to_bytes
        from cnnviz.style.training import FastStyleTraining

        images = {name: read_pil_image(path) for name, path in zip(self.names, self.styles, strict=True)}
        fabric = launch_fabric(network.device.type)
        if fabric:
            network.to(fabric.device)
        training = FastStyleTraining(
            network,
            {name: to_pixels(image) for name, image in images.items()},
            self.photos,
            self.training_settings,
            self.seed,
            fabric=fabric,
            extend=load_fast_style(self.extend) if self.extend else None,
            start=load_fast_style(self.start) if self.start else None,
            minutes=self.minutes,
        )
        losses = self._train(training, monitor)
        record = {
            "perceived_by": network.name,
            "weights": network.weights.label,
            "seed": self.seed,
            "settings": {**self._recorded_settings(), "steps": training.settings.steps},
            "photos": len(self.photos) - len(training.skipped),
            "losses": losses,
        }
        metadata = {
            "styles": list(training.network.styles),
            "steps": training.done,
            "losses": losses,
            "stopped_improving": training.improvement.stopped_at,
            "photos": len(self.photos),
            "skipped": [self.photos[i].name for i in sorted(training.skipped)],
        }
        # Styles are inputs, and that a run was resumed is no part of its recipe; nor is a time, which makes other
        # numbers of steps elsewhere.
        parameters = {
            name: value for name, value in monitor.parameters.items() if name not in ("styles", "resume", "minutes")
        }
        if self.minutes is not None:
            parameters["steps"] = training.settings.steps
        if training.settings.batch != TrainingSettings.batch:  # elsewhere a matter of speed, and left out
            parameters["batch"] = training.settings.batch
        recipe = {"inputs": [str(path) for path in self.styles], "parameters": parameters}
        thumbnails = {f".{name}.jpg": _thumbnail(image) for name, image in images.items()}
        return Result(metadata, to_bytes(training.network, record), sidecars=thumbnails, recipe=recipe)

    def _train(self, training: FastStyleTraining, monitor: StepMonitor) -> dict[str, float]:
        """Take the steps, and return the losses of the last one; WrittenElsewhereError in all processes but one."""
        from cnnviz.pipeline.checkpoint import Checkpointer

        reported: set[int] = set()
        losses: dict[str, float] = {}
        settings = training.settings

        def on_estimate(steps: int, seconds: float) -> None:
            size = f"{steps:,} steps of {settings.batch} crops of {settings.crop} pixels"
            if seconds >= _WORTH_SAYING and training.rank == 0:
                monitor.reporter.warn(f"{size} will take about {_duration(seconds)} here.")

        def on_step(step: Step) -> None:
            losses.update({name: round(value, 4) for name, value in step.terms.items()})
            for index in training.skipped.keys() - reported:
                monitor.reporter.warn(f"{self.photos[index]} is left out: {training.skipped[index]}")
                reported.add(index)
            if training.rank == 0:
                if training.improvement.stopped_at == step.step:
                    monitor.reporter.warn(training.improvement.sentence)
                monitor(step)

        common = {**monitor.parameters, **self._recorded_settings(), "seed": self.seed, "photos": len(self.photos)}
        key = {name: value for name, value in common.items() if name not in _FREE}
        training.on_estimate = on_estimate
        Checkpointer(monitor, key, writes=training.rank == 0).run(training, on_step)
        if training.rank > 0:
            raise WrittenElsewhereError
        return losses

    def _recorded_settings(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self.training_settings).items() if name not in _FIXED}


@dataclass
class PreviewMonitor(StepMonitor):
    """Writes previews as images beside the model; an interrupted training leaves its checkpoint only."""

    saves_last = True

    @contextmanager
    def monitoring(
        self, path: Path | None, recipe: dict[str, Any], reporter: Reporter, *, force: bool
    ) -> Iterator[None]:
        # The previews of the run that is resumed are its own, and may be overwritten.
        image = path.with_suffix(".png") if path else None
        with super().monitoring(image, recipe, reporter, force=force or self.config.resume):
            yield

    def partial_result(self) -> Result | None:
        return None


def photo_files(config: ImageConfig, reporter: Reporter) -> tuple[Path, ...]:
    """The files that ``config`` names; UsageError if standard input is among them."""
    paths = tuple(source.path for source in inputs.expand(config, reporter) if source.path is not None)
    if inputs.STDIN in (config.images or ()):
        raise UsageError("Training reads its photos more than once: give files, not '-'.")
    return paths


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} minutes" if minutes < 100 else f"{seconds / 3600:.1f} hours"


def parse_widths(text: str) -> tuple[int, int, int]:
    """Channels at three resolutions, as ``16,32,64``; UsageError for anything else."""
    widths = [whole(part) for part in text.split(",")]
    if len(widths) != 3 or None in widths:
        raise UsageError(f"A network has three widths, whole numbers, as 16,32,64, not '{shortened(text)}'.")
    return tuple(widths)  # type: ignore[return-value]


def _thumbnail(photo: Image) -> Image:
    small = photo.convert("RGB")
    small.thumbnail((_THUMBNAIL, _THUMBNAIL))
    return small
