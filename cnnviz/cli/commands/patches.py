"""``cnnviz patches``."""

from __future__ import annotations

from dataclasses import replace

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import config_of, run_collection_task
from cnnviz.cli.options import EngineOptions, InputOptions, NetworkOptions, OutputOptions, StoreOptions
from cnnviz.tasks.patches import Patches
from cnnviz.tasks.shared.layers import channel_numbers


def patches(
    context: CommandContext,
    network: NetworkOptions,
    input: InputOptions,
    output: OutputOptions,
    store: StoreOptions,
    run: EngineOptions,
    task: Patches,
) -> None:
    """Show the patches of many images that excite channels of a layer most, one from each image.

    Examples:
        cnnviz patches photos/ -r --layer fire5 --channel 17
        cnnviz patches photos/ -m vgg16 --layer conv5_3 --channel 3,17,200 --guided -o conv5_3.png
    """
    channel_numbers(task.channel)  # refuses what is no channel before any work
    run_collection_task(context, replace(task, store=config_of(store)), network, input, run, output)
