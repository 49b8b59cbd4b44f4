"""``cnnviz activations``."""

from __future__ import annotations

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_task
from cnnviz.cli.options import BatchOptions, InputOptions, NetworkOptions, OutputOptions
from cnnviz.tasks.activations import Activations


def activations(
    context: CommandContext,
    network: NetworkOptions,
    input: InputOptions,
    output: OutputOptions,
    run: BatchOptions,
    task: Activations,
) -> None:
    """Show a layer's feature maps: the strongest channels in gray, or chosen ones in color on the photo.

    Examples:
        cnnviz activations sample_images/chelsea.png --layer fire5
        cnnviz activations photo.jpg --layer conv4_3 -m vgg16 --channel 3,17,40-44
    """
    context.unused("top", "shared_scale", when=bool(task.channels), why="with --channel")
    run_task(context, task, network, input, run, output)
