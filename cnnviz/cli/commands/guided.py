"""``cnnviz guided``."""

from __future__ import annotations

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_task
from cnnviz.cli.options import BatchOptions, InputOptions, NetworkOptions, OutputOptions
from cnnviz.cli.options.maps import check_boxes, note_idle_view
from cnnviz.errors import UsageError
from cnnviz.pipeline.outputs import require_files
from cnnviz.tasks.guided import Guided


def guided(
    context: CommandContext,
    network: NetworkOptions,
    input: InputOptions,
    output: OutputOptions,
    run: BatchOptions,
    task: Guided,
) -> None:
    """Show in color what excites a class or one neuron, by guided backpropagation (Springenberg et al. 2015).

    Examples:
        cnnviz guided sample_images/chelsea.png
        cnnviz guided sample_images/coffee.png --method deconvnet
        cnnviz guided sample_images/chelsea.png --layer fire5 --channel 17
    """
    if task.neuron and task.check:
        raise UsageError("--check watches the probability of a class: leave out --layer, --channel and --at.")
    context.unused("target", "versus", when=task.neuron is not None, why="for a neuron")
    check_boxes(context, task)
    if task.check:
        require_files(output, "--check")
    note_idle_view(context, output)
    run_task(context, task, network, input, run, output)
