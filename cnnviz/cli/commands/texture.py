"""``cnnviz texture``."""

from __future__ import annotations

from dataclasses import fields, replace

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_task
from cnnviz.cli.options import BatchOptions, NetworkOptions, OutputOptions, ResumableOptions, SampleOptions, tile_side
from cnnviz.errors import UsageError
from cnnviz.tasks.texture import Texture


def texture(
    context: CommandContext,
    network: NetworkOptions,
    input: SampleOptions,
    output: OutputOptions,
    long: ResumableOptions,
    run: BatchOptions,
    task: Texture,
) -> None:
    """Make more of a texture, of any size (Gatys et al. 2015; Efros & Leung 1999).

    Examples:
        cnnviz texture sample_images/gravel.png
        cnnviz texture sample_images/mosaic.jpg --size 512x384 -o tile.png
        cnnviz texture sample_images/brick.png --strip
        cnnviz texture sample_images/brick.png --sample-size 64 --size 128 --method efros-leung
    """
    if not task.uses_network and (task.strip or long.resume):
        raise UsageError("--strip and --resume are not for --method efros-leung.")
    if task.strip and long.resume:
        raise UsageError("A --strip cannot be resumed; leave out --resume.")
    of_features, of_pixels = ([field.name for field in fields(kind)] for kind in (task.settings, task.efros_leung))
    context.unused(*of_features, when=not task.uses_network, why="with --method efros-leung")
    context.unused(*of_pixels, when=task.uses_network, why="without --method efros-leung")
    settings = replace(task.settings, tile=tile_side(input.tile))
    task = replace(task, settings=settings, size=input.result_size)
    run_task(context, task, network, input, run, output, long)
