"""Commands that explain one prediction: ``classify`` and ``saliency``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cnnviz.cli.command import command
from cnnviz.cli.job import ImageJob, Picture, Result
from cnnviz.cli.maps import (
    BlurOption,
    ColormapOption,
    MapStyle,
    PercentileOption,
    View,
    ViewOption,
    attribution_result,
    judge,
    prediction_json,
)
from cnnviz.cli.options import InputOptions, NetworkOptions, OutputOptions, RunOptions, TargetOption

if TYPE_CHECKING:
    from cnnviz.network import Network


def register(app: typer.Typer) -> None:
    """Add this family's commands to the application."""

    @command(
        app,
        "classify",
        examples="cnnviz classify sample_images/coffee.png\ncnnviz classify photos/ -r --json -k 3",
    )
    def classify(
        network: NetworkOptions,
        input: InputOptions,
        run: RunOptions,
        top: Annotated[int, typer.Option("--top", "-k", min=1, help="How many classes to list.")] = 5,
    ) -> None:
        """Say what the network takes each picture for."""
        job = ImageJob("attribution", network, input, run)
        job(lambda net, picture: _classification(net, picture, top))

    @command(
        app,
        "saliency",
        examples="cnnviz saliency sample_images/chelsea.png\n"
        "cnnviz saliency photo.jpg --target tabby --view overlay -o tabby.jpg\n"
        "cat photo.jpg | cnnviz saliency - -o - > saliency.png",
    )
    def saliency(
        network: NetworkOptions,
        input: InputOptions,
        output: OutputOptions,
        run: RunOptions,
        target: TargetOption = None,
        view: ViewOption = View.panel,
        colormap: ColormapOption = None,
        percentile: PercentileOption = 99.0,
        blur: BlurOption = 0.0,
    ) -> None:
        """Show which pixels the class score is most sensitive to (Simonyan et al. 2014)."""
        from cnnviz import attribution

        def explain(net: Network, picture: Picture) -> Result:
            verdict = judge(net, picture.pixels, target)
            found = attribution.saliency(net, picture.pixels, verdict.target[0])
            image = style.render(found, picture, verdict.caption(net), "saliency")
            return attribution_result(image, verdict)

        style = MapStyle(view, colormap, percentile, blur, panel_blur=2.0)
        ImageJob("attribution", network, input, run, output)(explain)


def _classification(network: Network, picture: Picture, top: int) -> Result:
    predictions = network.predict(picture.pixels, top)[0]
    width = len(str(network.classes - 1))
    lines = [f"{p:6.1%}  {index:>{width}}  {label}" for index, label, p in predictions]
    return Result(
        facts={"predictions": [prediction_json(p) for p in predictions]},
        lines=[picture.source.display, *(f"  {line}" for line in lines)],
    )
