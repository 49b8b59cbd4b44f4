"""Commands that show what a layer holds: ``filters`` and ``activations``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli.command import command
from cnnviz.cli.folderjob import NetworkJob
from cnnviz.cli.idle import idle
from cnnviz.cli.job import ImageJob, Picture, Result
from cnnviz.cli.maps import ColormapOption
from cnnviz.cli.options import BatchOptions, InputOptions, NetworkOptions, OutputOptions, RunOptions, index
from cnnviz.errors import UsageError, shortened
from cnnviz.figures.captions import three_digits

if TYPE_CHECKING:
    from PIL.Image import Image

    from cnnviz.features.activations import ActivationGrid
    from cnnviz.features.filters import FilterGrid
    from cnnviz.network.network import Network

ChannelsOption = Annotated[
    str | None,
    typer.Option("--channels", "--channel", "-c", help="Channels, as 17 or 3,17,40-44.", metavar="C[,C…]"),
]
SharedScaleOption = Annotated[
    bool, typer.Option("--shared-scale", help="One scale for all tiles, so that weak ones look weak.")
]

_MOST_CHANNELS = 100_000  # named at once; the widest layers have a few thousand


def register(app: typer.Typer) -> None:
    """Add this family's commands to the application."""

    @command(
        app,
        "filters",
        examples="cnnviz filters -m squeezenet1_1\ncnnviz filters -m vgg16 --layer conv3_1 --limit 24 -o conv3_1.png",
    )
    def filters(
        network: NetworkOptions,
        output: OutputOptions,
        run: RunOptions,
        layer: Annotated[
            str | None, typer.Option("--layer", "-l", help="A convolution.", show_default="the first")
        ] = None,
        limit: Annotated[
            int, typer.Option("--limit", min=1, help="Kernels shown of a deeper layer, across and down.")
        ] = 16,
        shared_scale: SharedScaleOption = False,
    ) -> None:
        """Show a convolution's kernels: the first layer's in colour, deeper ones in grey, input by output."""
        from cnnviz.features.filters import filter_grid

        def make(net: Network) -> Result:
            found = filter_grid(net, layer, shared_scale=shared_scale)
            idle("limit", when=found.colour or found.shape[1] == 1, why=f"on {found.layer}, which is shown whole")
            facts = {"layer": found.layer, "shape": found.shape}
            return Result(facts=facts, image=_filter_sheet(found, net, limit), target=found.layer)

        idle("mean", "std", "precision", why="on kernels, which are shown as they are")
        NetworkJob.without_pictures("features", network, run, output).of_network(make)

    @command(
        app,
        "activations",
        examples="cnnviz activations sample_images/chelsea.png --layer fire5\n"
        "cnnviz activations photo.jpg --layer conv4_3 -m vgg16 --channels 3,17,40-44",
    )
    def activations(
        network: NetworkOptions,
        input: InputOptions,
        output: OutputOptions,
        run: BatchOptions,
        layer: Annotated[
            str | None,
            typer.Option("--layer", "-l", help="A layer whose output is a map.", show_default="one half way down"),
        ] = None,
        channels: ChannelsOption = None,
        top: Annotated[int, typer.Option("--top", min=1, help="How many channels, strongest first.")] = 40,
        shared_scale: SharedScaleOption = False,
        colormap: ColormapOption = None,
    ) -> None:
        """Show a layer's feature maps: the strongest channels in grey, or chosen ones in colour on the photo."""
        from cnnviz.features.activations import activation_grid

        chosen = channel_list(channels) if channels else None
        idle("top", "shared_scale", when=chosen is not None, why="with --channels")

        def explain(net: Network, picture: Picture) -> Result:
            shown = layer or middle_layer(net)
            found = activation_grid(net, picture.pixels, shown)
            which = _known_channels(chosen, found) if chosen else found.order[:top].tolist()
            if chosen:
                image = _overlay_sheet(found, which, picture, net, colormap)
            else:
                image = _tile_sheet(found, which, picture, net, shared_scale, colormap)
            strengths = [{"channel": c, "mean": round(float(found.strengths[c]), 6)} for c in which]
            facts = {"layer": shown, "shape": tuple(found.maps.shape), "channels": strengths}
            return Result(facts=facts, image=image, target=shown)

        ImageJob("features", network, input, run, output)(explain)


def middle_layer(network: Network) -> str:
    """A layer half way down, as the report shows: past edges and textures, before whole objects."""
    from cnnviz.report.layers import usual_layers

    usual = usual_layers(network)
    return usual[(len(usual) - 1) // 2]


def common_name(network: Network, layer: str) -> str:
    """The name a layer goes by in papers, where it has one: ``fire9`` for ``features.12.cat``."""
    return next(iter(network.layers.aliases_of(network.layers.node(layer))), layer)


def channel_list(text: str) -> list[int]:
    """Channel numbers from ``3,17,40-44``; a UsageError for anything else."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        start, stop = index(first), index(last) if dash else index(first)
        if start is None or stop is None or stop < start:
            raise UsageError(f"--channels takes numbers from 0, as in 3,17,40-44, not '{shortened(text)}'.")
        if stop >= start + _MOST_CHANNELS:
            raise UsageError(f"--channels {shortened(text)} names more channels than a layer has.")
        found += range(start, stop + 1)
    return list(dict.fromkeys(found))


def _known_channels(chosen: list[int], found: ActivationGrid) -> list[int]:
    from cnnviz.features.top_activations import check_channels

    check_channels(chosen, len(found.maps), found.layer)
    return chosen


def _filter_sheet(found: FilterGrid, network: Network, limit: int) -> Image:
    from cnnviz.imaging.grid import grid
    from cnnviz.imaging.pixels import to_pil_image

    out, inputs, height, width = found.shape
    title = f"{network.name} {common_name(network, found.layer)}: {out}×{inputs}×{height}×{width}"
    if found.colour or inputs == 1:
        tiles = [to_pil_image(tile, clamp=True) for tile in found.tiles]
        columns = math.ceil(math.sqrt(len(tiles)))
        return grid(tiles, columns, title=title, tile=max(8 * max(height, width), min(128, 480 // columns)))
    rows, columns = min(out, limit), min(inputs, limit)
    if (rows, columns) != (out, inputs):
        title += f" ({rows}×{columns} shown)"
    tiles = [to_pil_image(found.tiles[o, i], clamp=True) for o in range(rows) for i in range(columns)]
    return grid(
        tiles,
        columns,
        row_labels=[f"out {o}" for o in range(rows)],
        column_labels=[f"in {i}" if i == 0 else str(i) for i in range(columns)],
        title=title,
        tile=36,
    )


def _head(found: ActivationGrid, picture: Picture, network: Network, colormap: str | None) -> Image:
    """Photo and mean strength side by side, under the title."""
    from cnnviz.imaging.grid import panel
    from cnnviz.imaging.heatmap import overlay

    shape = "×".join(map(str, found.maps.shape))
    heat = overlay(picture.photo, found.mean_strength.numpy(), colormap=colormap)
    title = f"{network.name} {found.layer}: {shape}"
    return panel([picture.photo, heat], ["photo", "mean strength of all channels"], title=title, tile_height=320)


def _tile_sheet(
    found: ActivationGrid,
    which: list[int],
    picture: Picture,
    network: Network,
    shared_scale: bool,
    colormap: str | None,
) -> Image:
    from cnnviz.imaging.grid import grid, stack
    from cnnviz.imaging.pixels import to_pil_image

    maps = found.maps[which].float()
    largest = maps.abs().amax() if shared_scale else maps.abs().amax(dim=(1, 2), keepdim=True)
    levels: Any = maps / largest.clamp_min(1e-12)
    levels = levels / 2 + 0.5 if found.signed else levels
    tiles = [to_pil_image(level, clamp=True) for level in levels]
    captions = [f"{c}: {three_digits(float(found.strengths[c]))}" for c in which]
    sheet = grid(tiles, columns=min(8, len(tiles)), captions=captions, tile=128)
    return stack([_head(found, picture, network, colormap), sheet])


def _overlay_sheet(
    found: ActivationGrid, which: list[int], picture: Picture, network: Network, colormap: str | None
) -> Image:
    from cnnviz.imaging.grid import grid, stack
    from cnnviz.imaging.heatmap import overlay

    tiles = [overlay(picture.photo, found.maps[c].numpy(), colormap=colormap, signed=found.signed) for c in which]
    captions = [f"channel {c}: mean {three_digits(float(found.strengths[c]))}" for c in which]
    sheet = grid(tiles, columns=min(3, len(tiles)), captions=captions, tile=320)
    return stack([_head(found, picture, network, colormap), sheet])
