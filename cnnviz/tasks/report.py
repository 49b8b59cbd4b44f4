"""Everything about some images on one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from cnnviz.attribution.registry import DEFAULT_REPORTED, select_methods
from cnnviz.errors import ImageError, MemoryShortError
from cnnviz.pipeline.command_line import ANY_OPTIONS, Options, numbered_commands
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.recipe import recipe_of
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.pipeline.true_classes import FOLDER, TrueClasses
from cnnviz.report.settings import ReportSettings
from cnnviz.settings import setting
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.explanations import prediction_json, target_setting, versus_setting, wanted_target
from cnnviz.tasks.shared.judging import evaluate
from cnnviz.tasks.shared.layers import layer_names, layers_setting
from cnnviz.tasks.shared.true_classes import among, bound_to, classes_setting, ranked

if TYPE_CHECKING:
    from cnnviz.network.network import Network
    from cnnviz.network.prediction import Prediction
    from cnnviz.pipeline.collection_job import ImageCollection
    from cnnviz.pipeline.inputs import ImageSource
    from cnnviz.report.image_report import ImageReport
    from cnnviz.report.page import Page
    from cnnviz.report.report_input import ReportInput

_FRAMING = (
    *("size", "crop", "background", "show_channels", "weights", "labels", "mean", "std", "input_range", "precision"),
    *("input_channels", "logits", "activation", "trust"),
)
"""Parameters that all figures on the page have in common."""


@dataclass(frozen=True)
class Report(TaskDefaults):
    """A page about some images: predictions, maps, layers, an adversarial example, each with its recipe.

    ``options`` are those that commands take; with them each recipe is written as a command.
    """

    needs_gradients = True
    suffix: ClassVar[str] = ".html"  # type: ignore[misc]

    target: str | None = target_setting()
    versus: str | None = versus_setting()
    methods: str | None = setting(None, "Which maps, separated by commas.", metavar="A,B,…", show_default="nine")
    layers: tuple[str, ...] | None = layers_setting(
        "Layers whose strongest channels are shown; may be repeated.", "four over the depth"
    )
    channels: int = setting(ReportSettings.channels, "Channels of each layer.", min=1, names=("--channels-per-layer",))
    top: int = setting(ReportSettings.top, "How many classes to list and explain.", min=1, names=("--top", "-k"))
    fool_into: str | None = setting(
        None, "Class that the adversarial example is taken for.", metavar="CLASS", show_default="the least likely"
    )
    classes: str | None = classes_setting()
    errors: int | None = setting(
        None, "Only the N most certain mistakes; classes are by folder unless --classes is given.", min=1, metavar="N"
    )
    title: str | None = setting(None, "Title of the page.", metavar="TEXT", show_default="by network")
    seed: int = 0
    options: Options = field(default=ANY_OPTIONS, compare=False)

    @property
    def settings(self) -> ReportSettings:
        """What the page says about each image. UsageError for an unknown method."""
        methods = select_methods(DEFAULT_REPORTED if self.methods is None else self.methods)
        layers = None if self.layers is None else layer_names(self.layers)
        return ReportSettings(
            methods, layers, self.channels, self.top, wanted_target(self.target, self.versus), self.fool_into
        )

    def run(self, network: Network, images: ImageCollection) -> Result:
        from cnnviz.imaging.image_io import ByteChunks
        from cnnviz.report.page import Page

        page = Page(network, numbered_commands(self.options))
        known = self._known_classes(network, images)
        found = None if known is None or self.errors is None else evaluate(network, images, known)
        sources = images.sources if found is None else found.worst(self.errors)
        metadata, warnings = self._add_images(page, network, images, sources, known)
        recipe = images.recipe(network, self.seed)
        recipe["parameters"] |= {"target": self.target} if self.target is not None else {}
        title = f"What {network.name} {'sees' if found is None else 'mistakes'}"
        html = page.html(recipe, self.title or title, {} if found is None else found.facts())
        # File names need not be text.
        chunks = ByteChunks(lambda: (piece.encode(errors="backslashreplace") for piece in html()))
        judged = {} if found is None else {"evaluation": found.metadata()}
        about = {"bytes": sum(map(len, chunks)), **judged, "pictures": metadata}
        return Result(about, chunks, recipe=recipe, warnings=warnings)

    def _known_classes(self, network: Network, images: ImageCollection) -> TrueClasses | None:
        """The true class of each image, where these are known; UsageError for a folder that is no class."""
        by = self.classes or (None if self.errors is None else FOLDER)
        if by is None:
            return None
        return bound_to(among(TrueClasses.of(by), images.sources, images.reporter), network)

    def _add_images(
        self,
        page: Page,
        network: Network,
        images: ImageCollection,
        sources: Sequence[ImageSource],
        known: TrueClasses | None,
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Put each image's report on the page; their metadata, and warnings. ImageError if none could be read."""
        from cnnviz.report.image_report import report_on_image

        metadata: list[dict[str, Any]] = []
        warnings: list[str] = []
        settings = self.settings
        with images.reporter.progress(len(sources), "images") as advance:
            for source in sources:
                try:
                    report = report_on_image(self._report_input(network, images, source, known), settings)
                except (ImageError, MemoryShortError) as error:
                    images.fail(source, error)
                else:
                    page.add(report)
                    metadata.append(_metadata(report, network.has_probabilities))
                    warnings += _blank_maps(source, report)
                advance(source.name)
        if sources and not metadata:
            raise images.nothing_read()
        return metadata, warnings

    def _report_input(
        self, network: Network, images: ImageCollection, source: ImageSource, known: TrueClasses | None
    ) -> ReportInput:
        from cnnviz.report.report_input import ReportInput

        image = read_image(source, network, images.config)
        recipe = recipe_of(images.provenance, network, [source.named], self.seed)
        recipe["parameters"] = {key: value for key, value in recipe["parameters"].items() if key in _FRAMING}
        true = _true(network, image, known)
        return ReportInput(network, source.name, image.photo, image.pixels, recipe, self.seed, true, image.caption)


def _true(network: Network, image: LoadedImage, known: TrueClasses | None) -> Prediction | None:
    """The true class of an image, with the score that the network gives it; None if it is not known."""
    index = None if known is None else known.index(image.source)
    if index is None:
        return None
    return next(prediction for prediction in ranked(network, image.pixels)[0] if prediction[0] == index)


def _metadata(report: ImageReport, is_probability: bool) -> dict[str, Any]:
    example = report.adversarial_example
    return {
        "name": report.name,
        "predictions": [prediction_json(prediction, is_probability) for prediction in report.predictions],
        "target": prediction_json(report.target, is_probability)
        | ({"against": True} if report.against else {})
        | ({"versus": prediction_json(report.versus, is_probability)} if report.versus else {}),
        **({"true": prediction_json(report.true, is_probability)} if report.true else {}),
        "maps": [figure.title for figure in report.maps.figures],
        "left_out": dict(report.maps.refused),
        **({"blank": dict(report.maps.blank)} if report.maps.blank else {}),
        "layers": [layer.name for layer in report.layers],
        "fooled_into": prediction_json(example.after) if example and example.success else None,
    }


def _blank_maps(source: ImageSource, report: ImageReport) -> list[str]:
    label, blank = report.subject, report.maps.blank
    return [f"{source.display}: the map of {method} for {label} is {words}." for method, words in blank.items()]
