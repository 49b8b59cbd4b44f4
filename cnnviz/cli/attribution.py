"""Commands that explain one prediction by gradients: ``classify``, ``saliency``, ``guided``, ``gradcam``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli import cutout
from cnnviz.cli.checking import CheckOption, check_companions, checked
from cnnviz.cli.command import command
from cnnviz.cli.idle import idle
from cnnviz.cli.job import ImageJob, Picture, Result
from cnnviz.cli.maps import (
    BlurOption,
    ColormapOption,
    PercentileOption,
    Verdict,
    View,
    ViewOption,
    attribution_result,
    clip_option,
    judge,
    judge_each,
    map_style,
    prediction_json,
    tell_if_blank,
    verdicts,
)
from cnnviz.cli.options import BatchOptions, InputOptions, NetworkOptions, OutputOptions, TargetOption
from cnnviz.cli.work import Technique
from cnnviz.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.network.network import Network, Prediction


_OVERLAY_BLUR = 2.0
"""Deviation, in the network's pixels, of the Gaussian that smooths a gradient laid over a photo."""

Explained = tuple[Verdict, "Tensor", dict[str, Any]]
"""What the network says of a picture, the map (1, 1, H, W) that explains it, and what else there is to tell."""


class Method(str, Enum):
    """Which gradient ``saliency`` shows."""

    gradient = "gradient"
    smoothgrad = "smoothgrad"
    integrated = "integrated"
    input_x_gradient = "input-x-gradient"


_TITLES = {
    Method.gradient: "saliency",
    Method.smoothgrad: "SmoothGrad",
    Method.integrated: "integrated gradients",
    Method.input_x_gradient: "input × gradient",
}


class Baseline(str, Enum):
    """Where integrated gradients begin."""

    black = "black"
    grey = "grey"
    white = "white"


class Rule(str, Enum):
    """What ReLUs do to gradients."""

    guided = "guided"
    deconvnet = "deconvnet"


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
        job = ImageJob("attribution", network, input, run)
        job(Technique(lambda net, pixels: net.predict(pixels, top), _classification))


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
        method: Annotated[Method, typer.Option("--method", help="Which gradient.")] = Method.gradient,
        samples: Annotated[int, typer.Option("--samples", min=1, help="SmoothGrad: noisy copies.")] = 50,
        sigma: Annotated[
            float, typer.Option("--sigma", min=0, help="SmoothGrad: noise, of the range of pixels.")
        ] = 0.15,
        steps: Annotated[int, typer.Option("--steps", min=1, help="Integrated gradients: steps on the way.")] = 64,
        baseline: Annotated[
            Baseline, typer.Option("--baseline", help="Integrated gradients: where the way begins.")
        ] = Baseline.black,
        grabcut: cutout.GrabcutOption = False,
        check: CheckOption = False,
        view: ViewOption = View.panel,
        colormap: ColormapOption = None,
        percentile: PercentileOption = 99.0,
        blur: BlurOption = None,
    ) -> None:
        """Show which pixels the class score is most sensitive to (Simonyan et al. 2014)."""

        def attribute(net: Network, pixels: Tensor, index: int) -> tuple[Tensor, dict[str, float]]:
            return _gradient_map(net, pixels, index, method, samples, sigma, steps, baseline.value, run.seed)

        def find(net: Network, pixels: Tensor) -> list[Explained]:
            if method is Method.gradient:
                return _plain_gradients(net, pixels, target)
            judged = judge_each(net, pixels, target)
            pictures = zip(judged, pixels.split(1), strict=True)
            return [(verdict, *attribute(net, picture, verdict.target[0])) for verdict, picture in pictures]

        def draw(net: Network, picture: Picture, explained: Explained) -> Result:
            verdict, found, facts = explained
            wanted = verdict.target[0] if target is not None else None
            cut = cutout.cut_out(net, picture, wanted, run.seed) if grabcut else None
            extra = [cut.tile] if cut else []
            image = style.draw(found, picture.photo, verdict.caption(net), _TITLES[method], extra)
            blank = tell_if_blank(found, picture, _TITLES[method], verdict.target[1])
            result = attribution_result(image, verdict, **facts, **blank, **(cut.facts if cut else {}))
            return replace(result, companions=cut.companions if cut else {})

        def explain(net: Network, picture: Picture) -> Result:
            (explained,) = find(net, picture.pixels)
            verdict = explained[0]
            result = draw(net, picture, explained)
            index = verdict.target[0]
            return checked(result, net, picture, verdict, lambda n: attribute(n, picture.pixels, index)[0], run.seed)

        idle("samples", "sigma", when=method is not Method.smoothgrad, why="without --method smoothgrad")
        idle("steps", "baseline", when=method is not Method.integrated, why="without --method integrated")
        if grabcut:
            cutout.require(output)
        companions = (*(cutout.COMPANIONS if grabcut else ()), *check_companions(output, check))
        signed = method in (Method.integrated, Method.input_x_gradient)
        style = map_style(view, colormap, percentile, blur, signed=signed, overlay_blur=_OVERLAY_BLUR)
        light = method in (Method.gradient, Method.input_x_gradient)
        job = ImageJob("attribution", network, input, run, output, companions)
        job(explain if check else Technique(find, draw, is_light=light))


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
        method: Annotated[Rule, typer.Option("--method", help="The rule for gradients at ReLUs.")] = Rule.guided,
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

        neuron = rectified.chosen_neuron(layer, channel, at)
        idle("target", when=neuron is not None, why="on the picture of a neuron")
        if neuron and check:
            raise UsageError("--check watches the probability of a class: leave out --layer, --channel and --at.")

        def explain(net: Network, picture: Picture) -> Result:
            result = rectified.explain(net, picture, target, neuron, method.value, percentile, raw)
            if not check:
                return result
            verdict = judge(net, picture.pixels, target)
            return checked(
                result,
                net,
                picture,
                verdict,
                lambda n: rectified.class_map(n, picture.pixels, verdict.target[0], method.value),
                run.seed,
            )

        job = ImageJob("attribution", network, input, run, output, check_companions(output, check))
        job(explain if check or neuron else rectified.technique(target, method.value, percentile, raw))


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
        from cnnviz.attribution.cam import grad_cam, guided_grad_cam
        from cnnviz.network.default_layers import last_spatial_layer

        def attribute(net: Network, pixels: Tensor, index: int | list[int], name: str) -> Tensor:
            if not guided:
                return grad_cam(net, pixels, index, layer=name)
            return guided_grad_cam(net, pixels, index, layer=name)

        def strength(found: Tensor) -> Tensor:
            """The map (N, 1, H, W) of what was found, (N, 3, H, W) in color for guided Grad-CAM."""
            return found.abs().amax(1, keepdim=True)

        def find(net: Network, pixels: Tensor) -> list[Explained]:
            judged = judge_each(net, pixels, target)
            name = layer or last_spatial_layer(net)
            maps = attribute(net, pixels, [verdict.target[0] for verdict in judged], name)
            return [(verdict, found, {"layer": name}) for verdict, found in zip(judged, maps.split(1), strict=True)]

        def draw(net: Network, picture: Picture, explained: Explained) -> Result:
            from cnnviz.figures.guided import gradient_image

            verdict, found, facts = explained
            name = facts["layer"]
            shown = min((name, *net.layers.aliases_of(net.layers.node(name))), key=len)  # fire9, not features.12.cat
            title = f"{'guided ' if guided else ''}Grad-CAM of {shown}"
            blank = tell_if_blank(strength(found), picture, title, verdict.target[1])
            colored = gradient_image(found[0], clip, picture.photo.size) if guided else None
            wanted = verdict.target[0] if target is not None else None
            cut = cutout.cut_out(net, picture, wanted, run.seed) if grabcut else None
            extra = [cut.tile] if cut else []
            image = style.draw(strength(found), picture.photo, verdict.caption(net), title, extra, colored)
            result = attribution_result(image, verdict, **facts, **blank, **(cut.facts if cut else {}))
            return replace(result, companions=cut.companions if cut else {})

        def explain(net: Network, picture: Picture) -> Result:
            (explained,) = find(net, picture.pixels)
            verdict, _, facts = explained
            result = draw(net, picture, explained)
            index, name = verdict.target[0], facts["layer"]

            def mapped(network: Network) -> Tensor:
                return strength(attribute(network, picture.pixels, index, name))

            return checked(result, net, picture, verdict, mapped, run.seed)

        if grabcut:
            cutout.require(output)
        clip = (99.0 if guided else 100.0) if percentile is None else percentile
        style = map_style(view, colormap, clip, blur, overlay_blur=_OVERLAY_BLUR if guided else 0.0)
        companions = (*(cutout.COMPANIONS if grabcut else ()), *check_companions(output, check))
        job = ImageJob("attribution", network, input, run, output, companions)
        job(explain if check else Technique(find, draw))


def _plain_gradients(net: Network, pixels: Tensor, target: str | None) -> list[Explained]:
    """Saliency and verdict of each picture from one pass forward and back."""
    from cnnviz.attribution.gradients import gradient_and_logits, strongest_channel

    index = net.find_class(target) if target is not None else None
    gradient, logits = gradient_and_logits(net, pixels, index)
    maps = strongest_channel(gradient).split(1)
    return [(verdict, found, {}) for verdict, found in zip(verdicts(net, logits, target), maps, strict=True)]


def _gradient_map(
    net: Network,
    pixels: Tensor,
    index: int,
    method: Method,
    samples: int,
    sigma: float,
    steps: int,
    baseline: str,
    seed: int,
) -> tuple[Tensor, dict[str, float]]:
    """The map (1, 1, H, W) of a method, summed over colours where it is signed, and what there is to tell of it."""
    from cnnviz.attribution.gradients import input_x_gradient, saliency
    from cnnviz.attribution.integrated_gradients import completeness_error, integrated_gradients
    from cnnviz.attribution.smoothgrad import smoothgrad

    if method is Method.smoothgrad:
        return smoothgrad(net, pixels, index, samples=samples, sigma=sigma, seed=seed), {}
    if method is Method.input_x_gradient:
        return input_x_gradient(net, pixels, index).sum(1, keepdim=True), {}
    if method is Method.integrated:
        found = integrated_gradients(net, pixels, index, steps=steps, baseline=baseline)
        error = completeness_error(net, pixels, found, index, baseline)
        return found.sum(1, keepdim=True), {"completeness_error": round(float(error), 6)}
    return saliency(net, pixels, index), {}


def _classification(network: Network, picture: Picture, predictions: Sequence[Prediction]) -> Result:
    width = len(str(network.classes - 1))
    lines = [f"{p:6.1%}  {index:>{width}}  {label}" for index, label, p in predictions]
    return Result(
        facts={"predictions": [prediction_json(p) for p in predictions]},
        lines=[picture.source.display, *(f"  {line}" for line in lines)],
    )
