"""``cnnviz universal``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import run_collection_task, run_task
from cnnviz.cli.options import BatchOptions, EngineName, InputOptions, NetworkOptions, OutputOptions
from cnnviz.errors import UsageError
from cnnviz.pipeline.outputs import suffix_of
from cnnviz.tasks.universal import ApplyPerturbation, Universal


def universal(
    *,
    context: CommandContext,
    network: NetworkOptions,
    input: InputOptions,
    output: OutputOptions,
    run: BatchOptions,
    apply: Annotated[
        Path | None,
        typer.Option(help="Add this perturbation to images, at the network's size; train none.", metavar="FILE"),
    ] = None,
    training: Universal,
    resume: Annotated[Path | None, typer.Option(help="Continue from this perturbation.", metavar="FILE")] = None,
    applying: ApplyPerturbation,
) -> None:
    """Find one perturbation that fools the network on most images (Moosavi-Dezfooli et al. 2017).

    Writes a figure, and beside it the perturbation itself as .safetensors.

    Examples:
        cnnviz universal photos/ -r -o uap.png
        cnnviz universal sample_images/ --crops 12 --passes 3 -o uap.png
        cnnviz universal --apply uap.safetensors sample_images/coffee.png
    """
    from cnnviz.adversarial.perturbation_file import load_perturbation

    if apply is not None:
        unused = ("epsilon", "norm", "method", "rate", "passes", "crops", "held_out", "resume")
        context.unused(*unused, why="with --apply, which trains nothing")
        task = replace(applying, perturbation=load_perturbation(apply), raw_format=suffix_of(output))
        run_task(context, task, network, input, run, output)
        return
    context.unused("raw", why="without --apply")
    context.unused("crop", why="without --apply: squares are trained on in any case")
    if run.engine is EngineName.ray and training.training.method == "deepfool":
        raise UsageError("Each step of --method deepfool needs the one before: it runs here; leave out --engine ray.")
    start = None if resume is None else load_perturbation(resume)
    run_collection_task(context, replace(training, start=start), network, input, run, output)
