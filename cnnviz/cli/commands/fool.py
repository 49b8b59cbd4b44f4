"""``cnnviz fool``."""

from __future__ import annotations

from dataclasses import replace

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_task
from cnnviz.cli.options import BatchOptions, InputOptions, NetworkOptions, OutputOptions
from cnnviz.pipeline.outputs import suffix_of
from cnnviz.tasks.fool import Fool


def fool(
    context: CommandContext,
    network: NetworkOptions,
    input: InputOptions,
    output: OutputOptions,
    run: BatchOptions,
    task: Fool,
) -> None:
    """Change an image by less than one can see so that the network takes it for something else.

    Examples:
        cnnviz fool sample_images/coffee.png
        cnnviz fool sample_images/chelsea.png --target flamingo --raw -o flamingo.png
        cnnviz fool sample_images/rocket.jpg --min-epsilon --json
    """
    context.unused("steps", when=task.method == "fgsm", why="with --method fgsm, which takes one step")
    context.unused("random_start", when=task.method not in (None, "iterative"), why="without --method iterative")
    context.unused("label", when=task.target is not None, why="with --target")
    run_task(context, replace(task, raw_format=suffix_of(output)), network, input, run, output)
