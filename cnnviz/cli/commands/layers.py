"""``cnnviz layers``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz.cli import console
from cnnviz.cli.context import CommandContext
from cnnviz.cli.jobs import note_idle_trust
from cnnviz.cli.options import LARGEST_SIDE, NetworkOptions, RunOptions
from cnnviz.errors import Remark

if TYPE_CHECKING:
    from cnnviz.network.layers import Layer


def layers(
    context: CommandContext,
    network: NetworkOptions,
    run: RunOptions,
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            "-s",
            min=1,
            max=LARGEST_SIDE,
            help="Side of the image, in pixels.",
            show_default="what the network was trained on",
        ),
    ] = None,
    find: Annotated[str | None, typer.Option("--find", help="Only layers with this in a name.", metavar="TEXT")] = None,
) -> None:
    """List a network's layers: names, papers' aliases, shapes, parameters, multiply-adds, receptive fields.

    Examples:
        cnnviz layers -m vgg16
        cnnviz layers --find fire --json
    """
    context.unused("mean", "std", "precision", why="on a list of layers")
    note_idle_trust(context, [network])
    name, remark = network.choose("features")
    if remark and network.weights:
        context.reporter.warn(remark)
    net = network.load_structure(name, run.seed)
    if net.missing_layers:
        context.reporter.warn(net.missing_layers)
    table = net.layer_table((size, size) if size else None)
    shown = [layer for layer in table if find is None or any(find in n for n in (layer.name, *layer.aliases))]
    if not shown:
        context.reporter.warn(Remark(f"No layer of {name} has '{find}' in a name.", remedy="list_layers"))
    if run.json:
        for layer in shown:
            console.result_json(_record(layer))
        return
    header = ("layer", "also called", "kind", "output", "parameters", "multiply-adds", "sees", "stride")
    console.table(header, [_row(layer) for layer in shown], right=(4, 5))
    parameters = sum(p.numel() for p in net.module.parameters())
    macs = sum(layer.macs or 0 for layer in table)
    more = " and those of the layers where it is unknown" if any(layer.macs is None for layer in table) else ""
    context.reporter.detail(f"{name}: {parameters:,} parameters, {macs / 1e9:.3f} G multiply-adds{more}")


def _row(layer: Layer) -> tuple[str, ...]:
    field = layer.receptive_field
    return (
        layer.name,
        " ".join(layer.aliases),
        layer.kind,
        "×".join(map(str, layer.shape)),
        f"{layer.parameters:,}" if layer.parameters else "",
        "unknown" if layer.macs is None else f"{layer.macs:,}" if layer.macs else "",
        f"{field.size[0]}×{field.size[1]}" if field else layer.sees,
        str(field.stride[0]) if field else "",
    )


def _record(layer: Layer) -> dict[str, Any]:
    field = layer.receptive_field
    return {
        "layer": layer.name,
        "aliases": layer.aliases,
        "kind": layer.kind,
        "shape": layer.shape,
        "parameters": layer.parameters,
        "multiply_adds": layer.macs,
        "receptive_field": field.size if field else None,
        "stride": field.stride if field else None,
        "sees": layer.sees,
        "layout": layer.layout,
    }
