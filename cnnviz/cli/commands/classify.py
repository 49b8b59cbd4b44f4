"""``cnnviz classify``."""

from __future__ import annotations

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_task
from cnnviz.cli.options import BatchOptions, InputOptions, NetworkOptions
from cnnviz.tasks.classify import Classify


def classify(
    context: CommandContext, network: NetworkOptions, input: InputOptions, run: BatchOptions, task: Classify
) -> None:
    """Predict the most probable classes of each image.

    Examples:
        cnnviz classify sample_images/coffee.png
        cnnviz classify photos/ -r --json -k 3
    """
    run_task(context, task, network, input, run)
