"""``cnnviz occlusion``: slide a patch over the picture and watch the class's score."""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli import console
from cnnviz.cli.checking import CheckOption, check_companions, checked
from cnnviz.cli.command import command
from cnnviz.cli.idle import idle
from cnnviz.cli.jobs import image_job
from cnnviz.cli.maps import BlurOption, ColormapOption, PercentileOption, View, ViewOption, map_style, tell_if_blank
from cnnviz.cli.options import BatchOptions, InputOptions, NetworkOptions, OutputOptions, TargetOption
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.tasks.explanations import explanation_result

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.attribution.approximate_occlusion import ApproximationError
    from cnnviz.attribution.occlusion import OcclusionGrid
    from cnnviz.network.network import Network


class Fill(str, Enum):
    """What shows instead of the hidden part."""

    mean = "mean"
    grey = "grey"
    black = "black"
    blur = "blur"
    noise = "noise"


class Score(str, Enum):
    """What is watched."""

    probability = "probability"
    logit = "logit"


class Algorithm(str, Enum):
    """How the occluded scores are computed."""

    auto = "auto"
    incremental = "incremental"
    full = "full"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @command(
        app,
        "occlusion",
        examples="cnnviz occlusion sample_images/coffee.png\n"
        "cnnviz occlusion sample_images/chelsea.png --patch 48 --stride 16 --score logit --class-map",
    )
    def occlusion(
        network: NetworkOptions,
        input: InputOptions,
        output: OutputOptions,
        run: BatchOptions,
        target: TargetOption = None,
        patch: Annotated[int, typer.Option("--patch", min=1, help="Side of the patch, in the network's pixels.")] = 32,
        stride: Annotated[
            int, typer.Option("--stride", min=1, help="Step between patches, in the network's pixels.")
        ] = 8,
        fill: Annotated[Fill, typer.Option("--fill", help="What shows instead of the hidden part.")] = Fill.mean,
        score: Annotated[Score, typer.Option("--score", help="Whose drop is recorded.")] = Score.probability,
        class_map: Annotated[
            bool,
            typer.Option(
                "--class-map",
                help="Show in the panel which class wins where the patch lies, even if one wins everywhere.",
            ),
        ] = False,
        batch: Annotated[
            int | None, typer.Option("--batch", min=1, help="Patches computed at a time.", show_default="by memory")
        ] = None,
        algorithm: Annotated[
            Algorithm, typer.Option("--algorithm", help="incremental recomputes only what a patch can reach.")
        ] = Algorithm.auto,
        check: CheckOption = False,
        approximate: Annotated[
            bool,
            typer.Option(
                "--approximate",
                help="Coarse but for the hottest quarter, windows capped; twice as fast, and tells the error it made.",
            ),
        ] = False,
        view: ViewOption = View.panel,
        colormap: ColormapOption = None,
        percentile: PercentileOption = 100.0,
        blur: BlurOption = None,
    ) -> None:
        """Show where hiding the picture costs the class its score (Zeiler & Fergus 2014)."""
        style = map_style(view, colormap, percentile, blur)
        idle("class_map", when=view is not View.panel, why="without --view panel")

        def explain(net: Network, picture: LoadedImage) -> Result:
            from cnnviz.attribution.config import OcclusionConfig
            from cnnviz.attribution.occlusion import occlusion_grids
            from cnnviz.attribution.targets import predict_target
            from cnnviz.figures.captions import explanation_title
            from cnnviz.figures.occlusion import occlusion_figure

            explanation = predict_target(net, picture.pixels, target)
            config = OcclusionConfig(
                patch, stride, fill.value, score.value, batch, algorithm.value, run.seed, approximate
            )
            (grid,) = occlusion_grids(net, picture.pixels, explanation.target[0], config)
            if grid.error:
                console.warn(_error_in_words(grid.error))
            image = occlusion_figure(
                grid,
                picture.photo,
                (picture.pixels.shape[2], picture.pixels.shape[3]),
                style,
                explanation_title(net.name, explanation),
                score.value,
                {index: net.label(index) for index in grid.classes.unique().tolist()},
                class_map=class_map,
            )
            blank = tell_if_blank(grid.score_drops, picture, "occlusion", explanation.target[1])
            result = explanation_result(image, explanation, **_facts(grid), **blank)

            def attribute(other: Network) -> Tensor:
                (drops,) = occlusion_grids(other, picture.pixels, explanation.target[0], config)
                return drops.to_pixels(*picture.pixels.shape[2:]).float()[None, None]

            return checked(result, net, picture, explanation, attribute, run.seed) if check else result

        image_job("attribution", network, input, run, output, sidecars=check_companions(output, check))(explain)


def _error_in_words(error: ApproximationError) -> str:
    """What an approximate map is worth, in one sentence."""
    return (
        f"Approximate: {error.computed} of {error.positions} positions computed; at {len(error.checked)} drawn at "
        f"random the map is off by {error.mean:.1%} of its largest drop on average, {error.largest:.1%} at most."
    )


def _facts(grid: OcclusionGrid) -> dict[str, Any]:
    """The raw grid and its extremes for ``--json``."""
    row, column = divmod(int(grid.score_drops.argmax()), grid.score_drops.shape[1])
    approximation = {"approximation": dataclasses.asdict(grid.error)} if grid.error else {}
    return {
        "score": round(grid.score, 6),
        "largest_drop": round(float(grid.score_drops.max()), 6),
        "largest_drop_at": [int(grid.tops[row]), int(grid.lefts[column])],
        "tops": grid.tops.tolist(),
        "lefts": grid.lefts.tolist(),
        "drops": [[round(value, 6) for value in values] for values in grid.score_drops.tolist()],
        "classes": grid.classes.tolist(),
        **approximation,
    }
