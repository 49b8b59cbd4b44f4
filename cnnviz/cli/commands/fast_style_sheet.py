"""``cnnviz fast-style sheet``."""

from __future__ import annotations

from dataclasses import replace

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_task
from cnnviz.cli.options import BatchOptions, OutputOptions
from cnnviz.cli.options.fast_style import StyleModelOptions, StyleSheetInputOptions
from cnnviz.pipeline.outputs import DEFAULT_TEMPLATE
from cnnviz.tasks.fast_style_sheet import FastStyleSheet


def fast_style_sheet(
    context: CommandContext,
    model: StyleModelOptions,
    input: StyleSheetInputOptions,
    output: OutputOptions,
    run: BatchOptions,
    task: FastStyleSheet,
) -> None:
    """Paint an image in all styles, or in some, on one sheet with their names, to choose from.

    Examples:
        cnnviz fast-style sheet photo.jpg
        cnnviz fast-style sheet photo.jpg --style ember,frost,my_painting.jpg --columns 2 -o choice.jpg
    """
    choices = task.choices(model.style_model)
    context.unused("style_size", when=not any(choice.is_image for choice in choices), why="without an image as style")
    task = task.with_files_read(input)
    for remark in task.flat_styles():
        context.reporter.warn(remark)
    model = replace(model, style_model=task.narrowed(model.style_model))
    run_task(context, task, model, input, run, output, template=f"{DEFAULT_TEMPLATE}-sheet")
