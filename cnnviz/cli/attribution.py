"""Commands that explain one prediction by gradients: ``classify``, ``saliency``, ``guided``, ``gradcam``."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from cnnviz.attribution.registry import methods_of
from cnnviz.cli.checking import CheckOption, check_companions, checked
from cnnviz.cli.command import command, current
from cnnviz.cli.idle import idle
from cnnviz.cli.jobs import image_job, run_task
from cnnviz.cli.maps import (
    PercentileOption,
)
from cnnviz.cli.options import BatchOptions, InputOptions, NetworkOptions, OutputOptions, TargetOption
from cnnviz.errors import UsageError
from cnnviz.pipeline.outputs import require_files
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.tasks.classify import Classify
from cnnviz.tasks.gradcam import GradCam
from cnnviz.tasks.map_task import MapTask
from cnnviz.tasks.saliency import METHODS as METHODS_OF_SALIENCY
from cnnviz.tasks.saliency import Saliency

if TYPE_CHECKING:
    from cnnviz.network.network import Network


_GUIDED = methods_of("guided", default="guided")

if TYPE_CHECKING:
    Rule: TypeAlias = str
else:
    Rule = Enum("Rule", {name: name for name in _GUIDED}, type=str)


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
        network: NetworkOptions,
        input: InputOptions,
        output: OutputOptions,
        run: BatchOptions,
        target: TargetOption = None,
        method: Annotated[Rule, typer.Option("--method", help="The rule for gradients at ReLUs.")] = "guided",
        layer: Annotated[
            str | None, typer.Option("--layer", "-l", help="Explain a neuron of this layer instead of a class.")
        ] = None,
        channel: Annotated[int | None, typer.Option("--channel", "-c", min=0, help="The neuron's channel.")] = None,
        at: Annotated[
            str | None,
            typer.Option("--at", help="The neuron's place (default: where its channel is strongest).", metavar="Y,X"),
        ] = None,
        raw: Annotated[bool, typer.Option("--raw", help="Write the gradient image alone, no panel.")] = False,
        check: CheckOption = False,
        percentile: PercentileOption = 99.5,
    ) -> None:
        """Show in colour what excites a class or one neuron, by guided backpropagation (Springenberg et al. 2015)."""
        from cnnviz.cli import rectified

        chosen = _GUIDED[method]
        neuron = rectified.chosen_neuron(layer, channel, at)
        idle("target", when=neuron is not None, why="on the picture of a neuron")
        if neuron and check:
            raise UsageError("--check watches the probability of a class: leave out --layer, --channel and --at.")

        def explain(net: Network, picture: LoadedImage) -> Result:
            from cnnviz.attribution.targets import predict_target

            result = rectified.explain(net, picture, target, neuron, chosen, percentile, raw)
            if not check:
                return result
            explanation = predict_target(net, picture.pixels, target)
            index = explanation.target[0]
            return checked(result, net, picture, explanation, lambda n: chosen(n, picture.pixels, index), run.seed)

        job = image_job("attribution", network, input, run, output, sidecars=check_companions(output, check))
        job(explain if check or neuron else rectified.technique(target, chosen, percentile, raw))


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
