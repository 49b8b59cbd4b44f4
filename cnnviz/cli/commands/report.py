"""``cnnviz report``."""

from __future__ import annotations

from dataclasses import replace

from cnnviz.attribution.registry import select_methods
from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_collection_task
from cnnviz.cli.options import InputOptions, NetworkOptions, PageOptions, RunOptions
from cnnviz.cli.options.known import KNOWN_OPTIONS
from cnnviz.pipeline.true_classes import TrueClasses
from cnnviz.tasks.report import Report


def report(
    context: CommandContext,
    network: NetworkOptions,
    input: InputOptions,
    output: PageOptions,
    run: RunOptions,
    task: Report,
) -> None:
    """Explain some images on one page: predictions, every map, layers, an adversarial example, and all commands.

    Examples:
        cnnviz report sample_images/chelsea.png sample_images/coffee.png -o report.html
        cnnviz report photo.jpg -m resnet50 --methods gradcam,occlusion --layer layer1,layer4
        cnnviz report val/ -r --errors 5 --methods gradcam
    """
    if task.methods is not None:
        select_methods(task.methods)  # refuses unknown ones before any work
    if task.classes is not None:
        TrueClasses.of(task.classes)
    run_collection_task(context, replace(task, options=KNOWN_OPTIONS), network, input, run, output)
