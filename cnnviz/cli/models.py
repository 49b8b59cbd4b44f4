"""``cnnviz models``: which networks there are, fetching their weights ahead, where those lie."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cnnviz.cli import console
from cnnviz.cli.command import command, with_exit_codes

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.", envvar="CNNVIZ_JSON")]
_Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
_Name = Annotated[str, typer.Argument(help="The model's torchvision name.", metavar="MODEL")]
_Weights = Annotated[
    str | None,
    typer.Option("--weights", "-w", help="Which of its weights (default: the first published)."),
]


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    group = typer.Typer(help="List networks, fetch their weights ahead, find them on disk.", no_args_is_help=False)

    @group.callback(invoke_without_command=True)
    def models(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            with_exit_codes(lambda: _list(only_here=False, as_json=False))

    @command(group, "list", examples="cnnviz models list --here")
    def list_models(
        here: Annotated[bool, typer.Option("--here", help="Only those that work without a download.")] = False,
        json: _Json = False,
        debug: _Debug = False,
    ) -> None:
        """List every network with its weights, their size and whether they are on this machine."""
        _list(only_here=here, as_json=json)

    @command(group, "fetch", examples="cnnviz models fetch vgg19")
    def fetch(
        model: _Name,
        weights: _Weights = None,
        force: Annotated[bool, typer.Option("--force", "-f", help="Replace the file in the cache.")] = False,
        offline: Annotated[
            bool, typer.Option("--offline", envvar="CNNVIZ_OFFLINE", help="Never touch the network.")
        ] = False,
        debug: _Debug = False,
    ) -> None:
        """Download a network's weights ahead, and print where they lie."""
        from cnnviz.errors import ModelError
        from cnnviz.network import catalogue, download

        published = _published(model, weights)
        if published is None:
            console.result(str(catalogue.EMBEDDED_FILE))
            return
        if offline:
            raise ModelError("Fetching needs the network, and it is switched off (--offline or CNNVIZ_OFFLINE).")
        console.result(str(download.fetch(published, force=force, progress=console.shows_progress())))

    @command(group, "path", examples="cnnviz models path squeezenet1_1")
    def path(model: _Name, weights: _Weights = None, debug: _Debug = False) -> None:
        """Print where a network's weights lie, or would lie once fetched."""
        from cnnviz.network import catalogue

        published = _published(model, weights)
        console.result(str(published.path if published else catalogue.EMBEDDED_FILE))

    app.add_typer(group, name="models")


def _published(model: str, weights: str | None) -> Any:
    """The published weights meant; None for the embedded ones."""
    from cnnviz.errors import ModelError
    from cnnviz.network import catalogue

    if model == catalogue.LENET:
        raise ModelError("lenet5 has no published weights.")
    entry = catalogue.entry(model)
    if weights is None:
        return None if catalogue.is_embedded(model) else entry.default
    return entry.published(weights)


def _list(*, only_here: bool, as_json: bool) -> None:
    rows = [row for row in _rows() if not only_here or row["state"] != "to download"]
    if as_json:
        for row in rows:
            console.result_json(row)
        return
    header = ("model", "weights", "parameters", "size", "state")
    cells = [
        (r["model"], r["weights"], f"{r['parameters'] / 1e6:.2f} M", f"{r['mebibytes']:.1f} MiB", r["state"])
        for r in rows
    ]
    console.table(header, cells, right=(2, 3))


def _rows() -> list[dict[str, Any]]:
    from cnnviz.network import catalogue, download

    embedded = {
        "model": catalogue.EMBEDDED,
        "weights": "embedded",
        "parameters": catalogue.entry(catalogue.EMBEDDED).default.parameters,
        "mebibytes": round(catalogue.EMBEDDED_FILE.stat().st_size / 2**20, 1),
        "state": "embedded",
    }
    others = [
        {
            "model": entry.name,
            "weights": weights.name,
            "parameters": weights.parameters,
            "mebibytes": weights.mebibytes,
            "state": "on disk" if download.is_cached(weights) else "to download",
        }
        for entry in catalogue.entries().values()
        for weights in entry.weights
    ]
    return [embedded, *others]
