"""Fits the tensors of a file to an architecture: their names, the classifier, the channels of the input."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnnviz.errors import ModelError, Remark, UsageError, listed, shortened
from cnnviz.network import checks
from cnnviz.network.checkpoint import AVERAGED, Checkpoint, StateDict, prefixes

_WRAPPERS = ("module", "_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module", "_fpw_module")
"""What DataParallel, torch.compile, activation checkpointing and FSDP put into names, in front or in the middle."""

_LEFTOVERS = ("total_ops", "total_params", "n_averaged")
"""Last parts of names that thop and torch's AveragedModel leave, and no network has."""

_LENGTHS = (".weight_g", ".parametrizations.weight.original0")
_DIRECTIONS = (".weight_v", ".parametrizations.weight.original1")
"""What torch.nn.utils.weight_norm calls its two tensors, before and since it is a parametrization."""

_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""The auxiliary classifiers of GoogLeNet and Inception, which only training uses."""

_BESIDE = ("criterion.", "loss.", "loss_fn.", "loss_function.", "metric.", "metrics.", "train_", "val_", "test_")
"""What training modules hold beside the network."""

HEAD_NAMES = (
    *("fc", "classifier", "head", "heads.head", "heads", "last_linear", "linear", "output", "out", "logits"),
    *("output_layer", "classification_head", "cls_head", "class_head", "final", "final_layer", "fc_out", "cls"),
)
"""What people call a classifier of their own."""


@dataclass(frozen=True)
class FittedNames:
    """The tensors of a file under an architecture's names.

    Args:
        body: the tensors outside the classifier.
        head: those of the classifier, below the architecture's first name for it; empty if the file has none.
        prefix: what came before the names in the file.
        head_name: what the classifier is called in the file.
        remark: what the user should know, where a file holds several networks.
    """

    body: StateDict
    head: StateDict
    prefix: str = ""
    head_name: str = ""
    remark: Remark | None = None

    @property
    def state(self) -> StateDict:
        """All tensors."""
        return {**self.body, **self.head}


def plain_names(state: Mapping[str, Tensor]) -> StateDict:
    """``state`` without the parts of names that wrappers add, without leftovers, and with names as they are today."""
    kept = {name: tensor for name, tensor in state.items() if name.rpartition(".")[2] not in _LEFTOVERS}
    found = {_current_name(name): tensor for name, tensor in kept.items()}
    return found if len(found) == len(kept) else kept


def _with_whole_weights(state: StateDict) -> StateDict:
    """``state`` with the weights of layers that hold their length and direction apart (weight normalization)."""
    found = dict(state)
    for length, direction in zip(_LENGTHS, _DIRECTIONS, strict=True):
        for name in [name for name in state if name.endswith(direction)]:
            start = name.removesuffix(direction)
            if f"{start}{length}" in state:
                found[f"{start}.weight"] = _scaled(found.pop(name), found.pop(f"{start}{length}"))
    return found


def _scaled(direction: Tensor, length: Tensor) -> Tensor:
    """A weight by its direction and the length along each axis that ``length`` has; of the whole if it has none."""
    axes = [axis for axis, size in enumerate(length.shape) if size == 1] or list(range(direction.ndim))
    return direction.float() * (length.float() / direction.float().norm(dim=axes, keepdim=True))


def _current_name(name: str) -> str:
    """A name as in torchvision's code: its published DenseNets have ``norm.1.weight`` for ``norm1.weight``."""
    *parts, last = name.split(".")
    name = ".".join([*(part for part in parts if part not in _WRAPPERS), last])
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name)


def numbered_prefixes(state: Mapping[str, Tensor], first: str, parts: Sequence[str]) -> list[str]:
    """What precedes the names where an ``nn.Sequential`` holds a network's parts, which then have numbers.

    ``first`` is the name of the network's first tensor, ``parts`` are the names of its outermost submodules.
    """
    part, _, rest = first.partition(".")
    return prefixes(list(state), f"{parts.index(part)}.{rest}") if part in parts else []


def named_parts(state: Mapping[str, Tensor], prefix: str, parts: Sequence[str], root: str) -> StateDict:
    """``state`` with the names of a network's parts for their numbers, as ``nn.Sequential(*net.children())`` has them.

    What comes at the number of the classifier ``root`` and after it, or after the whole network in a sequence around
    it, is the classifier.
    """
    found: StateDict = {}
    outer, _, own = prefix.rstrip(".").rpartition(".")
    outer = f"{outer}." if outer else ""
    for name, tensor in state.items():
        number, _, rest = name.removeprefix(prefix).partition(".")
        if name.startswith(prefix) and number.isdigit():
            position = int(number)
            is_body = position < parts.index(root)
            found[f"{parts[position]}.{rest}" if is_body else f"{root}.{number}.{rest}"] = tensor
        elif own.isdigit() and name.startswith(outer) and not name.startswith(prefix):
            number, _, rest = name.removeprefix(outer).partition(".")
            if number.isdigit() and int(number) > int(own):
                found[f"{root}.{number}.{rest}"] = tensor
    return found


def _with_parts(state: StateDict, names: Sequence[str], first: str, parts: Sequence[str], root: str) -> StateDict:
    """``state``, with names for the numbers of a network's parts if it has more of its ``names`` then."""

    def count(state: Mapping[str, Tensor], prefix: str = "") -> int:
        return sum(f"{prefix}{name}" in state for name in names)

    if 2 * max((count(state, prefix) for prefix in prefixes(list(state), first)), default=0) >= len(names):
        return state
    others = [named_parts(state, prefix, parts, root) for prefix in numbered_prefixes(state, first, parts)]
    return max((other for other in others if 2 * count(other) >= len(names)), key=count, default=state)


def fit_names(
    checkpoint: Checkpoint,
    expected: Mapping[str, Tensor],
    classifier: str,
    key: str | None = None,
    parts: Sequence[str] = (),
) -> FittedNames:
    """The tensors of a checkpoint under the names of an architecture, without the prefixes of wrappers.

    Wrappers put a prefix before every name (``model.`` of Lightning, ``backbone.`` of a module that holds it). It is
    what precedes the architecture's first name; of several, that of the most names, of equals the plain one before an
    average. ``key`` names another. ``expected`` is the architecture's state dict; ``classifier`` the name of its
    last weight, empty where all tensors are taken alike; ``parts`` are the names of its outermost submodules, which an
    ``nn.Sequential`` of them numbers.
    """
    state, first = plain_names(checkpoint.tensors), next(iter(expected))
    state = state if any(name.endswith(_DIRECTIONS) for name in expected) else _with_whole_weights(state)
    root = classifier.partition(".")[0] + "."
    names = [name for name in expected if not name.startswith(root)]
    if root.removesuffix(".") in parts:
        state = _with_parts(state, names, first, parts, root.removesuffix("."))
    found = prefixes(list(state), first)
    counts = {prefix: sum(f"{prefix}{name}" in state for name in names) for prefix in found}
    most = max(counts.values(), default=0)
    whole = [prefix for prefix in found if 2 * counts[prefix] >= most]  # others are blocks of the network
    prefix = min(whole, key=lambda one: (counts[one] < 0.9 * most, _is_averaged(one), -counts[one]), default="")
    if key is not None and key.rstrip(".") not in (checkpoint.key, checkpoint.key.rpartition(".")[2]):
        prefix = _prefix_called(key, whole, checkpoint)
    others = tuple(other for other in whole if other != prefix and other.startswith(prefix))
    inside = {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix) and not name.startswith(others)
    }
    inside = {name: tensor for name, tensor in inside.items() if not name.startswith((*_AUXILIARY, *_BESIDE))}
    head = {name: tensor for name, tensor in inside.items() if name.startswith(root)}
    body = {name: tensor for name, tensor in inside.items() if not name.startswith(root)}
    head_name = root.removesuffix(".")
    if not head and classifier:
        outside = {name: tensor for name, tensor in state.items() if prefix and not name.startswith(prefix)}
        head_name, taken = _other_head(body, outside, prefix, expected)
        head = {root + name.removeprefix(f"{head_name}."): tensor for name, tensor in taken.items()}
        body = {name: tensor for name, tensor in body.items() if name not in taken}
    return FittedNames(body, head, prefix, head_name, _prefix_remark(prefix, whole) if key is None else None)


def _is_averaged(prefix: str) -> bool:
    return any(part in AVERAGED or part.startswith("ema") or part.endswith("ema") for part in prefix.split("."))


def _prefix_called(key: str, found: Sequence[str], checkpoint: Checkpoint) -> str:
    """The prefix that is or begins with ``key``; UsageError that lists what there is."""
    wanted = key.rstrip(".") + "."
    chosen = next((prefix for prefix in found if prefix == wanted or prefix.startswith(wanted)), None)
    if chosen is None:
        there = [name for name in (checkpoint.key, *checkpoint.others, *(p.rstrip(".") for p in found)) if name]
        quoted = [f"'{shortened(name)}'" for name in dict.fromkeys(there)]
        known = f"it has {listed(quoted)}" if quoted else "it has one without a key"
        raise UsageError(f"The weights file has no network under the key '{shortened(key)}': {known}.")
    return chosen


def _prefix_remark(prefix: str, whole: Sequence[str]) -> Remark | None:
    others = [other for other in whole if other != prefix]
    if not others:
        return None
    names = [f"'{shortened(name.rstrip('.'))}'" if name else "one without a prefix" for name in (prefix, *others)]
    text = f"The file holds {len(names)} networks by the beginnings of names, {listed(names)}; {names[0]} was taken."
    other = next((shortened(name.rstrip(".")) for name in others if name), "")
    return Remark(text, remedy="weights_key", key=other) if other else Remark(text)


def _other_head(
    body: Mapping[str, Tensor], outside: Mapping[str, Tensor], prefix: str, expected: Mapping[str, Tensor]
) -> tuple[str, StateDict]:
    """A classifier that is not called as the architecture's, beside the body or outside it; empty if there is none."""
    known = {name.partition(".")[0] for name in expected}
    for head in HEAD_NAMES:
        if head.partition(".")[0] in known:
            continue
        taken = {name: tensor for name, tensor in body.items() if name.startswith(f"{head}.")}
        if taken:
            return head, taken
    parts = prefix.rstrip(".").split(".")
    for depth in range(len(parts) - 1, -1, -1):
        start = "".join(f"{part}." for part in parts[:depth])
        for head in HEAD_NAMES:
            taken = {name: tensor for name, tensor in outside.items() if name.startswith(f"{start}{head}.")}
            if taken:
                return f"{start}{head}", taken
    return "", {}


def class_count(state: Mapping[str, Tensor], classifier: str) -> int | None:
    """The number of classes, from the shape of the classifier's weight; None if it is missing or empty."""
    weight = state.get(classifier)
    return None if weight is None or weight.ndim == 0 or weight.shape[0] == 0 else int(weight.shape[0])


def is_own_head(head: Mapping[str, Tensor], expected: Mapping[str, Tensor], classifier: str) -> bool:
    """Whether a classifier has the architecture's own layers, with any number of classes."""
    root, leaf = classifier.partition(".")[0], classifier.rpartition(".")[0]
    counted = "num_batches_tracked"
    own = {name: tuple(tensor.shape) for name, tensor in expected.items() if name.startswith(f"{root}.")}
    own = {name: shape for name, shape in own.items() if not name.endswith(counted)}
    shapes = {name: tuple(tensor.shape) for name, tensor in head.items() if not name.endswith(counted)}
    if shapes.keys() != own.keys():
        return False
    return all(shapes[n][1:] == own[n][1:] if n.startswith(f"{leaf}.") else shapes[n] == own[n] for n in own)


def misfit(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, channels: bool = False) -> str:
    """What keeps ``state`` from an architecture's ``expected`` one, counted and named; empty if it fits.

    With ``channels`` the first convolution may have any number of them.
    """
    first = next(iter(expected), "")
    missing = [n for n in expected if n not in state and not n.endswith("num_batches_tracked")]
    unknown = [n for n in state if n not in expected]
    reshaped = [n for n in expected if n in state and state[n].shape != expected[n].shape]
    if channels and first in reshaped and state[first].ndim > 1:
        one, other = tuple(state[first].shape), tuple(expected[first].shape)
        if one[1] > 0 and (one[0], *one[2:]) == (other[0], *other[2:]):
            reshaped.remove(first)
    complaints = (
        _complaint("lacks", missing),
        _complaint("has unknown", unknown),
        _complaint("has other shapes for", reshaped, lambda name: _shapes(state[name], expected[name])),
    )
    return "; it ".join(complaint for complaint in complaints if complaint)


def _complaint(verb: str, names: list[str], detail=lambda name: "") -> str:  # type: ignore[no-untyped-def]
    if not names:
        return ""
    shown = ", ".join(shortened(name) + detail(name) for name in names[:2]) + (", …" if len(names) > 2 else "")
    return f"{verb} {len(names)} tensor{'s' if len(names) > 1 else ''} ({shown})"


def _shapes(one: Tensor, other: Tensor) -> str:
    """``: 64×3×3×3 where it is 64×3×7×7``."""
    mine, theirs = ("×".join(map(str, shape)) or "one number" for shape in (one.shape[:6], other.shape))
    return f": {mine} instead of {theirs}"


def load_into(module: nn.Module, state: StateDict, source: str, part: str = "", name: str = "") -> None:
    """Load ``state`` into ``module`` without copying.

    Raises ModelError that counts and names tensors that are missing, unknown or of another shape, or names one that is
    not finite in the submodule ``part`` (the whole module if empty). ``source`` is what it calls the file, ``name`` the
    network.
    """
    expected = module.state_dict()
    complaint = misfit(state, expected)
    if complaint:
        raise misfit_error(source, name or type(module).__name__, complaint)
    plain = OrderedDict(
        (
            name,
            _as_float(name, tensor, source) if expected[name].is_floating_point() else tensor.to(expected[name].dtype),
        )
        for name, tensor in state.items()
    )
    for counter in expected.keys() - plain.keys():
        plain[counter] = torch.zeros((), dtype=torch.long)  # num_batches_tracked, which older files lack
    # MNASNet needs the version of its names, which are current by now.
    plain._metadata = {path: {"version": type(m)._version} for path, m in module.named_modules()}  # type: ignore[attr-defined]
    module.load_state_dict(plain, assign=True)
    checks.require_finite_weights(module.get_submodule(part), source)


def misfit_error(source: str, name: str, complaint: str, sibling: str | None = None) -> ModelError:
    """The error for weights of another network; ``sibling`` is the one whose tensors they are, if known."""
    text = f"{source} does not fit {name}: it {complaint}."
    if sibling is None:
        return ModelError(f"{text} Was it trained with another model?", remedy="name_model")
    return ModelError(f"{text} Its tensors are those of {sibling}.", remedy="named_model", model=sibling)


def _as_float(name: str, tensor: Tensor, source: str) -> Tensor:
    """A tensor as float32; ModelError where it holds no floats."""
    if tensor.is_floating_point():
        with suppress(RuntimeError):  # 4-bit floats cannot be converted
            return tensor.float().contiguous()  # in a file they may be parts of larger ones
    kind = str(tensor.dtype).removeprefix("torch.")
    raise ModelError(f"{source} holds '{shortened(name)}' as {kind}, where the network needs floats.")
