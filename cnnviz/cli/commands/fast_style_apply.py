"""``cnnviz fast-style apply``."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import Variant, run_image_and_video_task
from cnnviz.cli.options import BatchOptions, OutputOptions
from cnnviz.cli.options.fast_style import FastStyleInputOptions, StyleModelOptions
from cnnviz.errors import UsageError, listed
from cnnviz.pipeline.outputs import DEFAULT_TEMPLATE, STYLE, has_field
from cnnviz.pipeline.recipe import Provenance
from cnnviz.tasks.fast_style_apply import FastStyleApply
from cnnviz.tasks.shared.style_choice import StyleChoice


def fast_style_apply(
    context: CommandContext,
    model: StyleModelOptions,
    input: FastStyleInputOptions,
    output: OutputOptions,
    run: BatchOptions,
    task: FastStyleApply,
    each: Annotated[
        bool, typer.Option("--each", help="One output in each style instead of a blend; {style} in templates.")
    ] = False,
) -> None:
    """Paint images, or the frames of videos named, in one pass: in a built-in style or that of any image.

    Examples:
        cnnviz fast-style apply photo.jpg --style my_painting.jpg --strength 0.7
        cnnviz fast-style apply photo.jpg --style watercolor --keep-color luminance
        cnnviz fast-style apply photos/ --style starry:0.7,ink:0.3 -o painted/
        cnnviz fast-style apply photo.jpg --style ink,mosaic,my_painting.jpg --each
        cnnviz fast-style apply photo.jpg --style-model my.safetensors --style monet -o - > painted.png
    """
    choices = task.choices(model.style_model)
    is_any = [choice.is_image for choice in choices]
    context.unused("style_size", when=not any(is_any), why="without an image as the style")
    context.unused("feather", when=not task.masks, why="without --mask")
    if not each:
        task.require_one_model(model.style_model)
        task.require_masks(choices)
    elif len(task.masks or ()) > 1:
        raise UsageError("With --each one mask is used in every style; leave out the others.")
    read = task.with_files_read(input)
    for remark in read.flat_styles():
        context.reporter.warn(remark)
    parts = [[choice] for choice in choices] if each else [choices]
    if len(parts) > 1:
        _require_names(choices, output.output)
        if "-" in (*(input.images or ()), input.files_from):
            raise UsageError("Standard input is read once: name files to paint them in each of several styles.")
    variants = [_variant(context, read, model, part, each=each) for part in parts]
    run_image_and_video_task(context, variants, input, run, output)


def _variant(
    context: CommandContext, task: FastStyleApply, model: StyleModelOptions, choices: list[StyleChoice], *, each: bool
) -> Variant:
    """The task in some styles, its model, and what its job has besides: names of outputs, and the recipe."""
    typed = tuple((choice if len(choices) > 1 else replace(choice, weight=1.0)).typed for choice in choices)
    task = replace(task, style=typed)
    parameters: dict[str, Any] = {**context.parameters(), "style": list(typed)}
    parameters.pop("each", None)
    more = {
        "provenance": Provenance(context.command, parameters),
        "fields": {STYLE: "+".join(choice.title for choice in choices)},
        "template": f"{DEFAULT_TEMPLATE}.{{{STYLE}}}" if each else DEFAULT_TEMPLATE,
    }
    return task, replace(model, style_model=task.narrowed(model.style_model)), more


def _require_names(choices: list[StyleChoice], output: str | None) -> None:
    """Raise UsageError where the outputs in several styles would be one file."""
    titles = [choice.title for choice in choices]
    twice = sorted({title for title in titles if titles.count(title) > 1})
    if twice:
        raise UsageError(f"Several styles are called {listed(twice)}: their outputs would be one file.")
    if not has_field(output, STYLE):
        raise UsageError(f"{len(choices)} styles would be written to one '{output}'.", remedy="style_template")
