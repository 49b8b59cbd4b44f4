"""``cnnviz compare``."""

from __future__ import annotations

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_comparison_task
from cnnviz.cli.options import BatchOptions, InputOptions, NetworksOptions, OutputOptions
from cnnviz.cli.options.maps import note_idle_view
from cnnviz.errors import UsageError
from cnnviz.pipeline.outputs import suffix_of
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
        cnnviz compare sample_images/chelsea.png --methods fast
        cnnviz compare photo.jpg --methods gradcam,guided-gradcam,occlusion -m resnet50 -m vgg16 --target tabby
    """
    if suffix_of(output) == ".npy" and len(network.each()) * len(task.chosen) > 1:
        raise UsageError("A .npy file holds one map; a .npz holds several.")
    note_idle_view(context, output)
    run_comparison_task(context, task, network, input, run, output)
