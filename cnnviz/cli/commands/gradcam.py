"""``cnnviz gradcam``."""

from __future__ import annotations

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_task
from cnnviz.cli.options import BatchOptions, InputOptions, NetworkOptions, OutputOptions
from cnnviz.cli.options.maps import check_map_options
from cnnviz.tasks.gradcam import GradCam


def gradcam(
    context: CommandContext,
    network: NetworkOptions,
    input: InputOptions,
    output: OutputOptions,
    run: BatchOptions,
    task: GradCam,
) -> None:
    """Show where the last feature maps speak for the class (Selvaraju et al. 2017).

    Examples:
        cnnviz gradcam sample_images/coffee.png
        cnnviz gradcam sample_images/chelsea.png --target lynx --layer fire8 --view overlay
        cnnviz gradcam sample_images/coffee.png --guided --grabcut
    """
    check_map_options(context, task, output)
    run_task(context, task, network, input, run, output)
