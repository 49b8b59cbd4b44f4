"""``cnnviz neighbors``."""

from __future__ import annotations

from dataclasses import replace

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import config_of, run_query_task
from cnnviz.cli.options import InputOptions, NetworkOptions, OutputOptions, RunOptions, StoreOptions
from cnnviz.errors import UsageError
from cnnviz.runtime.paths import is_folder, path_exists
from cnnviz.tasks.neighbors import Neighbors


def neighbors(
    context: CommandContext,
    network: NetworkOptions,
    input: InputOptions,
    output: OutputOptions,
    store: StoreOptions,
    run: RunOptions,
    task: Neighbors,
) -> None:
    """Find the images of a folder (the last argument) that are nearest to each image named before it.

    Examples:
        cnnviz neighbors photo.jpg photos/ -r
        cnnviz neighbors a.jpg b.jpg photos/ --k 5 --metric cosine
    """
    queries, folder = _split(input)
    if task.index == "approximate":
        from cnnviz.features.neighbors import uses_approximate

        uses_approximate(task.index, 0)  # a missing library is an error before any work
    run_query_task(context, replace(task, store=config_of(store)), network, queries, folder, run, output)


def _split(input: InputOptions) -> tuple[InputOptions, InputOptions]:
    """The options for the images to look for, of which there may be a shard, and for the folder to look in."""
    images = input.images or []
    if not images or (len(images) == 1 and input.files_from is None):
        raise UsageError("Name the images to look for and then the folder: cnnviz neighbors photo.jpg photos/.")
    *queries, folder = images
    if not is_folder(folder) and path_exists(folder):
        raise UsageError(f"The last argument is the folder to look in, but '{folder}' is a file.")
    if not path_exists(folder) and not any(sign in folder for sign in "*?["):
        raise UsageError(f"The last argument is the folder to look in, but there is no '{folder}'.")
    return replace(input, images=queries), replace(input, images=[folder], files_from=None, shard=None)
