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
    """Show where the last feature maps speak for the class (Grad-CAM, Selvaraju et al. 2017, and ten of its kind).

    Examples:
        cnnviz gradcam sample_images/coffee.png
        cnnviz gradcam sample_images/chelsea.png --target lynx --layer fire8 --view overlay
        cnnviz gradcam sample_images/coffee.png --guided --grabcut
        cnnviz gradcam sample_images/chelsea.png --target tabby --versus lynx
        cnnviz gradcam sample_images/coffee.png --method refinecam --layer fire4,fire9 --smooth flips
    """
    if not task.chosen.asks_for_class:
        context.unused(
            "target", "versus", why=f"on the map of --method {task.method}, which is the same for all classes"
        )
    check_map_options(context, task, output)
    run_task(context, task, network, input, run, output)
