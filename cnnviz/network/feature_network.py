"""A network's layers: its graph, their names, and their outputs for images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, fx, nn

from cnnviz.errors import ModelError, UsageError
from cnnviz.imaging.checks import warn_if_out_of_range
from cnnviz.network import checks
from cnnviz.network.exported import in_parts
from cnnviz.network.graph import layer_nodes
from cnnviz.network.graph_rewrites import FeatureCallback
from cnnviz.network.hooked import missing_layers
from cnnviz.network.layers import Layer, LayerTable
from cnnviz.network.measuring import measured
from cnnviz.network.module_copy import path_of, unwrap
from cnnviz.network.pixel_network import PixelNetwork
from cnnviz.network.shapes import shapes_by_forward
from cnnviz.network.transformers import is_transformer
from cnnviz.runtime.precision import at_least_float32

LayerLike = str | nn.Module
"""A layer by any of its names, or as a submodule of the user's own module."""

AnyLayer = TypeVar("AnyLayer", bound=LayerLike)


class FeatureNetwork(PixelNetwork):
    """A network up to its layers: the part of ``Network`` that names them and returns their outputs."""

    @property
    def graph(self) -> fx.GraphModule:
        """The body as a torch.fx graph: normalized input -> the chosen output. It shares the parameters.

        Raises ModelError where it cannot be traced, or computes something else than your module does.
        """
        self._refresh()
        return self._graphs.current.whole

    @property
    def forward_pass(self) -> Callable[[Tensor], Any]:
        """Normalized input -> the chosen output: the graph of operations, or where there is none the module itself."""
        self._refresh()
        try:
            if self._graphs.traced_by != "hooks" and self.images_at_once is None:
                return self._graphs.current.whole
        except ModelError:
            pass
        body, choose = self._running.body, self._choose
        return lambda x: choose(body(x))

    @property
    def traced_by(self) -> str:
        """How the graph was made: ``fx`` (torch.fx), ``export`` (torch.export) or ``hooks``.

        The first is taken that computes what your module does. By hooks the layers are the calls of submodules, and
        functional operations are missing. Raises ModelError where there is none.
        """
        self._refresh()
        return self._graphs.traced_by

    @property
    def missing_layers(self) -> str:
        """A sentence that names the operations that are no layers, of a module traced by hooks; empty for any other."""
        return missing_layers(self.graph)

    @property
    def layers(self) -> LayerTable:
        """The layers in order of computation, found by path, block or alias.

        Raises ModelError as ``graph`` does.
        """
        self._refresh()
        return self._graphs.current.layers

    def layer_table(self, size: tuple[int, int] | None = None) -> list[Layer]:
        """Shape, parameters, multiply-adds and receptive field of every layer for images of ``size`` (H, W)."""
        size = size or (self.spec.size, self.spec.size)
        return self.layers.table(self.spec.channels, size, self.images_at_once or 1)

    @property
    def output_node(self) -> fx.Node:
        """The graph's node that gives the logits; ModelError where there are several outputs and none was chosen."""
        self._refresh()
        return self._graphs.current.output_node

    def truncated(
        self, layers: Mapping[str, str | None], *, fused: bool = False, leaves: bool = False
    ) -> fx.GraphModule:
        """The graph cut down to what ``layers`` need: normalized input -> ``{key: output of the layer}``.

        None stands for the module's output, which ``check_logits`` is then to check. Graphs are kept for the next call.
        A ``fused`` graph returns the same values faster, but does not hold the outputs of layers in between. With
        ``leaves`` the outputs of layers have gradients also of an input without: what comes before keeps nothing.
        """
        self._refresh()
        return self._graphs.current.truncated(layers, fused=fused, leaves=leaves)

    def layer_name(self, layer: LayerLike) -> str:
        """The name of a layer that is given by name, or as one of the submodules of your own module.

        Raises UsageError for a module that is no part of it, or is not called in the forward pass.
        """
        if isinstance(layer, str):
            return layer
        if not isinstance(layer, nn.Module):
            raise UsageError(f"A layer is given by name or as a submodule, not as {layer!r}.")
        path = path_of(unwrap(self.module), layer)
        if path is None:
            raise UsageError(f"The {type(layer).__name__} given as a layer is no part of {self.name}.")
        if not path:
            raise UsageError(f"The whole module is no layer of {self.name}; its output is that of the network.")
        if path not in self.layers:
            raise UsageError(f"'{path}' ({type(layer).__name__}) of {self.name} is not called in the forward pass.")
        return path

    def layer_names(self, layers: Iterable[LayerLike]) -> list[str]:
        """The names of several layers, as ``layer_name`` finds each."""
        return [self.layer_name(layer) for layer in layers]

    def features(self, pixels: Tensor, layers: Sequence[AnyLayer], *, raw: bool = False) -> dict[AnyLayer, Tensor]:
        """The outputs of ``layers`` by the names given, (N, C, H, W) for maps; differentiable.

        Maps that the network keeps channels last are (N, C, H, W) here too. Nothing deeper than the deepest of
        ``layers`` is computed.

        Args:
            pixels: (N, 3, H, W), RGB in [0, 1].
            layers: paths, blocks or aliases, as ``network.layers`` finds them, or submodules of your own module, under
                which their outputs are returned then.
            raw: return outputs in the type they were computed in, and unchecked.

        Raises:
            UsageError: an unknown layer; the message lists the nearest names.
            ModelError: the layers cannot be read, or their outputs are not finite.

        Example:
            >>> import torch, cnnviz
            >>> network = cnnviz.load_network("squeezenet1_1")
            >>> network.features(torch.rand(1, 3, 224, 224), ["fire5"])["fire5"].shape
            torch.Size([1, 256, 27, 27])
        """
        if not layers:
            raise UsageError("Name at least one layer.", remedy="list_layers")
        if self.images_at_once not in (None, len(pixels)):
            run = partial(self.features, layers=layers, raw=raw)
            return in_parts(run, pixels, self.images_at_once or 1)  # type: ignore[no-any-return]
        x = self.normalize(pixels)
        names = {layer: self.layer_name(layer) for layer in layers}
        graph_module = self.truncated({name: name for name in names.values()}, fused=True)
        with self.autocast():
            outputs = graph_module(x)
        found = {layer: outputs[name] for layer, name in names.items()}
        if raw:
            return found
        if not pixels.requires_grad:  # an optimization checks its loss instead
            warn_if_out_of_range(pixels)
            for name, value in outputs.items():
                checks.require_finite(value, f"output of layer '{name}'", self, pixels)
        return {layer: at_least_float32(value) for layer, value in found.items()}

    def stream_features(self, pixels: Tensor, layers: Sequence[str], callback: FeatureCallback) -> None:
        """Call ``callback(name, output)`` for each of ``layers`` as soon as it is computed, in the type it has then.

        Like ``features``, without holding all outputs at once: what the callback does not keep is freed, and in the
        backward pass the gradient of what was made of a layer comes just before that of the layer.
        """
        x = self.normalize(pixels)
        graph_module = self._graphs.current.streaming(layers)
        with self.autocast():
            graph_module(x, callback)

    def activation_count(self, size: tuple[int, int]) -> int:
        """The number of values in all feature maps together, for one image of ``size`` (height, width).

        Up to the network's own size they are counted in one real pass, which takes less time.
        """
        if self.black_box is not None:
            return self.spec.channels * math.prod(size)
        if math.prod(size) > self.spec.size**2 and isinstance(self.forward_pass, fx.GraphModule):
            return sum(math.prod(layer.shape) for layer in self.layer_table(size))
        x, run = self.normalize(self.blank_pixels(size)), self.forward_pass
        if not isinstance(run, fx.GraphModule):
            return measured(run, x).values
        shapes = shapes_by_forward(self.graph, x)
        outputs = (shapes[node] for node in layer_nodes(self.graph).values())
        return sum(shape[1:].numel() for shape in outputs if isinstance(shape, torch.Size))

    def require_convolutions(self) -> None:
        """Raise UsageError where the network is a transformer, for what is defined for convolutions and ReLUs alone."""
        if is_transformer(self.graph):
            raise UsageError(
                f"{self.name} is a transformer, and this is defined for convolutions and ReLUs.", remedy="transformer"
            )
