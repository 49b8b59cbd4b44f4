"""``cnnviz compare``: several attribution methods and networks on one sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.attribution.registry import METHODS, AttributionMethod, select_methods
from cnnviz.cli.command import command
from cnnviz.cli.jobs import in_context, job_of
from cnnviz.cli.maps import tell_if_blank
from cnnviz.cli.options import (
    BatchOptions,
    InputOptions,
    NetworksOptions,
    OutputOptions,
    TargetOption,
)
from cnnviz.pipeline.config import NetworkConfig
from cnnviz.pipeline.image_job import ImageJob
from cnnviz.pipeline.image_loading import prepare_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.outputs import OutputPath
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.tasks.explanations import prediction_json

if TYPE_CHECKING:
    from PIL.Image import Image

    from cnnviz.attribution.targets import Explanation
    from cnnviz.figures.comparison import NetworkMaps
    from cnnviz.network.network import Network

_USUAL = "saliency,smoothgrad,guided,gradcam,occlusion"

Look = tuple["Network", LoadedImage]
"""A network, and the picture as it is framed for it."""


class TileView(str, Enum):
    """How a map is shown on a sheet."""

    overlay = "overlay"
    heat = "heat"
    raw = "raw"


@dataclass
class ComparisonJob(ImageJob):
    """A command over pictures that shows each to several networks; ``others`` are those after the first."""

    others: Sequence[NetworkConfig] = ()

    @classmethod
    def of(
        cls, networks: NetworksOptions, input: InputOptions, run: BatchOptions, output: OutputOptions
    ) -> ComparisonJob:
        first, *others = networks.each()
        return job_of(cls, "attribution", first, input, run, output, others=others)

    def compare(self, explain: Callable[[Sequence[Look]], Result]) -> None:
        """Run ``explain`` over all pictures, at every network's size; recipe and ``--json`` name them all."""
        loaded: list[Network] = []

        def of_all(network: Network, picture: LoadedImage) -> Result:
            if not loaded:
                loaded.extend(self._loaded(options) for options in self.others)
            looks = [(net, prepare_image(picture.source, picture.original, net, self.input)) for net in loaded]
            result = explain([(network, picture), *looks])
            names = _named([network, *loaded])
            result.metadata = {**names, **result.metadata}
            result.recipe = {**names, **result.recipe, "weights_sha256": [n.weights.sha256 for n in [network, *loaded]]}
            return result

        self(in_context(of_all))

    def _plan_outputs(self, sources: list[ImageSource], model: str) -> Sequence[OutputPath | None]:
        """``{model}`` in an output template is all the networks' names."""
        names = [model, *(options.choose(self.technique)[0] for options in self.others)]
        return super()._plan_outputs(sources, "+".join(names))

    def _loaded(self, options: NetworkConfig) -> Network:
        name, _ = options.choose(self.technique)
        own, self.network = self.network, options
        try:
            return self.load(name)
        finally:
            self.network = own


def _named(networks: Sequence[Network]) -> dict[str, Any]:
    return {"model": [net.name for net in networks], "weights": [net.weights.label for net in networks]}


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @command(
        app,
        "compare",
        examples="cnnviz compare sample_images/chelsea.png\n"
        "cnnviz compare photo.jpg --methods gradcam,guided-gradcam,occlusion -m resnet50 -m vgg16 --target tabby",
    )
    def compare(
        network: NetworksOptions,
        input: InputOptions,
        output: OutputOptions,
        run: BatchOptions,
        target: TargetOption = None,
        methods: Annotated[
            str,
            typer.Option("--methods", help=f"Which maps, of {', '.join(METHODS)}.", metavar="A,B,..."),
        ] = _USUAL,
        view: Annotated[
            TileView,
            typer.Option("--view", help="overlay: on the photo. heat: the map in colour. raw: in grey, unclipped."),
        ] = TileView.overlay,
    ) -> None:
        """Set attribution methods, and networks, side by side on one labelled sheet."""
        from cnnviz.attribution.targets import predict_target
        from cnnviz.figures.comparison import comparison_sheet

        chosen = list(select_methods(methods).values())

        def explain(looks: Sequence[Look]) -> Result:
            explanations = [predict_target(net, picture.pixels, target) for net, picture in looks]
            blanks: list[dict[str, str]] = []
            rows = [
                _row(net, picture, explanation, chosen, view, run.seed, blanks)
                for (net, picture), explanation in zip(looks, explanations, strict=True)
            ]
            return _result(comparison_sheet(rows), [net for net, _ in looks], explanations, blanks, target is not None)

        ComparisonJob.of(network, input, run, output).compare(explain)


def _row(
    net: Network,
    picture: LoadedImage,
    explanation: Explanation,
    methods: Sequence[AttributionMethod],
    view: TileView,
    seed: int,
    blanks: list[dict[str, str]],
) -> NetworkMaps:
    """A network's maps, under what it says; ``blanks`` receives which methods' maps show nothing."""
    from cnnviz.figures.captions import explanation_title
    from cnnviz.figures.comparison import NetworkMaps
    from cnnviz.figures.maps import MapStyle

    maps = []
    blanks.append({})
    for method in methods:
        found = method(net, picture.pixels, explanation.target[0], **method.accepted(seed=seed))
        for words in tell_if_blank(found, picture, method.title, f"{explanation.target[1]} by {net.name}").values():
            blanks[-1][method.title] = words
        blur = method.blur if view is TileView.overlay else 0.0
        maps.append((method.title, found, MapStyle(view.value, None, method.percentile, blur, method.signed)))
    return NetworkMaps(picture.photo, explanation_title(net.name, explanation), maps)


def _result(
    image: Image,
    networks: Sequence[Network],
    explanations: Sequence[Explanation],
    blanks: Sequence[dict[str, str]],
    targeted: bool,
) -> Result:
    """The sheet, and what each network thinks; the recipe holds the class only where the user chose it."""
    looks = [
        {
            "model": net.name,
            "target": prediction_json(explanation.target),
            "predicted": prediction_json(explanation.predicted),
            **({"blank": blank} if blank else {}),
        }
        for net, explanation, blank in zip(networks, explanations, blanks, strict=True)
    ]
    first = explanations[0].target
    recipe = {"target": prediction_json(first)} if targeted else {}
    return Result(metadata={"networks": looks}, image=image, target=first[1], recipe=recipe)
