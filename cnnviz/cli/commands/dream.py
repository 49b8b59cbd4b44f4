"""``cnnviz dream``."""

from __future__ import annotations

from dataclasses import replace

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_task
from cnnviz.cli.options import BatchOptions, CanvasOptions, LongOptions, NetworkOptions, OutputOptions
from cnnviz.tasks.dream import Dream


def dream(
    context: CommandContext,
    network: NetworkOptions,
    input: CanvasOptions,
    output: OutputOptions,
    long: LongOptions,
    run: BatchOptions,
    task: Dream,
) -> None:
    """Change a photo so that a layer responds more to it, at every scale: DeepDream (Mordvintsev, Olah & Tyka 2015).

    Examples:
        cnnviz dream sample_images/astronaut.png
        cnnviz dream sample_images/rocket.jpg --layer fire5 --step-size 1.5 --size 384
        cnnviz dream sample_images/coffee.png --guide sample_images/starry.jpg
        cnnviz dream sample_images/rocket.jpg --zoom 12 --size 256 -o fall.gif
    """
    context.unused("channels", when=task.guide is not None, why="with --guide, whose features are of all channels")
    context.unused("zoom_factor", "rotate", when=task.zoom < 2, why="without a --zoom of two frames or more")
    context.unused("octave_scale", when=task.settings.octaves == 1, why="with --octaves 1")
    settings = replace(task.settings, tile=input.tile)
    run_task(context, replace(task, settings=settings), network, input, run, output, long)
