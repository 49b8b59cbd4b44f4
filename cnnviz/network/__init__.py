"""The network under study: what networks there are, their weights, their layers, and running them on pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz._lazy import lazy_names

_HOME_OF = {
    "InputSpec": "cnnviz.network.spec",
    "Layer": "cnnviz.network.layers",
    "LayerTable": "cnnviz.network.layers",
    "Network": "cnnviz.network.network",
    "WeightsInfo": "cnnviz.network.spec",
    "load_network": "cnnviz.network.loading",
}

__all__ = list(_HOME_OF)

if TYPE_CHECKING:
    from cnnviz.network.layers import Layer as Layer
    from cnnviz.network.layers import LayerTable as LayerTable
    from cnnviz.network.loading import load_network as load_network
    from cnnviz.network.network import Network as Network
    from cnnviz.network.spec import InputSpec as InputSpec
    from cnnviz.network.spec import WeightsInfo as WeightsInfo

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
