"""``cnnviz occlusion``."""

from __future__ import annotations

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_task
from cnnviz.cli.options import BatchOptions, InputOptions, NetworkOptions, OutputOptions
from cnnviz.cli.options.maps import check_map_options
from cnnviz.tasks.occlusion import Occlusion


def occlusion(
    context: CommandContext,
    network: NetworkOptions,
    input: InputOptions,
    output: OutputOptions,
    run: BatchOptions,
    task: Occlusion,
) -> None:
    """Show where hiding the image costs the class its score (Zeiler & Fergus 2014).

    Examples:
        cnnviz occlusion sample_images/coffee.png
        cnnviz occlusion sample_images/chelsea.png --patch 48 --stride 16 --score logit --class-map
    """
    check_map_options(context, task, output)
    context.unused("score", when=task.versus is not None, why="with --versus, which shows the log-odds")
    context.unused("class_map", when=task.maps.view != "panel", why="without --view panel")
    run_task(context, task, network, input, run, output)
