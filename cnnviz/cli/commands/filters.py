"""``cnnviz filters``."""

from __future__ import annotations

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_network_task
from cnnviz.cli.options import NetworkOptions, OutputOptions, RunOptions
from cnnviz.tasks.filters import Filters


def filters(
    context: CommandContext, network: NetworkOptions, output: OutputOptions, run: RunOptions, task: Filters
) -> None:
    """Show a convolution's kernels: the first layer's in color, deeper ones in gray, input by output.

    Examples:
        cnnviz filters -m squeezenet1_1
        cnnviz filters -m vgg16 --layer conv3_1 --limit 24 -o conv3_1.png
    """
    context.unused("mean", "std", "precision", why="on kernels, which are shown as they are")
    run_network_task(context, task, network, run, output)
