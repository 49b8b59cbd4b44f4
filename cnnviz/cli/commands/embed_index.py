"""``cnnviz embed-index``."""

from __future__ import annotations

from dataclasses import replace

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import config_of, run_collection_task
from cnnviz.cli.options import EngineOptions, InputOptions, NetworkOptions, StoreOptions
from cnnviz.tasks.embed_index import EmbedIndex


def embed_index(
    context: CommandContext,
    network: NetworkOptions,
    input: InputOptions,
    store: StoreOptions,
    run: EngineOptions,
    task: EmbedIndex,
) -> None:
    """Compute and store the features of many images, for neighbors and embed.

    Examples:
        cnnviz embed-index photos/ -r
        cnnviz embed-index photos/ -m vgg16 --half
    """
    context.unused("show_channels", why="where nothing is drawn")
    run_collection_task(context, replace(task, store=config_of(store)), network, input, run)
