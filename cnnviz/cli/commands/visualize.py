"""``cnnviz visualize``."""

from __future__ import annotations

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_network_task
from cnnviz.cli.options import LongOptions, NetworkOptions, OutputOptions, RunOptions
from cnnviz.tasks.visualize import Visualize


def visualize(
    context: CommandContext,
    network: NetworkOptions,
    output: OutputOptions,
    long: LongOptions,
    run: RunOptions,
    task: Visualize,
) -> None:
    """Show what a class, a channel or a neuron responds to most (Olah 2017; Simonyan 2014; Yosinski 2015).

    Examples:
        cnnviz visualize --target flamingo
        cnnviz visualize --target flamingo --target tarantula --target espresso -o three.png
        cnnviz visualize --layer fire5 --channel 0-15 -o fire5.png
        cnnviz visualize --target monarch --facets 4 --method yosinski --gif
    """
    task.validate()
    context.unused("latent", when=task.generator is None, why="without --generator")
    context.unused("size", "photos", when=task.generator is not None, why="with --generator, whose images are its own")
    run_network_task(context, task, network, run, output, long, task.name)
