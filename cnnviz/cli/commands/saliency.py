"""``cnnviz saliency``."""

from __future__ import annotations

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_task
from cnnviz.cli.options import BatchOptions, InputOptions, NetworkOptions, OutputOptions
from cnnviz.cli.options.maps import check_map_options
from cnnviz.tasks.saliency import METHODS, Saliency


def saliency(
    context: CommandContext,
    network: NetworkOptions,
    input: InputOptions,
    output: OutputOptions,
    run: BatchOptions,
    task: Saliency,
) -> None:
    """Show which pixels the class score is most sensitive to (Simonyan et al. 2014).

    Examples:
        cnnviz saliency sample_images/chelsea.png
        cnnviz saliency sample_images/coffee.png --method smoothgrad --grabcut
        cnnviz saliency photo.jpg --target tabby --view overlay -o tabby.jpg
        cat photo.jpg | cnnviz saliency - -o - > saliency.png
    """
    for other in METHODS.values():
        without_effect = [name for name in other.settings if name not in (*task.chosen.settings, "seed")]
        context.unused(*without_effect, why=f"without --method {other.name}")
    check_map_options(context, task, output)
    run_task(context, task, network, input, run, output)
