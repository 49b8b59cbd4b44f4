"""Features of many images: computed once, stored by the SHA-256 of the file, and read from the store afterwards."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Generator, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import astuple, dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cnnviz.errors import ImageError, MemoryShortError
from cnnviz.features.batching import batches_of
from cnnviz.features.embeddings import embed_images, feature_layer, pooled
from cnnviz.features.maps import MapLayer
from cnnviz.features.store import Entry, Store
from cnnviz.features.thumbnails import PIXEL_WIDTH, pixel_vector, thumbnail
from cnnviz.features.top_activations import channel_maxima
from cnnviz.network.network import Network
from cnnviz.runtime.memory import in_batches_that_fit
from cnnviz.runtime.paths import as_file_name, cache_home
from cnnviz.runtime.prefetch import copied_ahead
from cnnviz.runtime.progress import OnStep, Step

if TYPE_CHECKING:
    from PIL.Image import Image

NO_CLASS = -1
"""The class index that a network without a classifier predicts."""

_FORMAT = 1
"""Part of every store's name; increased when stored values change their meaning."""

VectorsAndPayloads = list[tuple[NDArray[Any], bytes]]
"""For each image of a batch: its vector, and the bytes to store beside it."""


@dataclass(frozen=True)
class StoredFeature:
    """A feature of every image: the store that holds it, and the function that computes it.

    ``of_batch`` takes pixels (N, 3, H, W); ``of_image`` takes an image at its own resolution, and runs in the threads
    that read. One of them is None.
    """

    store: Store
    of_batch: Callable[[Tensor], VectorsAndPayloads] | None = None
    of_image: Callable[[Image], tuple[NDArray[Any], bytes]] | None = None


@dataclass(frozen=True)
class FeatureStoreRoot:
    """The folder of all feature stores, and a callback for damaged files that were replaced."""

    folder: Path
    on_rebuilt: Callable[[Path], None] | None = None

    @staticmethod
    def default() -> Path:
        """``$XDG_CACHE_HOME/cnnviz/features``, by default below ``~/.cache``."""
        return cache_home() / "cnnviz" / "features"

    def path_for(self, kind: str, facts: Mapping[str, Any]) -> Path:
        """The path for results that depend on ``facts``: different facts give different paths."""
        text = json.dumps({**facts, "format": _FORMAT}, sort_keys=True, default=str)
        return self.folder / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def store(self, kind: str, facts: Mapping[str, Any], width: int, dtype: Any) -> Store:
        return Store(self.path_for(kind, facts), width, dtype, self.on_rebuilt)


@dataclass(frozen=True)
class Preprocessing:
    """The settings that decide which pixels of a file the network sees, and which are shown.

    ``shown`` are the channels that people see of images that are no photos; empty for photos.
    """

    size: int
    crop: bool = False
    background: str = "white"
    shown: str = ""

    def facts(self, network: Network, layer: str, seed: int) -> dict[str, Any]:
        weights = network.weights
        return {
            "model": network.name,
            "weights": weights.sha256 or f"{weights.label} {seed}",
            "mean": network.spec.pixel_mean,
            "std": network.spec.pixel_std,
            "precision": network.precision,
            **({"fast_conv": True} if network.fast_conv_choice else {}),
            **weights.checkpoint_facts,
            **_head_facts(network),
            **({} if weights.transform_input is None else {"transform_input": weights.transform_input}),
            **({} if weights.code_sha256 is None else {"code": weights.code_sha256}),
            "layer": network.layers.name_of(network.layers.node(layer)),
            "size": self.size,
            "crop": astuple(network.spec.crop.at(self.size)) if self.crop else False,
            "background": self.background,
        }


def _head_facts(network: Network) -> dict[str, Any]:
    """What decides the predicted class besides the weights, where it is not the usual."""
    output = network.output if isinstance(network.output, str | int | None) else network.output.__qualname__
    facts = {"output": output, "activation": network.activation if network.activation != "auto" else None}
    return {name: value for name, value in facts.items() if value is not None}


def pooled_feature(
    network: Network,
    layer: str | None,
    root: FeatureStoreRoot,
    preprocessing: Preprocessing,
    *,
    half: bool = False,
    seed: int = 0,
) -> StoredFeature:
    """Each image's features (see ``embed_images``), with its predicted class and that class's probability.

    ``half`` stores them as float16: half the size, three digits.
    """
    layer = layer or feature_layer(network)
    facts = preprocessing.facts(network, layer, seed) | {"half": half}
    dtype = np.float16 if half else np.float32
    store = root.store(f"features-{as_file_name(network.name)}", facts, _width(network, layer), dtype)

    def describe(pixels: Tensor) -> VectorsAndPayloads:
        features, logits = _features_and_logits(network, pixels, layer)
        if network.weights.lacks_classifier:
            return [(vector, struct.pack("<if", NO_CLASS, 0.0)) for vector in pooled(features).numpy()]
        probabilities, classes = network.probabilities(network.check_logits(logits, pixels)).max(dim=1)
        vectors = pooled(features).numpy()
        payloads = [struct.pack("<if", *pair) for pair in zip(classes.tolist(), probabilities.tolist(), strict=True)]
        return list(zip(vectors, payloads, strict=True))

    return StoredFeature(store, of_batch=describe)


@torch.no_grad()
def _features_and_logits(network: Network, pixels: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    """The output of a layer and the logits, in one pass where both are layers."""
    if network.traced_by == "hooks":  # where the logits may be those of a function
        return network.features(pixels, [layer])[layer], network(pixels)
    output = network.layers.name_of(network.output_node)
    found = network.features(pixels, list(dict.fromkeys([layer, output])))
    return found[layer], found[output]


def predictions(feature: StoredFeature, keys: Sequence[str]) -> list[tuple[int, float]]:
    """Each image's predicted class index and its probability, as ``pooled_feature`` stores them.

    The index is ``NO_CLASS`` for a network without a classifier.
    """
    try:
        return [struct.unpack("<if", payload) for payload in feature.store.payloads(keys)]
    except struct.error as error:
        raise ImageError("The feature store holds no predictions; remove it: it is built again.") from error


def channel_maxima_feature(
    network: Network, layer: MapLayer, root: FeatureStoreRoot, preprocessing: Preprocessing, seed: int = 0
) -> StoredFeature:
    """The largest activation of every channel of a layer in each image (see ``ChannelMaxima.packed``)."""
    facts = preprocessing.facts(network, layer.name, seed)
    store = root.store(f"peaks-{as_file_name(network.name)}", facts, 3 * layer.channels, np.float32)

    def describe(pixels: Tensor) -> VectorsAndPayloads:
        return [(row, b"") for row in channel_maxima(network, pixels, layer.name).packed()]

    return StoredFeature(store, of_batch=describe)


def thumbnail_feature(root: FeatureStoreRoot, background: str, shown: str = "") -> StoredFeature:
    """Each image's 32×32 pixels, with its thumbnail; computed without a network."""
    facts = {"background": background, **({"shown": shown} if shown else {})}
    store = root.store("looks", facts, PIXEL_WIDTH, np.uint8)
    return StoredFeature(store, of_image=lambda image: (pixel_vector(image), thumbnail(image)))


def _width(network: Network, layer: str) -> int:
    """The length of a layer's pooled vector, found by one pass over an image of zeros."""
    side = network.spec.size
    return embed_images(network, network.blank_pixels((side, side)), layer).shape[1]


@dataclass
class IndexStats:
    """The counts of one run over a collection.

    ``computed`` counts images that were processed, ``kept`` those whose every feature was stored already;
    ``failed`` has the error of each image that could not be used, by its key.
    """

    computed: int = 0
    kept: int = 0
    failed: dict[str, Exception] = field(default_factory=dict)


@dataclass(frozen=True)
class FeatureBatch:
    """What was computed of some images: the entries for the store of each feature, and the errors of those that
    failed, by key."""

    entries: Sequence[Sequence[Entry]]
    failed: Mapping[str, Exception]


FeatureBatches = Generator[FeatureBatch, None, None]

FeatureExecutor = Callable[[Mapping[str, Any], Sequence[Set[str]]], FeatureBatches]
"""Computes, of files by key, the features that are missing: for each feature, the keys to compute it of."""


def build_index(
    files: Mapping[str, Any],
    features: Sequence[StoredFeature],
    read: Callable[[Any], tuple[Image, Tensor]],
    on_step: OnStep | None = None,
    *,
    batch: int = 16,
    workers: int = 2,
    device: torch.device | str = "cpu",
    executor: FeatureExecutor | None = None,
) -> IndexStats:
    """Compute and store those features of images that are not stored yet.

    Args:
        files: the images, as ``read`` takes them, by the SHA-256 of their files.
        features: what to compute of each.
        read: from a file to the image and its pixels (1, 3, H, W); called in threads. An ImageError or
            MemoryShortError that it raises goes into the result's ``failed``, by key; any other ends the run.
        on_step: called after each batch.
        batch: how many images the network sees at once; each batch is stored as soon as it is computed, so that
            an interrupted run continues where it was.
        workers: the number of threads that read.
        device: of the network; the next batch is copied to it meanwhile.
        executor: computes the features elsewhere; ``read``, ``batch``, ``workers`` and ``device`` are its own.
    """
    missing = [set(feature.store.missing(files)) for feature in features]
    rebuilt, count = _rebuilt(features), len(set().union(*missing))
    stats = IndexStats(kept=len(files) - count)
    here = partial(compute_features, features=features, read=read, batch=batch, workers=workers, device=device)
    with closing((executor or here)(files, missing)) as batches:
        for found in batches:
            for feature, entries in zip(features, found.entries, strict=True):
                if entries:
                    feature.store.add(entries)
            stats.failed.update(found.failed)
            stats.computed += len({entry.key for entries in found.entries for entry in entries})
            if on_step:
                on_step(Step(stats.computed + len(stats.failed), count))
    if _rebuilt(features) > rebuilt:  # what was stored already is lost
        rest = {key: file for key, file in files.items() if key not in stats.failed}
        again = build_index(rest, features, read, batch=batch, workers=workers, device=device, executor=executor)
        stats.failed.update(again.failed)
        stats.computed = min(len(rest), stats.computed + again.computed)
        stats.kept = len(rest) - stats.computed
    return stats


def compute_features(
    files: Mapping[str, Any],
    missing: Sequence[Set[str]],
    features: Sequence[StoredFeature],
    read: Callable[[Any], tuple[Image, Tensor]],
    *,
    batch: int = 16,
    workers: int = 2,
    device: torch.device | str = "cpu",
) -> FeatureBatches:
    """The entries that are missing of each feature, batch after batch; nothing is stored.

    ``missing`` has, for each feature, the keys to compute it of; everything else is as in ``build_index``.
    """
    ready: dict[tuple[int, str], Entry] = {}
    errors: dict[str, Exception] = {}

    def prepare(key: str) -> Tensor:
        image, pixels = read(files[key])
        for index, feature in enumerate(features):
            if feature.of_image and key in missing[index]:
                ready[index, key] = Entry(key, *feature.of_image(image))
        return pixels

    def failed(key: str, error: Exception) -> None:
        if not isinstance(error, ImageError | MemoryShortError):
            raise error
        errors[key] = error

    def taken() -> dict[str, Exception]:
        return {key: errors.pop(key) for key in list(errors)}

    nothing: list[list[Entry]] = [[] for _ in features]
    todo = [key for key in files if any(key in keys for keys in missing)]
    for keys, pixels in copied_ahead(batches_of(todo, prepare, failed, batch, workers), torch.device(device)):
        try:
            found = [
                _entries(
                    feature, index, [n for n, key in enumerate(keys) if key in missing[index]], keys, pixels, ready
                )
                for index, feature in enumerate(features)
            ]
        except ImageError as error:  # a size that the network cannot take; all images of a batch have one size
            yield FeatureBatch(nothing, {**taken(), **dict.fromkeys(keys, error)})
        else:
            yield FeatureBatch(found, taken())
    if errors:
        yield FeatureBatch(nothing, taken())


def _rebuilt(features: Sequence[StoredFeature]) -> int:
    return sum(feature.store.rebuilt for feature in features)


def _entries(
    feature: StoredFeature,
    index: int,
    due: Sequence[int],
    keys: Sequence[str],
    pixels: Tensor,
    ready: dict[tuple[int, str], Entry],
) -> list[Entry]:
    if not due:
        return []
    if feature.of_batch is None:
        return [ready.pop((index, keys[n])) for n in due]
    seen, describe = pixels[list(due)], feature.of_batch
    described = chain.from_iterable(in_batches_that_fit(lambda part: describe(seen[part]), len(due), len(due)))
    return [Entry(keys[n], vector, payload) for n, (vector, payload) in zip(due, described, strict=True)]
