"""Commands that show what a layer holds: ``filters`` and ``activations``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cnnviz.cli.command import command
from cnnviz.cli.idle import idle
from cnnviz.cli.jobs import image_job, network_job
from cnnviz.cli.maps import ColormapOption
from cnnviz.cli.options import BatchOptions, InputOptions, NetworkOptions, OutputOptions, RunOptions
from cnnviz.pipeline.result import LoadedImage, Result
from cnnviz.tasks.layers import channel_numbers

if TYPE_CHECKING:
    from cnnviz.features.activations import ActivationGrid
    from cnnviz.network.network import Network

ChannelsOption = Annotated[
    str | None,
    typer.Option("--channels", "--channel", "-c", help="Channels, as 17 or 3,17,40-44.", metavar="C[,C…]"),
]
SharedScaleOption = Annotated[
    bool, typer.Option("--shared-scale", help="One scale for all tiles, so that weak ones look weak.")
]


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
        from cnnviz.figures.filters import filter_sheet

        def make(net: Network) -> Result:
            found = filter_grid(net, layer, shared_scale=shared_scale)
            idle("limit", when=found.color or found.shape[1] == 1, why=f"on {found.layer}, which is shown whole")
            image = filter_sheet(found, f"{net.name} {net.layers.common_name(found.layer)}", limit)
            facts = {"layer": found.layer, "shape": found.shape}
            return Result(metadata=facts, image=image, target=found.layer)

        idle("mean", "std", "precision", why="on kernels, which are shown as they are")
        network_job("features", network, run, output).of_network(make)

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
        from cnnviz.figures.activations import activation_overlays, activation_tiles
        from cnnviz.network.default_layers import middle_layer

        chosen = channel_numbers([channels]) if channels else None
        idle("top", "shared_scale", when=chosen is not None, why="with --channels")

        def explain(net: Network, picture: LoadedImage) -> Result:
            shown = layer or middle_layer(net)
            found = activation_grid(net, picture.pixels, shown)
            which = _known_channels(chosen, found) if chosen else found.order[:top].tolist()
            title = f"{net.name} {found.layer}"
            if chosen:
                image = activation_overlays(found, which, picture.photo, title, colormap=colormap)
            else:
                image = activation_tiles(
                    found, which, picture.photo, title, shared_scale=shared_scale, colormap=colormap
                )
            strengths = [{"channel": c, "mean": round(float(found.strengths[c]), 6)} for c in which]
            facts = {"layer": shown, "shape": tuple(found.maps.shape), "channels": strengths}
            return Result(metadata=facts, image=image, target=shown)

        image_job("features", network, input, run, output)(explain)


def _known_channels(chosen: list[int], found: ActivationGrid) -> list[int]:
    from cnnviz.features.top_activations import check_channels

    check_channels(chosen, len(found.maps), found.layer)
    return chosen
