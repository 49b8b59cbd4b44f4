"""``cnnviz explain``."""

from __future__ import annotations

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_task
from cnnviz.cli.options import BatchOptions, InputOptions, NetworkOptions, OutputOptions
from cnnviz.tasks.explain import Explain


def explain(
    context: CommandContext,
    network: NetworkOptions,
    input: InputOptions,
    output: OutputOptions,
    run: BatchOptions,
    task: Explain,
) -> None:
    """Show the map to believe: chosen among many and measured, or that none beats a guess.

    Tries a budget of methods, chooses by what hiding pixels does to the score, and measures the choice on other fills
    beside four maps that know nothing of the network. A map that does not beat them is not drawn.

    Examples:
        cnnviz explain sample_images/coffee.png --budget fast
        cnnviz explain photo.jpg --target tabby --versus lynx
        cnnviz explain photos/ -r --json
    """
    run_task(context, task, network, input, run, output)
