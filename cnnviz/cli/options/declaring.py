"""How shared options are declared: their help panels, environment defaults, and lists of numbers."""

from __future__ import annotations

from typing import Any

import typer

from cnnviz.cli.options.numeric import real
from cnnviz.errors import UsageError, shortened

NETWORK, INPUT, OUTPUT, RUN, BATCH = "Network", "Input", "Output", "Run", "Many pictures"
"""The panels of the help."""


def option(*names: str, help: str, panel: str, env: str | None = None, **more: Any) -> Any:
    """An option in a panel of the help, with ``CNNVIZ_`` and ``env`` as the variable that sets it for good."""
    return typer.Option(*names, help=help, rich_help_panel=panel, envvar=f"CNNVIZ_{env}" if env else None, **more)


def numbers(text: str | None, option: str) -> list[float] | None:
    """Numbers separated by commas; a UsageError that names ``option`` for anything else."""
    if text is None:
        return None
    found = [real(part) for part in text.split(",")]
    if None in found:
        raise UsageError(
            f"{option} takes numbers separated by commas, as in 0.485,0.456,0.406, not '{shortened(text)}'."
        )
    return [value for value in found if value is not None]
