"""``cnnviz compare``."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_collection_task, run_comparison_task
from cnnviz.cli.options import BatchOptions, InputOptions, NetworksOptions, OutputOptions
from cnnviz.errors import UsageError
from cnnviz.tasks.compare import Compare
from cnnviz.tasks.rank import Rank


def compare(
    *,
    context: CommandContext,
    network: NetworksOptions,
    input: InputOptions,
    output: OutputOptions,
    run: BatchOptions,
    task: Compare,
    rank: Annotated[
        bool, typer.Option("--rank", help="Rank the methods over all images by what they measure, beside guesses.")
    ] = False,
    ranking: Rank,
) -> None:
    """Set attribution methods, and networks, side by side on one labeled sheet; or rank them over many images.

    Examples:
        cnnviz compare sample_images/chelsea.png
        cnnviz compare sample_images/chelsea.png --methods fast
        cnnviz compare photo.jpg --methods gradcam,guided-gradcam,occlusion -m resnet50 -m vgg16 --target tabby
        cnnviz compare photos/ -r --rank --methods gradcam,occlusion --map mine=maps/ --boxes annotations/
    """
    if not rank:
        context.unused("maps", "boxes", why="without --rank")
        run_comparison_task(context, task, network, input, run, output)
        return
    context.unused("view", "classes", why="with --rank, which draws no maps")
    first, *others = network.each()
    if others:
        raise UsageError("--rank is about one network.")
    chosen = replace(ranking, methods=task.methods, target=task.target, versus=task.versus)
    run_collection_task(context, chosen, first, input, run, output)
