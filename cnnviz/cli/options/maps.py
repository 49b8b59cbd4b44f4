"""Checks of the options that commands with a map share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cnnviz.cli.context import CommandContext
from cnnviz.cli.options.outputs import OutputOptions
from cnnviz.pipeline.outputs import NUMBERS, require_files, suffix_of
from cnnviz.tasks.occlusion import Occlusion
from cnnviz.tasks.shared.map_task import MapTask


def check_map_options(context: CommandContext, task: MapTask | Occlusion, output: OutputOptions) -> None:
    """UsageError for what cannot be made or written, before any work; a note names options without effect."""
    if isinstance(task, MapTask) and task.grabcut:
        from cnnviz.attribution.segmentation import require_opencv

        require_files(output, "--grabcut")
        require_opencv()
    check_boxes(context, task)
    if task.check:
        require_files(output, "--check")
    note_idle_view(context, output)
    context.unused("colormap", "percentile", when=task.maps.view == "raw", why="with --view raw, gray and unclipped")


def note_idle_view(context: CommandContext, output: OutputOptions) -> None:
    """A note that names the options for how a map is drawn, where its numbers are written instead."""
    is_numbers = suffix_of(output) in NUMBERS
    names = ("view", "colormap", "percentile", "blur", "raw")
    typed = [name for name in names if name in context.option_names]
    context.unused(*typed, when=is_numbers, why="on numbers, which are written as they are")


def check_boxes(context: CommandContext, task: Any) -> None:
    """Read the marked objects, so that a mistake in them is an error before any work."""
    if not task.check:
        context.unused("boxes", why="without --check")
    elif task.boxes is not None:
        from cnnviz.pipeline.marked_objects import MarkedObjects

        MarkedObjects.of(Path(task.boxes))
