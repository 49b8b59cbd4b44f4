"""``cnnviz models path``."""

from __future__ import annotations

from cnnviz.cli import console
from cnnviz.cli.options.tools import DebugOption, ModelArgument, WeightsOption
from cnnviz.network import catalogue
from cnnviz.network.weights_list import published_weights


def models_path(model: ModelArgument, weights: WeightsOption = None, debug: DebugOption = False) -> None:
    """Print the path of a network's weights, downloaded or not.

    Examples:
        cnnviz models path squeezenet1_1
    """
    published = published_weights(model, weights)
    console.result(str(published.path if published else catalogue.EMBEDDED_FILE))
