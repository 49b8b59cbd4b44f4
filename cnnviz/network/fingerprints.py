"""Finds the network of the catalogue that a file of weights is of, by the names and shapes of its tensors.

Building every network to compare would take longer than explaining an image. ``fingerprints.json``, written by
tools/update_fingerprints.py, holds a sketch of each: the smallest hash values of its tensors, from which the share of
tensors that two networks have in common is estimated (Broder, "On the resemblance and containment of documents",
SEQUENCES 1997). The likeliest networks are then built, without values, and compared tensor by tensor.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from torch import Tensor

from cnnviz.errors import ModelError, Remark, listed, shortened
from cnnviz.network import architecture
from cnnviz.network.checkpoint import Checkpoint, StateDict, prefixes
from cnnviz.network.fitting import fit_names, misfit, named_parts, numbered_prefixes, plain_names

_SKETCH = 32  # hash values for each network
_TRIED = 3  # networks that are built
_LIKELY, _NEAR = 0.3, 0.1
"""The least estimated share of tensors in common for a network to be built, and to be called the nearest."""


@dataclass(frozen=True)
class Fingerprint:
    """What tells a network of the catalogue by its tensors.

    Args:
        first: the name of its first tensor.
        conv: the name of its first convolution's weight, whose channels may differ.
        classifier: the name of its last weight, which is one row for each class.
        parts: the names of its outermost submodules, in order.
        tensors: the number of tensors outside the classifier.
        names: the smallest hash values of their names.
        shapes: the smallest hash values of their names with their shapes.
    """

    first: str
    conv: str
    classifier: str
    parts: tuple[str, ...]
    tensors: int
    names: frozenset[int]
    shapes: frozenset[int]

    @property
    def root(self) -> str:
        """What the names of the classifier begin with."""
        return self.classifier.partition(".")[0] + "."


def fingerprint_facts(name: str) -> dict[str, str | int]:
    """The fingerprint of a network of the catalogue, as it is stored."""
    expected, classifier = architecture.parameter_shapes(name)
    conv = next(name for name, tensor in expected.items() if tensor.ndim == 4)
    body = _body(expected, "", classifier.partition(".")[0] + ".")
    found = _hashes(body, conv)
    return {
        "first": next(iter(expected)),
        "conv": conv,
        "classifier": classifier,
        "parts": " ".join(architecture.part_names(name)),
        "tensors": len(body),
        "names": _text(found[0]),
        "shapes": _text(found[1]),
    }


def _text(hashes: Iterable[int]) -> str:
    return " ".join(f"{value:x}" for value in sorted(hashes)[:_SKETCH])


@cache
def fingerprints() -> dict[str, Fingerprint]:
    """The fingerprint of every network of the catalogue, by name."""
    table = json.loads(Path(__file__).with_name("fingerprints.json").read_text(encoding="utf-8"))
    return {
        name: Fingerprint(
            **{**facts, "parts": tuple(facts["parts"].split())}
            | {key: _numbers(facts[key]) for key in ("names", "shapes")}
        )
        for name, facts in table.items()
    }


def _numbers(text: str) -> frozenset[int]:
    return frozenset(int(value, 16) for value in text.split())


def _body(state: Mapping[str, Tensor], prefix: str, root: str) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors outside the classifier, by their names without the prefix."""
    bare = ((name[len(prefix) :], tensor) for name, tensor in state.items() if name.startswith(prefix))
    return {
        name: tuple(tensor.shape)
        for name, tensor in bare
        if not name.startswith(root) and not name.endswith("num_batches_tracked")
    }


def _hashes(body: Mapping[str, tuple[int, ...]], conv: str) -> tuple[frozenset[int], frozenset[int]]:
    """The hash values of names, and of names with shapes; of ``conv`` without its channels."""
    shapes = {name: (*shape[:1], 0, *shape[2:]) if name == conv else shape for name, shape in body.items()}
    named = frozenset(zlib.crc32(name.encode()) for name in shapes)
    return named, frozenset(zlib.crc32(f"{name} {shape}".encode()) for name, shape in shapes.items())


def likeliest(state: StateDict) -> list[tuple[str, float, float]]:
    """Networks of the catalogue, the likeliest first, each with its shares of shapes and of names in common."""
    plain = plain_names(state)
    known: dict[object, tuple[int, frozenset[int], frozenset[int]]] = {}
    ranked = []
    for name, own in fingerprints().items():
        best = (0.0, 0.0)
        for prefix, is_numbered in _places(plain, own):
            key = prefix, is_numbered and own.parts, own.root, own.conv
            if key not in known:
                root = own.root.removesuffix(".")
                found = named_parts(plain, prefix, own.parts, root) if is_numbered else plain
                body = _body(found, "" if is_numbered else prefix, own.root)
                known[key] = (len(body), *_hashes(body, own.conv))
            count, named, shaped = known[key]
            best = max(
                best, (_share(own.shapes, shaped, own.tensors, count), _share(own.names, named, own.tensors, count))
            )
        ranked.append((name, *best))
    return sorted(ranked, key=lambda one: -(one[1] + 0.5 * one[2]))


def _places(state: StateDict, own: Fingerprint) -> list[tuple[str, bool]]:
    """The prefixes under which a network may be, and whether its parts have numbers there."""
    numbered = numbered_prefixes(state, own.first, own.parts) if own.root.removesuffix(".") in own.parts else []
    named = dict.fromkeys(prefixes(list(state), own.first))
    return [*((prefix, False) for prefix in named), *((prefix, True) for prefix in dict.fromkeys(numbered))]


def _share(sketch: frozenset[int], found: frozenset[int], tensors: int, count: int) -> float:
    """The estimated tensors in common, as a share of all that either has."""
    common = len(sketch & found) / len(sketch) * tensors
    return common / max(tensors + count - common, 1)


def sibling(state: StateDict, name: str) -> str | None:
    """The network whose tensors these are, where it is another than ``name``; None if it is not known."""
    best, shapes, _ = likeliest(state)[0]
    return best if best != name and shapes > 0.8 else None


def identify(checkpoint: Checkpoint, path: Path, key: str | None = None) -> tuple[str, Remark]:
    """The name of the network that a checkpoint holds, and the sentence that says so.

    Raises ModelError that names the nearest network and what differs, where there is none that fits.
    """
    ranked = likeliest(checkpoint.tensors)
    complaints: dict[str, str] = {}
    for name, shapes, _ in ranked[:_TRIED]:
        if shapes < _LIKELY:
            continue
        complaint = body_misfit(checkpoint, name, key)
        if not complaint:
            return name, Remark(f"'{path.name}' is taken for {name}, by the names and shapes of its tensors.")
        complaints[name] = complaint
    timm_name = _timm_name(checkpoint)
    if timm_name:
        return timm_name, Remark(f"'{path.name}' is taken for {timm_name}, as it says itself.")
    raise _unknown(checkpoint, path, ranked[0], complaints, key)


def body_misfit(checkpoint: Checkpoint, name: str, key: str | None = None) -> str:
    """What keeps a checkpoint from the network ``name``, its classifier aside; empty if it fits."""
    shapes, classifier = architecture.parameter_shapes(name)
    fitted = fit_names(checkpoint, shapes, classifier, key, architecture.part_names(name))
    module = architecture.build_on_meta(name, 1)
    architecture.fit_stem(module, fitted.body)
    architecture.fit_positions(module, fitted.body)
    root = classifier.partition(".")[0] + "."
    expected = {name: tensor for name, tensor in module.state_dict().items() if not name.startswith(root)}
    return misfit(fitted.body, expected, channels=True)


def _timm_name(checkpoint: Checkpoint) -> str | None:
    """timm's network that a file says it is of, where timm is installed."""
    if checkpoint.architecture is None:
        return None
    try:
        import timm
    except ImportError:
        return None
    return f"timm/{checkpoint.architecture}" if timm.is_model(checkpoint.architecture) else None


def _unknown(
    checkpoint: Checkpoint,
    path: Path,
    best: tuple[str, float, float],
    complaints: dict[str, str],
    key: str | None,
) -> ModelError:
    name, shapes, names = best
    says = f" The file says that it is '{shortened(checkpoint.architecture)}'." if checkpoint.architecture else ""
    if max(shapes, names) < _NEAR:
        shown = listed([f"'{shortened(tensor)}'" for tensor in list(checkpoint.tensors)[:2]])
        return ModelError(
            f"The tensors of '{path}' ({shown}, …) are those of no network of the catalogue.{says}",
            remedy="model_of_weights",
        )
    complaint = complaints.get(name) or body_misfit(checkpoint, name, key)
    return ModelError(
        f"The tensors of '{path}' are those of no network of the catalogue; the nearest is {name}, but it {complaint}."
        f"{says}",
        remedy="model_of_weights",
    )
