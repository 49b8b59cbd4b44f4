"""``cnnviz fast-style train``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_network_task
from cnnviz.cli.options import NetworkOptions, OutputOptions, RunOptions
from cnnviz.pipeline.config import ImageConfig, MonitorConfig
from cnnviz.pipeline.outputs import require_files
from cnnviz.runtime.distributed import require_fabric
from cnnviz.tasks.fast_style_train import FastStyleTrain, photo_files


def fast_style_train(
    context: CommandContext,
    network: NetworkOptions,
    output: OutputOptions,
    run: RunOptions,
    task: FastStyleTrain,
    styles: Annotated[
        list[Path], typer.Argument(help="Style images; each style is named after its file.", metavar="STYLE...")
    ],
    content: Annotated[
        list[str],
        typer.Option(
            "--content",
            "-c",
            help="Photos to train on: a folder, file or quoted glob; may be repeated.",
            metavar="FILE|FOLDER",
        ),
    ],
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Search folders in folders too.")] = False,
    save_every: Annotated[
        int,
        typer.Option(
            "--save-every",
            min=0,
            help="Write a checkpoint and a preview every N steps, and a preview of the last.",
            metavar="N",
        ),
    ] = 500,
    resume: Annotated[bool, typer.Option("--resume", help="Resume from where the last run stopped.")] = False,
) -> None:
    """Train a network that paints photos in one pass in the styles of some images.

    Examples:
        cnnviz fast-style train monet.jpg --content photos/ -o monet.safetensors --minutes 40
        cnnviz fast-style train starry.jpg ink.jpg --content photos/ -o my.safetensors
        cnnviz fast-style train starry.jpg ink.jpg --content photos/ -o my.safetensors --resume
        cnnviz fast-style train monet.jpg --extend my.safetensors --content photos/ -o more.safetensors
    """
    require_files(output, "Training")
    context.unused("widths", "blocks", when=task.extend is not None, why="with --extend, whose network stays")
    context.unused("steps", when=task.minutes is not None, why="where the time is given")
    require_fabric()
    photos = photo_files(ImageConfig(images=content, recursive=recursive), context.reporter)
    task = replace(task, styles=tuple(styles), photos=photos)
    task.validate()
    monitor = MonitorConfig(save_every=save_every, resume=resume)
    name = task.names[0] if len(styles) == 1 else "styles"
    run_network_task(context, task, network, run, output, monitor, name)
