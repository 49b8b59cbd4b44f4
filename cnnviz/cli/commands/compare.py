"""``cnnviz compare``."""

from __future__ import annotations

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_comparison_task
from cnnviz.cli.options import BatchOptions, InputOptions, NetworksOptions, OutputOptions
from cnnviz.tasks.compare import Compare


def compare(
    context: CommandContext,
    network: NetworksOptions,
    input: InputOptions,
    output: OutputOptions,
    run: BatchOptions,
    task: Compare,
) -> None:
    """Set attribution methods, and networks, side by side on one labeled sheet.

    Examples:
        cnnviz compare sample_images/chelsea.png
        cnnviz compare photo.jpg --methods gradcam,guided-gradcam,occlusion -m resnet50 -m vgg16 --target tabby
    """
    run_comparison_task(context, task, network, input, run, output)
