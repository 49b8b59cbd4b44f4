"""What the options of commands that draw a map exclude."""

from __future__ import annotations

from cnnviz.cli.context import CommandContext
from cnnviz.cli.options.outputs import OutputOptions
from cnnviz.pipeline.outputs import require_files
from cnnviz.tasks.occlusion import Occlusion
from cnnviz.tasks.shared.map_task import MapTask


def check_map_options(context: CommandContext, task: MapTask | Occlusion, output: OutputOptions) -> None:
    """Refuse what cannot be made or written, before any work; name the options without effect."""
    if isinstance(task, MapTask) and task.grabcut:
        from cnnviz.attribution.segmentation import require_opencv

        require_files(output, "--grabcut")
        require_opencv()
    if task.check:
        require_files(output, "--check")
    context.unused("colormap", "percentile", when=task.maps.view == "raw", why="with --view raw, gray and unclipped")
