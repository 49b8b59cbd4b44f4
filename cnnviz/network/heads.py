"""Rebuilds a classifier that somebody put in place of the architecture's own, from the shapes of its tensors.

A weights file holds no modules and no activations. Layers follow from the shapes; between them, a position in an
``nn.Sequential`` that has no tensors stands for an activation (or dropout, which does nothing at evaluation), which is
taken for a ReLU unless another is named. Where the new classifier begins like the architecture's own, its activations
are those of the own one.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnnviz.errors import ModelError, UsageError, listed, shortened
from cnnviz.network.head_layers import HeadLayer, described, has_gap, layers_of

DEFAULT_ACTIVATION = "relu"

ACTIVATIONS: Mapping[str, Callable[[], nn.Module] | None] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "relu6": nn.ReLU6,
    "hardswish": nn.Hardswish,
    "mish": nn.Mish,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "none": None,
}
"""What may stand between the layers of a classifier, by its name in torch.nn.functional."""


def require_head_activation(name: str) -> str:
    """``name``; UsageError that lists the known ones if there is no such activation."""
    if name not in ACTIVATIONS:
        raise UsageError(f"There is no activation '{shortened(name)}' for heads: {', '.join(ACTIVATIONS)}.")
    return name


@dataclass(frozen=True)
class Head:
    """A classifier rebuilt from its tensors.

    Args:
        path: of the submodule that it replaces, as ``fc`` or ``classifier.6``.
        module: the classifier, without values.
        renamed: the file's names of its tensors -> those in the architecture.
        text: its layers in words: ``Linear 512→256, ReLU, Linear 256→7``.
        classes: the number of its outputs.
        assumed: whether an activation was assumed between its layers.
        pool: what pools the maps that it takes, where that is not the architecture's own.
    """

    path: str
    module: nn.Module
    renamed: Mapping[str, str]
    text: str
    classes: int
    assumed: bool
    pool: nn.Module | None = None

    def put_into(self, network: nn.Module) -> None:
        """Replace the classifier of ``network``, an architecture without values."""
        parent, _, name = self.path.rpartition(".")
        setattr(network.get_submodule(parent), name, self.module)
        if self.pool is not None:
            network.avgpool = self.pool


class ConcatPool(nn.Module):
    """The maximum and then the mean of each channel, (N, 2C, 1, 1), as fastai's classifiers take them."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([nn.functional.adaptive_max_pool2d(x, 1), nn.functional.adaptive_avg_pool2d(x, 1)], 1)


def rebuild(
    state: Mapping[str, Tensor], network: nn.Module, classifier: str, name: str, activation: str | None = None
) -> Head:
    """The classifier whose tensors are in ``state``, in place of that of ``network`` (an architecture on meta).

    ``state`` has the tensors below the classifier's first name (``fc``, ``classifier``, ``heads``), ``classifier`` is
    the name of the architecture's own last weight. Raises ModelError that names what cannot be rebuilt.
    """
    root, leaf = classifier.partition(".")[0], classifier.rpartition(".")[0]
    own = {key: value for key, value in network.state_dict().items() if key.startswith(f"{root}.")}
    beside = {key for key in own if not key.startswith(f"{leaf}.")}
    is_kept = all(key in state and state[key].shape == own[key].shape for key in beside)
    is_leaf = is_kept and all(key in beside or key.startswith(f"{leaf}.") for key in state)
    path = leaf if is_leaf else root
    original = network.get_submodule(path)
    found = {key: value for key, value in state.items() if key.startswith(f"{path}.")}
    builder = _Builder(path, original, _takes_maps(network, path, root), name, activation or DEFAULT_ACTIVATION)
    builder.follows_mean = path == root and _is_mean(getattr(network, "avgpool", None))
    width = _first_width(own if path == root else {key: own[key] for key in own if key.startswith(f"{leaf}.")})
    side = _pool_side(network, root) if path == root else None
    return builder.head(layers_of(found, path), width, side)


def _is_mean(pool: object) -> bool:
    """Whether a module takes the mean over all positions."""
    return isinstance(pool, nn.AdaptiveAvgPool2d) and pool.output_size in (1, (1, 1))


def _first_width(own: Mapping[str, Tensor]) -> int:
    """The number of values that a classifier takes, by its first weight."""
    shape = next(iter(own.values())).shape
    return int(shape[1] if len(shape) > 1 else shape[0])


def _takes_maps(network: nn.Module, path: str, root: str) -> bool:
    """Whether the classifier pools what it takes, as SqueezeNet's and MaxViT's do."""
    if path != root:
        return False
    first = next((part for part in network.get_submodule(root).children() if not isinstance(part, nn.Dropout)), None)
    return isinstance(first, nn.Conv2d | nn.AdaptiveAvgPool2d)


def _pool_side(network: nn.Module, root: str) -> int | None:
    """The side of the maps that are flattened before the classifier, where it is settled by an ``avgpool``."""
    pool = getattr(network, "avgpool", None)
    if not isinstance(pool, nn.AdaptiveAvgPool2d) or not isinstance(network.get_submodule(root), nn.Sequential):
        return None
    size = pool.output_size
    return size if isinstance(size, int) else (size or (None,))[0]


@dataclass
class _Builder:
    """Builds the layers of one classifier, in place of ``original`` at ``path``."""

    path: str
    original: nn.Module
    takes_maps: bool
    name: str
    activation: str
    assumed: bool = False
    follows_mean: bool = False

    def head(self, layers: Sequence[HeadLayer], width: int, side: int | None) -> Head:
        self._check_chain(layers)
        first, last = layers[0], layers[-1]
        taken = first.inputs
        pool = self._fitting_pool(first, taken, width, side)
        module, renamed = self._module(layers)
        parts = [*([pool] if isinstance(pool, ConcatPool) else []), *_parts(module)]
        text = ", ".join(described(part) for part in parts if not isinstance(part, nn.Dropout | nn.Flatten))
        return Head(self.path, module, renamed, text, last.outputs, self.assumed, pool)

    def _module(self, layers: Sequence[HeadLayer]) -> tuple[nn.Module, dict[str, str]]:
        if [layer.place for layer in layers] == [""] and isinstance(self.original, nn.Linear):
            return layers[0].module(of_maps=False), {}
        children: OrderedDict[str, nn.Module] = OrderedDict()
        is_conv = any(layer.is_conv for layer in layers)
        renamed: dict[str, str] = {}
        reused = self._reused(layers)
        if not is_conv and not reused:
            if self.takes_maps:
                children["pool"] = nn.AdaptiveAvgPool2d(1)
            if self.takes_maps or any(isinstance(part, nn.Flatten) for part in self.original.children()):
                children["flatten"] = nn.Flatten(1)
        for layer, before in self._with_gaps(layers, reused):
            for key, part in before:
                children[key] = part
            key = layer.place.replace(".", "_") or "linear"
            known = layer.place in reused
            children[key] = self.original.get_submodule(layer.place) if known else layer.module(of_maps=is_conv)
            renamed |= {self._full(layer, last): f"{self.path}.{key}.{last}" for last in layer.tensors}
        if is_conv and self.takes_maps:
            children |= self._ending(layers[-1])
        return nn.Sequential(children), renamed

    def _full(self, layer: HeadLayer, last: str) -> str:
        return ".".join(part for part in (self.path, layer.place, last) if part)

    def _reused(self, layers: Sequence[HeadLayer]) -> set[str]:
        """The places of the first layers that are those of the architecture's own classifier."""
        reused: set[str] = set()
        state = self.original.state_dict()
        own = {key: value.shape for key, value in state.items() if not key.endswith("num_batches_tracked")}
        places = list(dict.fromkeys(key.rpartition(".")[0] for key in own))
        if not isinstance(self.original, nn.Sequential):
            return reused
        for layer, place in zip(layers, places, strict=False):
            shapes = {f"{layer.place}.{last}": tensor.shape for last, tensor in layer.tensors.items()}
            expected = {key: shape for key, shape in own.items() if key.rpartition(".")[0] == place}
            if {key: shape for key, shape in shapes.items() if not key.endswith("num_batches_tracked")} != expected:
                break
            reused.add(place)
        return reused

    def _with_gaps(
        self, layers: Sequence[HeadLayer], reused: set[str]
    ) -> Iterator[tuple[HeadLayer, list[tuple[str, nn.Module]]]]:
        """Each layer, with the modules before it that have no tensors."""
        previous: HeadLayer | None = None
        is_activated = True  # before the first linear layer there is none
        for layer in layers:
            before = self._own_between(previous, layer, reused)
            if before:
                is_activated = True
            elif previous is not None and not is_activated and has_gap(previous, layer):
                self.assumed = True
                make = ACTIVATIONS[self.activation]
                if make is not None:
                    before = [(_gap_name(previous), make())]
                is_activated = True
            yield layer, before
            if layer.is_linear or layer.is_conv:
                is_activated = False
            elif layer.is_prelu:
                is_activated = True
            previous = layer

    def _own_between(
        self, previous: HeadLayer | None, layer: HeadLayer, reused: set[str]
    ) -> list[tuple[str, nn.Module]]:
        """The architecture's own modules between two layers, if all so far are its own."""
        if (previous.place if previous else layer.place) not in reused:
            return []
        names = [name for name, _ in self.original.named_children()]
        start = names.index(previous.place) + 1 if previous else 0
        stop = names.index(layer.place) if layer.place in names else len(names)
        between = [(name, part) for name in names[start:stop] if (part := self.original.get_submodule(name))]
        is_plain = not any(any(True for _ in part.parameters()) for _, part in between)
        return between if is_plain and _is_number_below(between, layer) else []

    def _ending(self, last: HeadLayer) -> Mapping[str, nn.Module]:
        """What follows the last convolution: the architecture's own modules, or the mean over positions."""
        children = dict(self.original.named_children())
        place, names = last.place, list(children)
        if place in names:
            following = {name: children[name] for name in names[names.index(place) + 1 :]}
            if following and not any(any(True for _ in part.parameters()) for part in following.values()):
                return following
        return {"pool": nn.AdaptiveAvgPool2d(1)}

    def _fitting_pool(self, first: HeadLayer, taken: int, width: int, side: int | None) -> nn.Module | None:
        """The pooling with which the network gives as many values as the classifier takes; None for its own."""
        if taken == width:
            return None
        if taken == 2 * width and self.follows_mean:
            return ConcatPool()
        if side is not None:
            wanted = math.sqrt(taken * side * side / width)
            if wanted == int(wanted) and wanted >= 1:
                return nn.AdaptiveAvgPool2d(int(wanted))
        raise ModelError(
            f"the classifier of the file takes {taken:,} values ('{shortened(self._full(first, 'weight'))}'), and "
            f"{self.name} gives it {width:,}"
        )

    def _check_chain(self, layers: Sequence[HeadLayer]) -> None:
        """Raise ModelError unless each layer takes what the one before it gives."""
        given: int | None = None
        for layer in layers:
            if not (layer.is_linear or layer.is_conv or layer.is_norm or layer.is_prelu):
                names = [f"'{shortened(self._full(layer, last))}'" for last in list(layer.tensors)[:2]]
                raise ModelError(
                    f"its classifier has {listed(names)}, which belong to no linear layer or normalization: build the "
                    "network in Python, and give it as a module"
                )
            taken = layer.inputs
            if given is not None and taken not in (given, 1):
                raise ModelError(
                    f"in its classifier '{shortened(self._full(layer, 'weight'))}' takes {taken:,} values where the "
                    f"layer before gives {given:,}"
                )
            given = layer.outputs if not layer.is_prelu else given
        if given is None or not (layers[-1].is_linear or layers[-1].is_conv):
            raise ModelError("its classifier does not end in a linear layer")
        if any(layer.is_linear for layer in layers) and any(layer.is_conv for layer in layers):
            raise ModelError("its classifier has convolutions and linear layers: build the network in Python")


def _is_number_below(between: Sequence[tuple[str, nn.Module]], layer: HeadLayer) -> bool:
    """Whether modules come before a layer of the new classifier by their numbers, or have words for names."""
    steps = layer.steps
    return all(not name.isdigit() or steps is None or int(name) < steps[0] for name, _ in between)


def _gap_name(previous: HeadLayer) -> str:
    start, _, number = previous.place.rpartition(".")
    after = f"{start}.{int(number) + 1}" if start else str(int(number) + 1) if number.isdigit() else ""
    return after.replace(".", "_") if number.isdigit() else f"{previous.place.replace('.', '_')}_activation"


def _parts(module: nn.Module) -> list[nn.Module]:
    return list(module.children()) or [module]
