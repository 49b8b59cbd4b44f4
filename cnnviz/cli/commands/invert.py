"""``cnnviz invert``."""

from __future__ import annotations

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_task
from cnnviz.cli.options import BatchOptions, InputOptions, LongOptions, NetworkOptions, OutputOptions
from cnnviz.errors import UsageError
from cnnviz.tasks.invert import Invert
from cnnviz.tasks.shared.layers import layer_names


def invert(
    context: CommandContext,
    network: NetworkOptions,
    input: InputOptions,
    output: OutputOptions,
    long: LongOptions,
    run: BatchOptions,
    task: Invert,
) -> None:
    """Reconstruct a photo from one layer's features: what the layer still knows of it (Mahendran & Vedaldi 2015).

    Several layers make a strip from shallow to deep.

    Examples:
        cnnviz invert sample_images/chelsea.png
        cnnviz invert sample_images/coffee.png --layer fire2,fire5,fire9 -o strip.png
        cnnviz invert sample_images/chelsea.png --layer fire6 --raw -o from_fire6.png
    """
    if task.raw and len(layer_names(task.layers)) != 1:
        raise UsageError("--raw writes one image: name one layer with --layer.")
    context.unused("tv_beta", when=task.settings.tv_weight == 0, why="with --tv-weight 0")
    run_task(context, task, network, input, run, output, long)
