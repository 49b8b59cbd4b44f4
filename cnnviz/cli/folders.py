"""Commands that look at many pictures at once: ``patches``, ``neighbors``, ``embed``, ``embed-index``."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from cnnviz.cli.command import command
from cnnviz.cli.idle import idle
from cnnviz.cli.jobs import collection_job
from cnnviz.cli.options import EngineOptions, InputOptions, NetworkOptions, OutputOptions, StoreOptions
from cnnviz.pipeline.collection_job import ImageCollection
from cnnviz.pipeline.result import Result

if TYPE_CHECKING:
    from cnnviz.network.network import Network


class Method(str, Enum):
    """How vectors are laid out on a plane."""

    pca = "pca"
    tsne = "tsne"
    umap = "umap"


class Layout(str, Enum):
    """Where thumbnails go."""

    scatter = "scatter"
    grid = "grid"


class Classes(str, Enum):
    """What colours tell."""

    auto = "auto"
    folder = "folder"
    predicted = "predicted"
    none = "none"


LayerOption = Annotated[
    str | None,
    typer.Option("--layer", "-l", help="Layer whose features are compared.", show_default="before the classifier"),
]
HalfOption = Annotated[bool, typer.Option("--half", help="Keep features in 16 bits: half the room on disk.")]


def register(app: typer.Typer) -> None:
    """Add this family's commands to the application."""
    _register_embed(app)


def _register_embed(app: typer.Typer) -> None:
    @command(
        app,
        "embed",
        examples="cnnviz embed photos/ -r\ncnnviz embed photos/ --method pca --layout grid --classes predicted",
    )
    def embed(
        network: NetworkOptions,
        input: InputOptions,
        output: OutputOptions,
        store: StoreOptions,
        run: EngineOptions,
        method: Annotated[Method, typer.Option("--method", help="How the map is made.")] = Method.tsne,
        layout: Annotated[
            Layout, typer.Option("--layout", help="scatter keeps the map's shape; grid fills a square.")
        ] = (Layout.scatter),
        classes: Annotated[
            Classes,
            typer.Option(
                "--classes", help="Colour by folder or predicted class; auto: by folder where there are several."
            ),
        ] = Classes.auto,
        layer: LayerOption = None,
        perplexity: Annotated[
            float | None,
            typer.Option("--perplexity", help="Neighbours each picture has in t-SNE.", show_default="30, or fewer"),
        ] = None,
        parquet: Annotated[bool, typer.Option("--parquet", help="Coordinates as Parquet instead of CSV.")] = False,
        half: HalfOption = False,
    ) -> None:
        """Draw a map of many pictures, like beside like: a picture, an interactive page, and the coordinates."""
        from cnnviz.cli.embedding import Mapping, coordinates_suffix
        from cnnviz.features.projection import check_method

        check_method(method.value)
        idle("perplexity", when=method is not Method.tsne, why="without --method tsne")
        mapping = Mapping(method.value, layout.value, classes.value, layer, perplexity, half)
        suffixes = (".html", coordinates_suffix(parquet))

        def make(net: Network, album: ImageCollection) -> Result:
            return mapping.draw(net, album, store, run.seed, parquet=parquet)

        collection_job("features", network, input, run, output, sidecars=suffixes)(make)
