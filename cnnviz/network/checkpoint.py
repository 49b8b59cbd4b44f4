"""Finds a network's weights in what a training script saved: under which keys, whose, and what else is there.

A checkpoint is nested dictionaries with the weights somewhere in them, beside the optimizer, counters and settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from cnnviz.errors import ModelError, Remark, listed, shortened
from cnnviz.network.inert import Attributes
from cnnviz.network.label_lists import class_names

StateDict = dict[str, Tensor]

PLAIN = (
    *("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "module", "backbone"),
    *("encoder", "model_state", "net_state_dict", "model_weights", "parameters", "checkpoint", "student", "state"),
)
"""The keys of a checkpoint that hold the weights, in the order in which they are looked for."""

AVERAGED = (
    *("model_ema", "ema", "state_dict_ema", "ema_state_dict", "model_ema_state_dict", "ema_model", "params_ema"),
    *("ema_params", "ema_weights", "averaged_model", "swa_model", "swa_state_dict", "teacher"),
)
"""The keys of the weights' moving average, which are taken where there are no others, or by their key."""

_NO_WEIGHTS = ("optimizer", "optim", "scheduler", "scaler", "amp", "lr_scheduler", "criterion", "loss", "rng_state")

_DEEPEST = 10  # nested dictionaries

_LABEL_KEYS = (
    *("classes", "class_names", "class_to_idx", "idx_to_class", "id2label", "label2id", "names", "label_names"),
    *("labels", "categories", "CLASSES", "class_labels", "idx2label", "label_map"),
)
_SETTINGS = ("hyper_parameters", "args", "config", "cfg", "meta", "hparams", "opt", "datamodule_hyper_parameters")
"""Keys of a checkpoint whose values may hold the class names, as a dictionary or a namespace."""

_ARCHITECTURE_KEYS = ("arch", "model_name", "architecture", "backbone_name", "model")


@dataclass(frozen=True)
class Checkpoint:
    """The weights in a file, and what was found beside them.

    Args:
        tensors: the weights by name, as they are in the file.
        key: the keys they are under, as ``ema.state_dict``; empty for a bare state dict.
        others: the keys of further networks in the file.
        labels: lists of class names that the file holds, by their keys.
        architecture: the network's name that the file gives, as PyTorch's own training scripts write it; or None.
    """

    tensors: StateDict
    key: str = ""
    others: tuple[str, ...] = ()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    architecture: str | None = None

    @property
    def remark(self) -> Remark | None:
        """What the user should know where a file holds several networks: which was taken."""
        if not self.others:
            return None
        keys = [f"'{shortened(key)}'" for key in (self.key, *self.others)]
        return Remark(
            f"The file holds {len(keys)} networks, {listed(keys)}; {keys[0]} was taken.",
            remedy="weights_key",
            key=shortened(self.others[0]),
        )

    def labels_of(self, classes: int) -> tuple[str, tuple[str, ...]] | None:
        """The key and the names of ``classes`` classes; None if the file has no list of that length."""
        return next(((key, names) for key, names in self.labels.items() if len(names) == classes), None)


def unwrap(content: Any, source: str, key: str | None = None) -> Checkpoint:
    """The weights in the content of a file; those under ``key``, or else the plain before the averaged ones.

    ``source`` begins messages, as ``The weights file 'x.pth'``. Raises ModelError if there are no tensors, or none
    under ``key``.
    """
    found = dict(_networks(content))
    if not found:
        raise ModelError(
            f"{source} holds no state_dict: expected tensors by name, "
            f"or a checkpoint with them under one of {', '.join(PLAIN[:6])}."
        )
    chosen = next(iter(found)) if key is None else _chosen(found, key)
    if chosen is None:  # a prefix of names, which is looked for where names are fitted
        chosen = next(iter(found))
    others = tuple(name for name in found if name != chosen)
    return Checkpoint(found[chosen], chosen, others, dict(_labels(content)), _architecture(content))


def _chosen(found: Mapping[str, StateDict], key: str) -> str | None:
    """The keys that end in ``key``, or begin with it; None if there are none."""
    exact = [name for name in found if name == key]
    ends = [name for name in found if name.endswith(f".{key}") or name.startswith(f"{key}.")]
    return next(iter(exact or ends), None)


def _networks(content: Any) -> Iterator[tuple[str, StateDict]]:
    """The state dicts in ``content`` by their keys, those of the usual keys first."""
    averaged = [(path, tensors) for path, tensors in _walk(content, "", set()) if _is_averaged(path)]
    plain = [(path, tensors) for path, tensors in _walk(content, "", set()) if not _is_averaged(path)]
    if plain or averaged:
        yield from (*plain, *averaged)
    elif isinstance(content, Mapping):
        yield from ((str(key), value) for key, value in content.items() if _is_state_dict(key, value))


def _walk(content: Any, path: str, seen: set[int]) -> Iterator[tuple[str, StateDict]]:
    """The state dicts under the usual keys; the tensors beside such keys only if there are none under them."""
    if not isinstance(content, Mapping) or id(content) in seen or path.count(".") >= _DEEPEST:
        return
    seen.add(id(content))
    count = 0
    for key in (*PLAIN, *AVERAGED):
        for found in _walk(content.get(key), f"{path}.{key}" if path else key, seen):
            count += 1
            yield found
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if tensors and not count:
        yield path, tensors


def _is_averaged(path: str) -> bool:
    return any(key in AVERAGED for key in path.split("."))


def _is_state_dict(key: object, value: Any) -> bool:
    """Whether the value of a key with another name is a state dict."""
    if not isinstance(value, Mapping) or not value or str(key).lower().startswith(_NO_WEIGHTS):
        return False
    return all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items())


def _architecture(content: Any) -> str | None:
    for place in _places(content):
        for key in _ARCHITECTURE_KEYS:
            value = place.get(key)
            if isinstance(value, str) and 0 < len(value) < 100 and value.isprintable():
                return value
    return None


def _places(content: Any) -> Iterator[Mapping[Any, Any]]:
    """The dictionaries of a file that may say something of its weights."""
    if not isinstance(content, Mapping):
        return
    yield content
    for key in _SETTINGS:
        value = content.get(key)
        value = vars(value) if isinstance(value, Attributes) else value
        if isinstance(value, Mapping):
            yield value


def _labels(content: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    for place in _places(content):
        for key in _LABEL_KEYS:
            names = class_names(place.get(key))
            if names:
                yield key, names


def prefixes(names: Sequence[str], first: str) -> list[str]:
    """What precedes the name ``first`` in ``names``: empty, ``model.``, ``ema_model.`` …"""
    return [name.removesuffix(first) for name in names if name == first or name.endswith(f".{first}")]
