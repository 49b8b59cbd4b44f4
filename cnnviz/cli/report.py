"""``cnnviz report``: everything about some pictures on one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli import console
from cnnviz.cli.command import command, current
from cnnviz.cli.jobs import collection_job
from cnnviz.cli.options import InputOptions, NetworkOptions, PageOptions, RunOptions, TargetOption
from cnnviz.errors import ImageError, MemoryShortError
from cnnviz.pipeline.collection_job import ImageCollection
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.recipe import recipe_of
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.tasks.explanations import prediction_json

if TYPE_CHECKING:
    from cnnviz.network.network import Network
    from cnnviz.report.image_report import ImageReport, ReportSettings
    from cnnviz.report.page import Page

_FRAMING = ("size", "crop", "background", "weights", "labels", "mean", "std", "precision")
"""Parameters that every picture on the page has in common."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @command(
        app,
        "report",
        examples="cnnviz report sample_images/chelsea.png sample_images/coffee.png -o report.html\n"
        "cnnviz report photo.jpg -m resnet50 --methods gradcam,occlusion --layers layer1,layer4",
    )
    def report(
        network: NetworkOptions,
        input: InputOptions,
        output: PageOptions,
        run: RunOptions,
        target: TargetOption = None,
        methods: Annotated[
            str | None,
            typer.Option(
                "--methods", help="Which maps, separated by commas.", metavar="A,B,...", show_default="all there are"
            ),
        ] = None,
        layers: Annotated[
            str | None,
            typer.Option(
                "--layers",
                help="Layers whose answers are shown, separated by commas.",
                metavar="L,M,...",
                show_default="four over the depth",
            ),
        ] = None,
        channels: Annotated[int, typer.Option("--channels", min=1, help="Channels of each layer.")] = 12,
        top: Annotated[int, typer.Option("--top", "-k", min=1, help="How many classes to list and explain.")] = 5,
        fool_into: Annotated[
            str | None,
            typer.Option(
                "--fool-into",
                help="Class that the fooling example is to be taken for.",
                metavar="CLASS",
                show_default="what it seems least",
            ),
        ] = None,
        title: Annotated[str | None, typer.Option("--title", help="Of the page.", show_default="by network")] = None,
    ) -> None:
        """Tell all about some pictures on one page: predictions, every map, layers, a fooling example, the recipes."""
        from cnnviz.attribution.registry import METHODS, select_methods
        from cnnviz.report.image_report import ReportSettings

        wanted = select_methods(methods) if methods is not None else METHODS
        names = [name.strip() for name in layers.split(",") if name.strip()] if layers is not None else None
        settings = ReportSettings(wanted, names, channels, top, target, fool_into)

        def make(net: Network, album: ImageCollection) -> Result:
            return _page(net, album, settings, run.seed, title or f"What {net.name} sees")

        collection_job("attribution", network, input, run, output, suffix=".html")(make)


def _page(network: Network, album: ImageCollection, settings: ReportSettings, seed: int, title: str) -> Result:
    """The page about all pictures that could be read; ImageError where there is none."""
    from cnnviz.cli.commandline import numbered
    from cnnviz.imaging.image_io import ByteChunks
    from cnnviz.report.page import Page

    page = Page(network, numbered())
    told = _add_images(page, network, album, settings, seed)
    recipe = recipe_of(current.provenance(), network, album.config.images or [], seed)
    recipe["parameters"] |= {"target": str(settings.target)} if settings.target is not None else {}
    recipe["parameters"] |= album.job.input_parameters() if album.job else {}
    # Names of files need be no text.
    html = page.html(recipe, title)
    pieces = ByteChunks(lambda: (piece.encode(errors="backslashreplace") for piece in html()))
    facts = {"bytes": sum(map(len, pieces)), "pictures": told}
    return Result(metadata=facts, image=pieces, recipe=recipe)


def _add_images(
    page: Page, network: Network, album: ImageCollection, settings: ReportSettings, seed: int
) -> Sequence[Mapping[str, Any]]:
    """Put each image's report on the page; returns their fields for ``--json``."""
    from cnnviz.report.image_report import report_on_image

    told = []
    with console.progress(len(album.sources), "pictures") as advance:
        for source in album.sources:
            try:
                picture = read_image(source, network, album.config)
                report = report_on_image(_report_input(network, picture, seed), settings)
            except (ImageError, MemoryShortError) as error:
                album.fail(source, error)
            else:
                for method, words in report.maps.blank.items():
                    console.warn(f"{source.display}: the map of {method} for {report.target[1]} is {words}.")
                page.add(report)
                told.append(_facts(report))
            advance(source.name)
    if not told:
        raise ImageError(f"None of the {len(album.sources)} pictures could be read.")
    return told


def _report_input(network: Network, picture: LoadedImage, seed: int) -> Any:
    from cnnviz.report.report_input import ReportInput

    recipe = recipe_of(current.provenance(), network, [picture.source.named], seed)
    recipe["parameters"] = {key: value for key, value in recipe["parameters"].items() if key in _FRAMING}
    return ReportInput(network, picture.source.name, picture.photo, picture.pixels, recipe, seed)


def _facts(report: ImageReport) -> dict[str, Any]:
    example = report.adversarial_example
    return {
        "name": report.name,
        "predictions": [prediction_json(prediction) for prediction in report.predictions],
        "target": prediction_json(report.target),
        "maps": [figure.title for figure in report.maps.figures],
        "left_out": dict(report.maps.refused),
        **({"blank": dict(report.maps.blank)} if report.maps.blank else {}),
        "layers": [layer.name for layer in report.layers],
        "fooled_into": prediction_json(example.after) if example and example.success else None,
    }
