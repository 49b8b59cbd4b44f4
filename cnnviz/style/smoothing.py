"""Smoothed activations for style transfer with residual networks, whose features peak at few positions.

Wang, Li & Vasconcelos, "Rethinking and Improving the Robustness of Image Style Transfer" (SWAG), CVPR 2021,
arXiv:2104.05623.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from torch import Tensor

from cnnviz.network.feature_network import AnyLayer
from cnnviz.network.graph_rewrites import FeatureCallback
from cnnviz.network.network import Network
from cnnviz.network.network_transforms import LowPrecisionNetwork
from cnnviz.runtime.precision import at_least_float32

_SCALE = 1e-3
"""Factor of the features of layer3 and layer4 in the paper's released code."""

_SCALED_LAYERS = ("layer3", "layer4")


class SoftmaxNetwork(Network):
    """A network whose features are the softmax over all of a layer's activations, channels and positions.

    ``σ(F)_ik = exp F_ik / mean exp F``. Unlike the paper, which divides by the sum, so that images of two sizes can be
    compared; the losses are relative, so that a common factor makes no difference.
    """

    def features(self, pixels: Tensor, layers: Sequence[AnyLayer], *, raw: bool = False) -> dict[AnyLayer, Tensor]:
        """The smoothed features by layer, (N, C, H, W); as float32 or longer, ``raw`` or not."""
        return {layer: softmax(found) for layer, found in super().features(pixels, layers).items()}

    def stream_features(self, pixels: Tensor, layers: Sequence[str], callback: FeatureCallback) -> None:
        """Call ``callback(name, features)`` for each of ``layers``: its smoothed features (N, C, H, W), once computed.

        As float32 or longer.
        """
        super().stream_features(pixels, layers, lambda layer, maps: callback(layer, softmax(at_least_float32(maps))))


class _SoftmaxLowWeights(SoftmaxNetwork, LowPrecisionNetwork):
    """A ``SoftmaxNetwork`` that keeps its weights in the type it computes in; pixels stay in float32."""


def with_softmax(network: Network) -> SoftmaxNetwork:
    """The network with smoothed features, sharing every parameter."""
    kind = _SoftmaxLowWeights if isinstance(network, LowPrecisionNetwork) else SoftmaxNetwork
    return kind(**{part.name: getattr(network, part.name) for part in fields(network) if part.init})


def softmax(features: Tensor) -> Tensor:
    """The softmax of features (N, C, H, W) over C, H and W, times their number; (N, C, H, W), of mean 1."""
    count = features[0].numel()
    return features.flatten(1).softmax(1).view(features.shape) * count


def resnet_layer_scale(layer: str) -> float:
    """The factor of a layer's features in the paper's released code, which it uses instead of the softmax."""
    return _SCALE if layer.partition(".")[0] in _SCALED_LAYERS else 1.0
