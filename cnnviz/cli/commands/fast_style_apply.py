"""``cnnviz fast-style apply``."""

from __future__ import annotations

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_image_and_video_task
from cnnviz.cli.options import BatchOptions, OutputOptions
from cnnviz.cli.options.fast_style import FastStyleInputOptions, StyleModelOptions
from cnnviz.tasks.fast_style_apply import FastStyleApply


def fast_style_apply(
    context: CommandContext,
    model: StyleModelOptions,
    input: FastStyleInputOptions,
    output: OutputOptions,
    run: BatchOptions,
    task: FastStyleApply,
) -> None:
    """Paint images, or the frames of videos named, in a style in one pass.

    Examples:
        cnnviz fast-style apply photo.jpg --style mosaic
        cnnviz fast-style apply photos/ --style starry:0.7,ink:0.3 -o painted/
        cnnviz fast-style apply photo.jpg --style-model my.safetensors --style monet -o - > painted.png
    """
    from cnnviz.style.model_file import read_metadata

    task.weights_of(read_metadata(model.file)["styles"])  # refuses unknown styles before any work
    run_image_and_video_task(context, task, model, input, run, output)
