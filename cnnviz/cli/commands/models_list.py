"""``cnnviz models list``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cnnviz.cli import console
from cnnviz.cli.context import CommandContext
from cnnviz.cli.options.tools import DebugOption, JsonOption
from cnnviz.errors import listed
from cnnviz.network.sources.table import other_forms
from cnnviz.network.weights_list import AvailableWeights, available_weights


def models_list(
    context: CommandContext,
    here: Annotated[bool, typer.Option("--here", help="Only those that work without a download.")] = False,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List every network with its weights, their size and whether they are on this machine.

    Besides these, -m takes timm/NAME, hf-hub:ORG/NAME, local-dir:FOLDER, FILE.py:NAME and exported files.

    Examples:
        cnnviz models list --here
    """
    found = [weights for weights in available_weights() if not (here and weights.needs_download)]
    if json:
        for weights in found:
            console.result_json(asdict(weights))
    else:
        console.table(("model", "weights", "parameters", "size", "state"), [*map(_row, found)], right=(2, 3))
        context.reporter.warn(f"--model also takes {listed(other_forms())}.")


def _row(weights: AvailableWeights) -> tuple[str, ...]:
    millions = f"{weights.parameters / 1e6:.2f} M" if weights.parameters else ""
    size = f"{weights.mebibytes:.1f} MiB" if weights.mebibytes else ""
    return weights.model, weights.weights, millions, size, weights.state
