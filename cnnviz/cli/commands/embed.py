"""``cnnviz embed``."""

from __future__ import annotations

from dataclasses import replace

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import config_of, run_collection_task
from cnnviz.cli.options import EngineOptions, InputOptions, NetworkOptions, OutputOptions, StoreOptions
from cnnviz.tasks.embed import Embed
from cnnviz.tasks.shared.map_classes import require_classes


def embed(
    context: CommandContext,
    network: NetworkOptions,
    input: InputOptions,
    output: OutputOptions,
    store: StoreOptions,
    run: EngineOptions,
    task: Embed,
) -> None:
    """Draw a map of many images, similar ones side by side: an image, an interactive page, and the coordinates.

    Examples:
        cnnviz embed photos/ -r
        cnnviz embed photos/ --method pca --layout grid --classes predicted
    """
    from cnnviz.features.projection import check_method
    from cnnviz.features.table import require_pyarrow

    require_classes(task.classes)
    check_method(task.method)  # a missing library is an error before any work
    if task.parquet:
        require_pyarrow()
    context.unused("perplexity", when=task.method != "tsne", why="without --method tsne")
    run_collection_task(context, replace(task, store=config_of(store)), network, input, run, output)
