"""Options of the commands that report on networks, weights and files."""

from __future__ import annotations

from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.", envvar="CNNVIZ_JSON")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
ModelArgument = Annotated[str, typer.Argument(help="The network's torchvision name.", metavar="MODEL")]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights", "-w", help="The name of the weights.", metavar="NAME", show_default="the first published"
    ),
]
