"""Networks of the catalogue with their weights: embedded, published, from a file, or random."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from cnnviz.errors import MemoryShortError, ModelError, Remark
from cnnviz.network import architecture, catalogue, download
from cnnviz.network.catalogue import PublishedWeights
from cnnviz.network.hashing import sha256
from cnnviz.network.own_weights import FileOptions, fill
from cnnviz.network.sources.files import WEIGHTS_SUFFIXES
from cnnviz.network.spec import WeightsInfo
from cnnviz.runtime.memory import available_memory, is_out_of_memory
from cnnviz.runtime.paths import path_exists

_USUAL_CLASSES = 25_000
"""Up to this number of classes memory is not checked; all of ImageNet has 21,841."""


@dataclass
class Loaded:
    """A module with its weights, and where they came from."""

    module: nn.Module
    classes: int
    channels: int
    info: WeightsInfo
    published: PublishedWeights | None = None
    is_own: bool = False
    labels: tuple[str, ...] | None = None


def load_module(
    name: str,
    weights: str | Path | None,
    labelled: int | None,
    seed: int,
    progress: bool,
    options: FileOptions,
    channels: int | None,
) -> Loaded:
    if weights is None:
        return _load_default(name, progress)
    if str(weights).lower() == "random":
        classes = labelled or (10 if name == catalogue.LENET else 1000)
        _require_memory(name, classes)
        module = architecture.build_random(name, classes, seed, channels)
        return Loaded(module, classes, _first_channels(module), WeightsInfo("random"))
    if looks_like_file(weights):
        return _load_file(name, Path(weights), options)
    if name == catalogue.EMBEDDED and str(weights).lower() == "embedded":
        return _load_embedded()
    return _load_published(published_weights(name, str(weights)), progress)


@contextmanager
def memory_errors_of(name: str) -> Iterator[None]:
    """A context that turns an allocation failure into a MemoryShortError that names the network."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryShortError) or not is_out_of_memory(error):
            raise
        raise MemoryShortError(f"The weights of {name} do not fit in the memory that is free.") from error


def _require_memory(name: str, classes: int) -> None:
    """Raise MemoryShortError if a network of very many classes does not fit in memory."""
    if classes <= _USUAL_CLASSES:
        return
    needed = 4 * sum(tensor.numel() for tensor in architecture.build_on_meta(name, classes).state_dict().values())
    available = available_memory(torch.device("cpu"))
    if available is not None and needed > available:
        raise MemoryShortError(
            f"{name} with {classes:,} classes has {needed / 2**30:.1f} GiB of weights, "
            f"and {available / 2**30:.1f} GiB are free."
        )


def _load_default(name: str, progress: bool) -> Loaded:
    if catalogue.is_embedded(name):
        return _load_embedded()
    return _load_published(published_weights(name), progress)


def published_weights(name: str, weights: str | None = None) -> PublishedWeights:
    if name == catalogue.LENET:
        raise ModelError("lenet5 has no published weights: give a file of your own, or 'random'.", remedy="own_weights")
    return catalogue.entry(name).published(weights)


def looks_like_file(weights: str | Path) -> bool:
    """Whether ``weights`` is a file, existing or not, rather than the name of published weights."""
    path = Path(weights)
    return (
        isinstance(weights, Path)
        or path_exists(path)
        or path.suffix.lower() in WEIGHTS_SUFFIXES
        or path.name != weights
    )


def _load_embedded() -> Loaded:
    filled = fill(catalogue.EMBEDDED, catalogue.EMBEDDED_FILE, "The embedded weights file")
    info = WeightsInfo("embedded", sha256(catalogue.EMBEDDED_FILE))
    return Loaded(filled.module, filled.classes, 3, info, catalogue.entry(catalogue.EMBEDDED).default)


def _load_published(published: PublishedWeights, progress: bool) -> Loaded:
    path = download.fetch(published, progress=progress)
    digest = download.verify(published)
    try:
        filled = fill(published.model, path, f"The cached weights file {path}", part=published.part)
    except ModelError as error:
        if download.is_genuine(published, digest):
            raise
        raise download.damaged(published) from error
    remark = Remark()
    if published.part:
        remark = Remark(f"{published.name} of {published.model} has no classifier: it serves for features only.")
    if not download.is_genuine(published, digest):
        differs = f"{path} is not the file that torchvision publishes under this name: its SHA-256 differs."
        names = {"model": published.model, "weights": published.name}
        remark = Remark(f"{remark} {differs}".strip(), remedy="fetch_again", **names)
    info = WeightsInfo(published.name, digest, remark or None)
    return Loaded(filled.module, filled.classes, 3, info, published)


def _load_file(name: str, path: Path, options: FileOptions) -> Loaded:
    filled = fill(name, path, f"The weights file '{path}'", own=True, options=options)
    published = None if name == catalogue.LENET else catalogue.entry(name).default
    info = WeightsInfo(path.name, sha256(path), class_to_idx=filled.class_to_idx, checkpoint=filled.info)
    return Loaded(filled.module, filled.classes, filled.channels, info, published, True, filled.labels)


def _first_channels(module: nn.Module) -> int:
    return next((m.in_channels for m in module.modules() if isinstance(m, nn.Conv2d)), 3)
