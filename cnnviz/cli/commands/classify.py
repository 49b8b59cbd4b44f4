"""``cnnviz classify``."""

from __future__ import annotations

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_evaluation_task, run_task
from cnnviz.cli.options import BatchOptions, InputOptions, NetworkOptions, SummaryOptions
from cnnviz.pipeline.outputs import require_files
from cnnviz.tasks.classify import Classify


def classify(
    context: CommandContext,
    network: NetworkOptions,
    input: InputOptions,
    output: SummaryOptions,
    run: BatchOptions,
    task: Classify,
) -> None:
    """Predict the most probable classes of each image; with --classes, also say how often that is right.

    Examples:
        cnnviz classify sample_images/coffee.png
        cnnviz classify photos/ -r --json -k 3
        cnnviz classify val/ -r --classes folder -o confusion.png
    """
    if task.classes is None:
        context.unused("output", "force", "show_channels", why="without --classes")
        run_task(context, task, network, input, run)
        return
    require_files(output, "--classes")
    run_evaluation_task(context, task, network, input, run, output)
