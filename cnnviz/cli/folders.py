"""Commands that look at many pictures at once: ``patches``, ``neighbors``, ``embed``, ``embed-index``."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from cnnviz.cli.command import command
from cnnviz.cli.idle import idle
from cnnviz.cli.jobs import collection_job, collection_of, image_job
from cnnviz.cli.options import EngineOptions, InputOptions, NetworkOptions, OutputOptions, RunOptions, StoreOptions
from cnnviz.errors import UsageError
from cnnviz.pipeline.collection_job import ImageCollection
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.runtime.paths import is_folder, path_exists

if TYPE_CHECKING:
    from cnnviz.network.network import Network


class Metric(str, Enum):
    """How far two vectors are apart."""

    l2 = "l2"
    cosine = "cosine"


class Search(str, Enum):
    """How neighbours are looked for."""

    auto = "auto"
    exact = "exact"
    approximate = "approximate"


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
    _register_neighbors(app)
    _register_embed(app)


def _register_neighbors(app: typer.Typer) -> None:
    @command(
        app,
        "neighbors",
        examples="cnnviz neighbors photo.jpg photos/ -r\ncnnviz neighbors a.jpg b.jpg photos/ --k 5 --metric cosine",
    )
    def neighbors(
        network: NetworkOptions,
        input: InputOptions,
        output: OutputOptions,
        store: StoreOptions,
        run: RunOptions,
        k: Annotated[int, typer.Option("--k", "-k", min=1, help="How many neighbours.")] = 10,
        metric: Annotated[Metric, typer.Option("--metric", help="Distance between features.")] = Metric.l2,
        layer: LayerOption = None,
        index: Annotated[
            Search, typer.Option("--index", help="auto: approximate from 50,000 pictures on, if usearch is installed.")
        ] = Search.auto,
        half: HalfOption = False,
    ) -> None:
        """Find the pictures of a folder (the last argument) that are nearest to each picture named before it."""
        from cnnviz.cli.neighbors import Neighborhood

        album, queries = _split(input)
        if index is Search.approximate:
            from cnnviz.features.neighbors import uses_approximate

            uses_approximate(index.value, len(album.sources))  # a missing library is told of before any work
        place: list[Neighborhood] = []

        def explain(net: Network, picture: LoadedImage) -> Result:
            if not place:
                place.append(Neighborhood.of(net, album, layer, half, store, run.seed))
            return place[0].sheet(net, picture, k, metric.value, index.value)

        image_job("features", network, queries, run, output)(explain)
        album.raise_if_failed()


def _split(options: InputOptions) -> tuple[ImageCollection, InputOptions]:
    """The pictures to look among, and the options that name the ones to look for."""
    images = options.images or []
    if not images or (len(images) == 1 and options.files_from is None):
        raise UsageError("Name the pictures to look for and then the folder: cnnviz neighbors photo.jpg photos/.")
    *asked, folder = images
    if not is_folder(folder) and path_exists(folder):
        raise UsageError(f"The last argument is the folder to look in, but '{folder}' is a file.")
    if not path_exists(folder) and not any(sign in folder for sign in "*?["):
        raise UsageError(f"The last argument is the folder to look in, but there is no '{folder}'.")
    album = collection_of(replace(options, images=[folder], files_from=None))
    return album, replace(options, images=asked)


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
