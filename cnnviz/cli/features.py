"""The option for channels of the commands that are functions."""

from __future__ import annotations

from typing import Annotated

import typer

ChannelsOption = Annotated[
    str | None,
    typer.Option("--channels", "--channel", "-c", help="Channels, as 17 or 3,17,40-44.", metavar="C[,C…]"),
]
