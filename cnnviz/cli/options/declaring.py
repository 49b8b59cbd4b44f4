"""How shared options are declared: their help panels, and environment defaults."""

from __future__ import annotations

from typing import Any

import typer

NETWORK, INPUT, OUTPUT, RUN, BATCH = "Network", "Input", "Output", "Run", "Many images"
ADVANCED = "Advanced"
"""The panels of the help."""


def option(*names: str, help: str, panel: str, env: str | None = None, **more: Any) -> Any:
    """An option in a panel of the help, with ``CNNVIZ_`` and ``env`` as the variable that sets it for good."""
    return typer.Option(*names, help=help, rich_help_panel=panel, envvar=f"CNNVIZ_{env}" if env else None, **more)
