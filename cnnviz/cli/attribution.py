"""Commands that explain one prediction by gradients: ``classify``, ``saliency``, ``guided``, ``gradcam``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from cnnviz.attribution.config import IntegratedGradientsConfig, SmoothGradConfig
from cnnviz.attribution.registry import METHODS, methods_of
from cnnviz.cli import cutout
from cnnviz.cli.checking import CheckOption, check_companions, checked
from cnnviz.cli.command import command
from cnnviz.cli.idle import idle
from cnnviz.cli.jobs import image_job
from cnnviz.cli.maps import (
    BlurOption,
    ColormapOption,
    PercentileOption,
    View,
    ViewOption,
    attribution_result,
    clip_option,
    map_style,
    prediction_json,
    tell_if_blank,
)
from cnnviz.cli.options import BatchOptions, InputOptions, NetworkOptions, OutputOptions, TargetOption
from cnnviz.errors import UsageError
from cnnviz.pipeline.image_task import FunctionTask
from cnnviz.pipeline.result import LoadedImage, Result

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.attribution.targets import Explanation
    from cnnviz.network.network import Network, Prediction


_SALIENCY = methods_of("saliency", default="gradient")
_GUIDED = methods_of("guided", default="guided")

if TYPE_CHECKING:
    Gradient: TypeAlias = str
    Rule: TypeAlias = str
    Explained = tuple[Explanation, Tensor, dict[str, Any]]
else:
    Gradient = Enum("Gradient", {name: name for name in _SALIENCY}, type=str)
    Rule = Enum("Rule", {name: name for name in _GUIDED}, type=str)


class Baseline(str, Enum):
    """Where integrated gradients begin."""

    black = "black"
    grey = "grey"
    white = "white"


_BASELINE = Baseline(IntegratedGradientsConfig.baseline)


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
    def classify(
        network: NetworkOptions,
        input: InputOptions,
        run: BatchOptions,
        top: Annotated[int, typer.Option("--top", "-k", min=1, help="How many classes to list.")] = 5,
    ) -> None:
        """Say what the network takes each picture for."""
        job = image_job("attribution", network, input, run)
        job(FunctionTask(lambda net, pixels: net.predict(pixels, top), _classification))


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
        network: NetworkOptions,
        input: InputOptions,
        output: OutputOptions,
        run: BatchOptions,
        target: TargetOption = None,
        method: Annotated[Gradient, typer.Option("--method", help="Which gradient.")] = "gradient",
        samples: Annotated[
            int, typer.Option("--samples", min=1, help="SmoothGrad: noisy copies.")
        ] = SmoothGradConfig.samples,
        sigma: Annotated[
            float, typer.Option("--sigma", min=0, help="SmoothGrad: noise, of the range of pixels.")
        ] = SmoothGradConfig.sigma,
        steps: Annotated[
            int, typer.Option("--steps", min=1, help="Integrated gradients: steps on the way.")
        ] = IntegratedGradientsConfig.steps,
        baseline: Annotated[
            Baseline, typer.Option("--baseline", help="Integrated gradients: where the way begins.")
        ] = _BASELINE,
        grabcut: cutout.GrabcutOption = False,
        check: CheckOption = False,
        view: ViewOption = View.panel,
        colormap: ColormapOption = None,
        percentile: Annotated[float | None, clip_option("99")] = None,
        blur: BlurOption = None,
    ) -> None:
        """Show which pixels the class score is most sensitive to (Simonyan et al. 2014)."""
        chosen = _SALIENCY[method]
        settings = chosen.accepted(samples=samples, sigma=sigma, steps=steps, baseline=baseline.value, seed=run.seed)

        def find(net: Network, pixels: Tensor) -> list[Explained]:
            from cnnviz.attribution.targets import predict_targets

            if chosen.name == "saliency":
                return _saliency(net, pixels, target)
            explanations = predict_targets(net, pixels, target)
            indices = [explanation.target[0] for explanation in explanations]
            found = chosen.attribute(net, pixels, indices, **settings)
            facts: list[dict[str, Any]] = [{} for _ in indices]
            if chosen.name == "integrated":
                facts = _completeness(net, pixels, found, indices, baseline.value)
            return list(zip(explanations, chosen.map_of(found).split(1), facts, strict=True))

        def draw(net: Network, picture: LoadedImage, explained: Explained) -> Result:
            from cnnviz.figures.captions import explanation_title

            explanation, found, facts = explained
            wanted = explanation.target[0] if target is not None else None
            cut = cutout.cut_out(net, picture, wanted, run.seed) if grabcut else None
            extra = [cut.tile] if cut else []
            image = style.draw(found, picture.photo, explanation_title(net.name, explanation), chosen.title, extra)
            blank = tell_if_blank(found, picture, chosen.title, explanation.target[1])
            result = attribution_result(image, explanation, **facts, **blank, **(cut.facts if cut else {}))
            return replace(result, sidecars=cut.companions if cut else {})

        def explain(net: Network, picture: LoadedImage) -> Result:
            (explained,) = find(net, picture.pixels)
            explanation = explained[0]
            result = draw(net, picture, explained)
            index = explanation.target[0]

            def mapped(network: Network) -> Tensor:
                return chosen(network, picture.pixels, index, **settings)

            return checked(result, net, picture, explanation, mapped, run.seed)

        for other in _SALIENCY.values():
            without_effect = [name for name in other.settings if name not in (*chosen.settings, "seed")]
            idle(*without_effect, why=f"without --method {other.name}")
        if grabcut:
            cutout.require(output)
        companions = (*(cutout.COMPANIONS if grabcut else ()), *check_companions(output, check))
        clip = chosen.percentile if percentile is None else percentile
        style = map_style(view, colormap, clip, blur, signed=chosen.signed, overlay_blur=chosen.blur)
        job = image_job("attribution", network, input, run, output, sidecars=companions)
        job(explain if check else FunctionTask(find, draw, parallel=chosen.shares_a_pass))


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
        network: NetworkOptions,
        input: InputOptions,
        output: OutputOptions,
        run: BatchOptions,
        target: TargetOption = None,
        layer: Annotated[
            str | None,
            typer.Option("--layer", "-l", help="Whose maps to weight.", show_default="the last before the classifier"),
        ] = None,
        guided: Annotated[bool, typer.Option("--guided", help="Guided Grad-CAM: times guided backprop.")] = False,
        grabcut: cutout.GrabcutOption = False,
        check: CheckOption = False,
        view: ViewOption = View.panel,
        colormap: ColormapOption = None,
        percentile: Annotated[float | None, clip_option("100, with --guided 99")] = None,
        blur: BlurOption = None,
    ) -> None:
        """Show where the last feature maps speak for the class (Selvaraju et al. 2017)."""
        chosen = METHODS["guided-gradcam" if guided else "gradcam"]

        def find(net: Network, pixels: Tensor) -> list[Explained]:
            from cnnviz.attribution.targets import predict_targets
            from cnnviz.network.default_layers import last_spatial_layer

            explanations = predict_targets(net, pixels, target)
            name = layer or last_spatial_layer(net)
            maps = chosen.attribute(net, pixels, [explanation.target[0] for explanation in explanations], layer=name)
            return [(each, found, {"layer": name}) for each, found in zip(explanations, maps.split(1), strict=True)]

        def draw(net: Network, picture: LoadedImage, explained: Explained) -> Result:
            from cnnviz.figures.captions import explanation_title
            from cnnviz.figures.guided import gradient_image

            explanation, found, facts = explained
            name = facts["layer"]
            shown = min((name, *net.layers.aliases_of(net.layers.node(name))), key=len)  # fire9, not features.12.cat
            title = f"{'guided ' if guided else ''}Grad-CAM of {shown}"
            heat = chosen.map_of(found)
            blank = tell_if_blank(heat, picture, title, explanation.target[1])
            colored = gradient_image(found[0], clip, picture.photo.size) if guided else None
            wanted = explanation.target[0] if target is not None else None
            cut = cutout.cut_out(net, picture, wanted, run.seed) if grabcut else None
            extra = [cut.tile] if cut else []
            image = style.draw(heat, picture.photo, explanation_title(net.name, explanation), title, extra, colored)
            result = attribution_result(image, explanation, **facts, **blank, **(cut.facts if cut else {}))
            return replace(result, sidecars=cut.companions if cut else {})

        def explain(net: Network, picture: LoadedImage) -> Result:
            (explained,) = find(net, picture.pixels)
            explanation, _, facts = explained
            result = draw(net, picture, explained)
            index, name = explanation.target[0], facts["layer"]

            def mapped(network: Network) -> Tensor:
                return chosen(network, picture.pixels, index, layer=name)

            return checked(result, net, picture, explanation, mapped, run.seed)

        if grabcut:
            cutout.require(output)
        clip = chosen.percentile if percentile is None else percentile
        style = map_style(view, colormap, clip, blur, overlay_blur=chosen.blur)
        companions = (*(cutout.COMPANIONS if grabcut else ()), *check_companions(output, check))
        job = image_job("attribution", network, input, run, output, sidecars=companions)
        job(explain if check else FunctionTask(find, draw))


def _saliency(net: Network, pixels: Tensor, target: str | None) -> list[Explained]:
    """Prediction and saliency of each picture from one pass forward and back."""
    from cnnviz.attribution.gradients import gradient_and_logits, strongest_channel
    from cnnviz.attribution.targets import explanations_of

    index = net.find_class(target) if target is not None else None
    gradient, logits = gradient_and_logits(net, pixels, index)
    maps = strongest_channel(gradient).split(1)
    return [(each, found, {}) for each, found in zip(explanations_of(net, logits, target), maps, strict=True)]


def _completeness(
    net: Network, pixels: Tensor, attribution: Tensor, indices: Sequence[int], baseline: str
) -> list[dict[str, Any]]:
    """How far the integrated gradients of each picture are from summing up to the score, for ``--json``."""
    from cnnviz.attribution.integrated_gradients import completeness_error

    errors = completeness_error(net, pixels, attribution, indices, baseline).tolist()
    return [{"completeness_error": round(error, 6)} for error in errors]


def _classification(network: Network, picture: LoadedImage, predictions: Sequence[Prediction]) -> Result:
    width = len(str(network.classes - 1))
    lines = [f"{p:6.1%}  {index:>{width}}  {label}" for index, label, p in predictions]
    return Result(
        metadata={"predictions": [prediction_json(p) for p in predictions]},
        text=[picture.source.display, *(f"  {line}" for line in lines)],
    )
