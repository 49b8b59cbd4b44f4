"""``cnnviz saliency``."""

from __future__ import annotations

from cnnviz.attribution.registry import AttributionMethod
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
    """Show which pixels matter to a class: by its gradient (Simonyan et al. 2014), or by hiding parts.

    Examples:
        cnnviz saliency sample_images/chelsea.png
        cnnviz saliency sample_images/coffee.png --method smoothgrad --grabcut
        cnnviz saliency sample_images/coffee.png --method lime --masks 200 --segments 30
        cnnviz saliency photo.jpg --target tabby --view overlay -o tabby.jpg
        cat photo.jpg | cnnviz saliency - -o - > saliency.png
    """
    for methods, settings in _settings_of_others(task.chosen).items():
        context.unused(*settings, why=f"without --method {' or '.join(methods)}")
    check_map_options(context, task, output)
    run_task(context, task, network, input, run, output)


def _settings_of_others(chosen: AttributionMethod) -> dict[tuple[str, ...], list[str]]:
    """The settings that ``chosen`` lacks, by the methods that have them, as the command calls these."""
    having: dict[str, list[str]] = {}
    for key, method in METHODS.items():
        for name in method.settings:
            having.setdefault(name, []).append(key)
    found: dict[tuple[str, ...], list[str]] = {}
    for name, methods in having.items():
        if name not in (*chosen.settings, "seed"):
            found.setdefault(tuple(methods), []).append(name)
    return found
