"""Commands that look at things rather than make them: ``layers``, ``info``, ``doctor``."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnviz import __version__
from cnnviz.cli import console
from cnnviz.cli.command import command
from cnnviz.cli.commandline import again
from cnnviz.cli.idle import idle
from cnnviz.cli.options import LARGEST_SIDE, NetworkOptions, RunOptions

if TYPE_CHECKING:
    from cnnviz.network.layers import Layer


def register(app: typer.Typer) -> None:
    """Add this family's commands to the application."""

    @command(app, "layers", examples="cnnviz layers -m vgg16\ncnnviz layers --find fire --json")
    def layers(
        network: NetworkOptions,
        run: RunOptions,
        size: Annotated[
            int | None, typer.Option("--size", "-s", min=1, max=LARGEST_SIDE, help="Side of the picture, in pixels.")
        ] = None,
        find: Annotated[str | None, typer.Option("--find", help="Only layers with this in a name.")] = None,
    ) -> None:
        """List a network's layers: names, papers' aliases, shapes, parameters, multiply-adds, receptive fields."""
        console.configure(quiet=run.quiet, verbose=run.verbose)
        idle("mean", "std", "precision", why="on a list of layers")
        name, _ = network.choose("features")
        net = _blueprint_or_network(network, name, run.seed)
        rows = net.layer_table((size, size) if size else None)
        shown = [row for row in rows if find is None or any(find in n for n in (row.name, *row.aliases))]
        if run.json:
            for row in shown:
                console.result_json(_layer_json(row))
            return
        header = ("layer", "also called", "kind", "output", "parameters", "multiply-adds", "sees", "stride")
        console.table(header, [_layer_row(row) for row in shown], right=(4, 5))
        total = sum(p.numel() for p in net.module.parameters())
        macs = sum(row.macs or 0 for row in rows)
        more = " and those of the layers where it is unknown" if any(row.macs is None for row in rows) else ""
        console.detail(f"{name}: {total:,} parameters, {macs / 1e9:.3f} G multiply-adds{more}")

    @command(app, "info", examples="cnnviz info chelsea.saliency.png\ncnnviz info --command chelsea.saliency.png")
    def info(
        picture: Annotated[Path, typer.Argument(help="A picture or film that cnnviz wrote.", metavar="IMG")],
        as_command: Annotated[
            bool, typer.Option("--command", help="Print only the command line that would make it again.")
        ] = False,
        debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    ) -> None:
        """Tell how a picture was made, from the recipe it carries."""
        from cnnviz.imaging.recipe import read_recipe, require_command

        recipe = read_recipe(picture)
        if as_command or "command" in recipe:
            require_command(recipe, picture)
            line = again(recipe, picture)
            recipe["command_line"] = line
        console.result(line if as_command else json.dumps(recipe, indent=2))

    @command(app, "doctor", examples="cnnviz doctor")
    def doctor(run: RunOptions) -> None:
        """Check this installation: versions, devices, caches, the embedded network."""
        facts = dict(_health())
        if run.json:
            console.result_json(facts)
        else:
            console.table(("what", "found"), [(key, str(value)) for key, value in facts.items()])


def _blueprint_or_network(options: NetworkOptions, name: str, seed: int) -> Any:
    """The network's plan: from a file of the user's where given (it settles the class count), else without weights.

    Nothing is downloaded or computed: shapes need no values.
    """
    from cnnviz.network.loading import load_meta_network, looks_like_file

    named = options.weights if options.weights and options.weights.lower() not in ("random", "embedded") else None
    if named and looks_like_file(named):
        return options.load(name, seed, workload="exact", progress=False)
    return load_meta_network(name, named)


def _layer_row(row: Layer) -> tuple[str, ...]:
    field = row.receptive_field
    return (
        row.name,
        " ".join(row.aliases),
        row.kind,
        "×".join(map(str, row.shape)),
        f"{row.parameters:,}" if row.parameters else "",
        "unknown" if row.macs is None else f"{row.macs:,}" if row.macs else "",
        f"{field.size[0]}×{field.size[1]}" if field else row.sees,
        str(field.stride[0]) if field else "",
    )


def _layer_json(row: Layer) -> dict[str, Any]:
    field = row.receptive_field
    return {
        "layer": row.name,
        "aliases": row.aliases,
        "kind": row.kind,
        "shape": row.shape,
        "parameters": row.parameters,
        "multiply_adds": row.macs,
        "receptive_field": field.size if field else None,
        "stride": field.stride if field else None,
        "sees": row.sees,
        "layout": row.layout,
    }


def _health() -> Iterator[tuple[str, Any]]:
    """What was found of everything cnnviz stands on; a missing piece is named with its remedy."""
    import torch

    from cnnviz.network import catalogue, download
    from cnnviz.network.hashing import sha256
    from cnnviz.network.loading import load_network
    from cnnviz.runtime.memory import available_memory

    yield "cnnviz", __version__
    yield "python", f"{platform.python_version()} on {platform.platform()}"
    for package in (
        "torch",
        "torchvision",
        "captum",
        "opencv-python",
        "scikit-learn",
        "matplotlib",
        "pillow",
    ):
        yield package, _installed(package)
    yield "cuda", ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())) or "none"
    yield "processors", os.cpu_count()
    free = available_memory(torch.device("cpu"))
    yield "free memory", f"{free / 2**30:.1f} GiB" if free else "unknown"
    yield "weights cache", str(catalogue.checkpoint_folder())
    on_disk = [w.file for e in catalogue.entries().values() for w in e.weights if download.is_cached(w)]
    yield "weights on disk", ", ".join(on_disk) or "none"
    yield "offline", download.offline()
    network = load_network(catalogue.EMBEDDED, device="cpu")
    yield "embedded network", f"{network.name}, {sha256(catalogue.EMBEDDED_FILE)[:12]}, loads"
    yield "opencv loads", _imports("cv2")


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return f"missing (pip install {package})"


def _imports(module: str) -> str:
    try:
        __import__(module)
    except ImportError as error:
        return f"no: {error} (only GrabCut needs it; on servers: pip install opencv-python-headless)"
    return "yes"
