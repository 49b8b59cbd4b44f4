"""``cnnviz models fetch``."""

from __future__ import annotations

from typing import Annotated

import typer

from cnnviz.cli import console
from cnnviz.cli.context import CommandContext
from cnnviz.cli.options.tools import DebugOption, ModelArgument, WeightsOption
from cnnviz.errors import ModelError
from cnnviz.network import catalogue, download
from cnnviz.network.weights_list import published_weights


def models_fetch(
    context: CommandContext,
    model: ModelArgument,
    weights: WeightsOption = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Replace the file in the cache.")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", envvar="CNNVIZ_OFFLINE", help="Use no internet access.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Download a network's weights ahead, and print the path of the file.

    Examples:
        cnnviz models fetch vgg19
    """
    published = published_weights(model, weights)
    if published is None:
        console.result(str(catalogue.EMBEDDED_FILE))
        return
    if offline:
        raise ModelError("Fetching needs internet access, which is switched off (--offline or CNNVIZ_OFFLINE).")
    console.result(str(download.fetch(published, force=force, progress=context.reporter.shows_progress)))
