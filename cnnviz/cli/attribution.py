"""Commands that explain one prediction by gradients: ``classify``, ``saliency``, ``guided``, ``gradcam``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from cnnviz.cli.command import command, current
from cnnviz.cli.jobs import run_task
from cnnviz.cli.options import BatchOptions, InputOptions, NetworkOptions, OutputOptions
from cnnviz.errors import UsageError
from cnnviz.pipeline.outputs import require_files
from cnnviz.tasks.classify import Classify
from cnnviz.tasks.gradcam import GradCam
from cnnviz.tasks.guided import Guided
from cnnviz.tasks.map_task import MapTask
from cnnviz.tasks.saliency import METHODS as METHODS_OF_SALIENCY
from cnnviz.tasks.saliency import Saliency

if TYPE_CHECKING:
    pass


def register(app: typer.Typer) -> None:
    """Add this family's commands to the application."""
    _register_classify(app)
    _register_saliency(app)
    _register_guided(app)
    _register_gradcam(app)


def _register_classify(app: typer.Typer) -> None:
    @command(
        app,
        "classify",
        examples="cnnviz classify sample_images/coffee.png\ncnnviz classify photos/ -r --json -k 3",
    )
    def classify(network: NetworkOptions, input: InputOptions, run: BatchOptions, task: Classify) -> None:
        """Say what the network takes each picture for."""
        run_task(task, network, input, run)


def _register_saliency(app: typer.Typer) -> None:
    @command(
        app,
        "saliency",
        examples="cnnviz saliency sample_images/chelsea.png\n"
        "cnnviz saliency sample_images/coffee.png --method smoothgrad --grabcut\n"
        "cnnviz saliency photo.jpg --target tabby --view overlay -o tabby.jpg\n"
        "cat photo.jpg | cnnviz saliency - -o - > saliency.png",
    )
    def saliency(
        network: NetworkOptions, input: InputOptions, output: OutputOptions, run: BatchOptions, task: Saliency
    ) -> None:
        """Show which pixels the class score is most sensitive to (Simonyan et al. 2014)."""
        for other in METHODS_OF_SALIENCY.values():
            without_effect = [name for name in other.settings if name not in (*task.chosen.settings, "seed")]
            current.unused(*without_effect, why=f"without --method {other.name}")
        _check_map_options(task, output)
        run_task(replace(task, seed=run.seed), network, input, run, output)


def _register_guided(app: typer.Typer) -> None:
    @command(
        app,
        "guided",
        examples="cnnviz guided sample_images/chelsea.png\n"
        "cnnviz guided sample_images/coffee.png --method deconvnet\n"
        "cnnviz guided sample_images/chelsea.png --layer fire5 --channel 17",
    )
    def guided(
        network: NetworkOptions, input: InputOptions, output: OutputOptions, run: BatchOptions, task: Guided
    ) -> None:
        """Show in color what excites a class or one neuron, by guided backpropagation (Springenberg et al. 2015)."""
        if task.neuron and task.check:
            raise UsageError("--check watches the probability of a class: leave out --layer, --channel and --at.")
        current.unused("target", when=task.neuron is not None, why="on the picture of a neuron")
        if task.check:
            require_files(output, "--check")
        run_task(replace(task, seed=run.seed), network, input, run, output)


def _register_gradcam(app: typer.Typer) -> None:
    @command(
        app,
        "gradcam",
        examples="cnnviz gradcam sample_images/coffee.png\n"
        "cnnviz gradcam sample_images/chelsea.png --target lynx --layer fire8 --view overlay\n"
        "cnnviz gradcam sample_images/coffee.png --guided --grabcut",
    )
    def gradcam(
        network: NetworkOptions, input: InputOptions, output: OutputOptions, run: BatchOptions, task: GradCam
    ) -> None:
        """Show where the last feature maps speak for the class (Selvaraju et al. 2017)."""
        _check_map_options(task, output)
        run_task(replace(task, seed=run.seed), network, input, run, output)


def _check_map_options(task: MapTask, output: OutputOptions) -> None:
    """Refuse what cannot be made or written, before any work; name the options without effect."""
    if task.grabcut:
        from cnnviz.attribution.segmentation import require_opencv

        require_files(output, "--grabcut")
        require_opencv()
    if task.check:
        require_files(output, "--check")
    current.unused("colormap", "percentile", when=task.maps.view == "raw", why="with --view raw, gray and unclipped")
