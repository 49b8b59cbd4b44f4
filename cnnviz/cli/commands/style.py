"""``cnnviz style``."""

from __future__ import annotations

from dataclasses import replace

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_task
from cnnviz.cli.options import (
    BatchOptions,
    NetworkOptions,
    OutputOptions,
    PaintingOptions,
    ResumableOptions,
    tile_side,
)
from cnnviz.errors import UsageError
from cnnviz.tasks.style import DEFAULT_SIDES, Style, default_side


def style(
    context: CommandContext,
    network: NetworkOptions,
    input: PaintingOptions,
    output: OutputOptions,
    long: ResumableOptions,
    run: BatchOptions,
    task: Style,
) -> None:
    """Paint photos in the style of other images (Gatys et al. 2016): CONTENT STYLE...

    The first image is the content, the others are styles, STYLE:2 with twice the weight. With --style, all
    images named are contents. Paints at --size 256 (shorter side; 512 on CUDA) by default.

    Examples:
        cnnviz style sample_images/chelsea.png sample_images/starry.jpg
        cnnviz style photo.jpg starry.jpg:2 mosaic.jpg:1 --size 512 -o painted.jpg
        cnnviz style photos/ --style starry.jpg -o painted/
        cnnviz style photo.jpg ink.jpg --sweep content-weight=0.3,1,3 -o sheet.png
    """
    from cnnviz.runtime.device import choose_device

    if task.styles is None:
        contents, styles = _contents_and_styles(input)
        input, task = replace(input, images=contents), replace(task, styles=styles)
    _note_unused(task, context)
    if task.sweep and long.resume:
        raise UsageError("A --sweep cannot be resumed; leave out --resume.")
    parameters: dict[str, object] = {"style": [style.typed for style in task.style_files]}
    is_default_size = input.size is None
    if is_default_size:
        input = replace(input, size=default_side(choose_device(network.device).type))
        if input.size != DEFAULT_SIDES["cpu"]:  # a recipe means the same everywhere
            parameters["size"] = input.size
    settings = replace(task.settings, tile=tile_side(input.tile))
    task = replace(task, settings=settings, is_default_size=is_default_size)
    run_task(context, task.with_files_read(input), network, input, run, output, long, parameters)


def _contents_and_styles(input: PaintingOptions) -> tuple[list[str], tuple[str, ...]]:
    """The photo to paint, if it is named among the images, and the styles: all others."""
    named = list(input.images or [])
    if input.files_from is None and len(named) < 2:
        raise UsageError("Name a content and at least one style: cnnviz style photo.jpg starry.jpg.")
    contents = 0 if input.files_from is not None else 1
    if not named[contents:]:
        raise UsageError("Name at least one style, as in --style starry.jpg.")
    return named[:contents], tuple(named[contents:])


def _note_unused(task: Style, context: CommandContext) -> None:
    """Name the options that have no effect beside the others."""
    settings, swept = task.settings, task.swept.name if task.swept else None
    if swept:
        context.unused(swept, why="beside a --sweep of it")
    if settings.optimizer == "lbfgs":
        if swept == "learning_rate":
            raise UsageError("--sweep learning-rate is of Adam: give --optimizer adam too.")
        context.unused("learning_rate", why="without --optimizer adam")
        without_adam = settings.adam_fraction == settings.fixed_fraction == 0
        context.unused("average", when=without_adam, why="without steps of Adam's")
        context.unused("keep_adam_state", when=settings.adam_fraction < 1, why="without --optimizer adam")
    context.unused("keep_adam_state", when=settings.scales == 1, why="with --scales 1")
    without_content = settings.content_weight == 0 and swept != "content_weight"
    context.unused("content_target", "content_layers", when=without_content, why="with --content-weight 0")
    without_style = settings.style_weight == 0 and swept != "style_weight"
    context.unused("style_layers", "layer_weights", "style_loss", when=without_style, why="with --style-weight 0")
