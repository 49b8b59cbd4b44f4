"""What tasks that optimize an image from coarse to fine share: one run, with checkpoints, and a sheet of several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cnnviz.pipeline.result import Result
from cnnviz.tasks.shared.base import TaskDefaults

if TYPE_CHECKING:
    from PIL.Image import Image

    from cnnviz.network.network import Network
    from cnnviz.pipeline.step_monitor import StepMonitor
    from cnnviz.runtime.progress import Step
    from cnnviz.synthesis.multiscale_synthesis import MultiscaleSynthesis

    Sheet = Callable[[Sequence[Image], bool], Image]


@dataclass
class LastLosses:
    """An ``on_step`` that calls ``monitor`` and keeps the losses of the last step."""

    monitor: StepMonitor
    terms: dict[str, float] = field(default_factory=dict)

    def __call__(self, step: Step) -> None:
        self.terms = dict(step.terms)
        self.monitor(step)

    @property
    def rounded(self) -> dict[str, float]:
        """The losses by name, with six digits."""
        return {name: float(f"{value:.6g}") for name, value in self.terms.items()}


class MultiscaleTask(TaskDefaults):
    """A task that optimizes images from coarse to fine; ``seed`` is a field of it."""

    purpose = "style"
    workload = "synthesis"
    needs_gradients = True
    photos_only = "A painting or texture"
    several_sizes = True

    seed: int

    def optimize(
        self,
        network: Network,
        synthesis: MultiscaleSynthesis,
        monitor: StepMonitor,
        metadata: dict[str, Any],
        **key: Any,
    ) -> Result:
        """The result of one run, resumed from its checkpoint if that is wanted.

        ``key`` are the sizes that the run has to have in common with the checkpoint, besides parameters and seed.
        """
        from cnnviz.imaging.pixels import to_pil_image
        from cnnviz.pipeline.checkpoint import Checkpointer

        if monitor.reporter.shows_detail:
            monitor.reporter.detail(str(synthesis.estimate()))
        losses, settings = LastLosses(monitor), {**monitor.parameters, "seed": self.seed, **key}
        pixels = Checkpointer(monitor, settings).run(synthesis, losses)
        precision = {"precision": network.precision}
        found = {"losses": losses.rounded} if losses.terms else {}
        image = to_pil_image(pixels, clamp=True)
        return Result({**metadata, **found, **precision}, image, recipe=precision, is_measured=True)

    def optimize_each(
        self, runs: Iterable[tuple[str, MultiscaleSynthesis]], sheet: Sheet, monitor: StepMonitor
    ) -> tuple[Image, list[dict[str, float]]]:
        """The sheet of several runs, each with its name, and the last losses of each.

        ``sheet(images, is_unfinished)`` draws the first images; of an interrupted job the last may be unfinished.
        """
        from cnnviz.imaging.pixels import to_pil_image

        images: list[Image] = []
        found: list[dict[str, float]] = []

        def sheet_so_far(unfinished: Image | None) -> Image:
            return sheet(images if unfinished is None else [*images, unfinished], unfinished is not None)

        monitor.sheet = sheet_so_far
        for name, synthesis in runs:
            losses = LastLosses(monitor)
            images.append(to_pil_image(synthesis.run(losses), clamp=True))
            found.append(losses.rounded)
            for remark in synthesis.remarks:
                monitor.reporter.warn(remark)
            monitor.part_is_done(name)
        return sheet(images, False), found
