"""Many pictures and what is known of each: computed once, kept by content, taken from the store ever after."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
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
from cnnviz.features.top_activations import channel_peaks
from cnnviz.network.network import Network
from cnnviz.runtime.memory import in_batches_that_fit
from cnnviz.runtime.prefetch import copied_ahead
from cnnviz.runtime.progress import OnStep, Step

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMAT = 1
"""Part of every store's name; raised when what is stored changes its meaning."""

Described = list[tuple[NDArray[Any], bytes]]
"""For each picture of a batch: its vector, and the bytes to keep beside it."""


@dataclass(frozen=True)
class Aspect:
    """One thing to know of every picture: the store that keeps it, and how it is computed.

    ``of_batch`` takes pixels (N, 3, H, W); ``of_photo`` takes a photo at its own resolution, and runs in the threads
    that read. One of them is None.
    """

    store: Store
    of_batch: Callable[[Tensor], Described] | None = None
    of_photo: Callable[[Image], tuple[NDArray[Any], bytes]] | None = None


@dataclass(frozen=True)
class Home:
    """Where stores lie, and what is told when a damaged one was replaced."""

    folder: Path
    on_rebuilt: Callable[[Path], None] | None = None

    @staticmethod
    def default() -> Path:
        """``$XDG_CACHE_HOME/cnnviz/features``, by default below ``~/.cache``."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / "cnnviz" / "features"

    def place(self, kind: str, facts: Mapping[str, Any]) -> Path:
        """The folder of what ``facts`` determine: other facts, other folder."""
        text = json.dumps({**facts, "format": _FORMAT}, sort_keys=True, default=str)
        return self.folder / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def store(self, kind: str, facts: Mapping[str, Any], width: int, dtype: Any) -> Store:
        return Store(self.place(kind, facts), width, dtype, self.on_rebuilt)


@dataclass(frozen=True)
class Framing:
    """All that decides which pixels a network is shown of a file, to tell stores apart by."""

    size: int
    crop: bool = False
    background: str = "white"

    def facts(self, network: Network, layer: str, seed: int) -> dict[str, Any]:
        weights = network.weights
        return {
            "model": network.name,
            "weights": weights.sha256 or f"{weights.label} {seed}",
            "mean": network.spec.mean,
            "std": network.spec.std,
            "precision": network.precision,
            **({} if weights.transform_input is None else {"transform_input": weights.transform_input}),
            "layer": network.layers.name_of(network.layers.node(layer)),
            "size": self.size,
            "crop": astuple(network.spec.crop.at(self.size)) if self.crop else False,
            "background": self.background,
        }


def features_aspect(
    network: Network, layer: str | None, home: Home, framing: Framing, *, half: bool = False, seed: int = 0
) -> Aspect:
    """Each picture's features (see ``embed_images``), with its likeliest class and that class's probability.

    ``half`` keeps them in float16: half the room, three digits.
    """
    layer = layer or feature_layer(network)
    facts = framing.facts(network, layer, seed) | {"half": half}
    dtype = np.float16 if half else np.float32
    store = home.store(f"features-{network.name}", facts, _width(network, layer), dtype)
    output = network.layers.name_of(network.output_node)

    def describe(pixels: Tensor) -> Described:
        with torch.no_grad():
            found = network.features(pixels, list(dict.fromkeys([layer, output])))
        probabilities, classes = network.probabilities(network.answer(found[output], pixels)).max(dim=1)
        vectors = pooled(found[layer]).numpy()
        notes = [struct.pack("<if", *pair) for pair in zip(classes.tolist(), probabilities.tolist(), strict=True)]
        return list(zip(vectors, notes, strict=True))

    return Aspect(store, of_batch=describe)


def predictions(aspect: Aspect, keys: Sequence[str]) -> list[tuple[int, float]]:
    """The likeliest class and its probability, as ``features_aspect`` keeps them."""
    try:
        return [struct.unpack("<if", note) for note in aspect.store.notes(keys)]
    except struct.error as error:
        raise ImageError("The feature store holds no predictions; remove it: it is built again.") from error


def peaks_aspect(network: Network, layer: MapLayer, home: Home, framing: Framing, seed: int = 0) -> Aspect:
    """The strongest position of every channel of a layer in each picture (see ``Peaks.packed``)."""
    facts = framing.facts(network, layer.name, seed)
    store = home.store(f"peaks-{network.name}", facts, 3 * layer.channels, np.float32)

    def describe(pixels: Tensor) -> Described:
        return [(row, b"") for row in channel_peaks(network, pixels, layer.name).packed()]

    return Aspect(store, of_batch=describe)


def looks_aspect(home: Home, background: str) -> Aspect:
    """Each picture's 32×32 pixels, with its thumbnail; no network has a part in it."""
    store = home.store("looks", {"background": background}, PIXEL_WIDTH, np.uint8)
    return Aspect(store, of_photo=lambda photo: (pixel_vector(photo), thumbnail(photo)))


def _width(network: Network, layer: str) -> int:
    """The length of a layer's pooled vector, seen on an empty picture."""
    side = network.spec.size
    return embed_images(network, torch.zeros(1, 3, side, side), layer).shape[1]


@dataclass
class Filling:
    """What one run over a collection had to do.

    ``computed`` counts pictures worked on, ``kept`` those whose every aspect was there already.
    """

    computed: int = 0
    kept: int = 0
    failed: dict[str, Exception] = field(default_factory=dict)


def fill(
    files: Mapping[str, Path],
    aspects: Sequence[Aspect],
    read: Callable[[Path], tuple[Image, Tensor]],
    on_step: OnStep | None = None,
    *,
    batch: int = 16,
    workers: int = 2,
    device: torch.device | str = "cpu",
) -> Filling:
    """See that every aspect of every picture is stored, computing only what is missing.

    Args:
        files: the SHA-256 of each picture's file, and where it lies.
        aspects: what to know of each.
        read: from a path to the photo and its pixels (1, 3, H, W); called in threads. An ImageError or
            MemoryShortError it raises is kept in the answer's ``failed``, by key; any other ends the run.
        on_step: called after each picture.
        batch: how many pictures the network sees at once; each batch is stored as soon as it is computed, so that
            an interrupted run goes on where it was.
        workers: how many threads read.
        device: where the network is, to which the next batch is copied meanwhile.
    """
    missing = [set(aspect.store.missing(files)) for aspect in aspects]
    rebuilt = _rebuilt(aspects)
    todo = [key for key in files if any(key in keys for keys in missing)]
    filling = Filling(kept=len(files) - len(todo))
    looks: dict[tuple[int, str], Entry] = {}

    def prepare(key: str) -> Tensor:
        photo, pixels = read(files[key])
        for index, aspect in enumerate(aspects):
            if aspect.of_photo and key in missing[index]:
                looks[index, key] = Entry(key, *aspect.of_photo(photo))
        return pixels

    def failed(key: str, error: Exception) -> None:
        if not isinstance(error, ImageError | MemoryShortError):
            raise error
        filling.failed[key] = error

    for keys, pixels in copied_ahead(batches_of(todo, prepare, failed, batch, workers), torch.device(device)):
        try:
            found = [
                _entries(aspect, index, [n for n, key in enumerate(keys) if key in missing[index]], keys, pixels, looks)
                for index, aspect in enumerate(aspects)
            ]
        except ImageError as error:  # of a size the network cannot take, and all of a batch have one size
            filling.failed.update(dict.fromkeys(keys, error))
        else:
            for aspect, entries in zip(aspects, found, strict=True):
                if entries:
                    aspect.store.add(entries)
            filling.computed += len(keys)
        if on_step:
            on_step(Step(filling.computed + len(filling.failed), len(todo)))
    if _rebuilt(aspects) > rebuilt:  # what was there already is lost
        rest = {key: path for key, path in files.items() if key not in filling.failed}
        again = fill(rest, aspects, read, batch=batch, workers=workers, device=device)
        filling.failed.update(again.failed)
        filling.computed = min(len(rest), filling.computed + again.computed)
        filling.kept = len(rest) - filling.computed
    return filling


def _rebuilt(aspects: Sequence[Aspect]) -> int:
    return sum(aspect.store.rebuilt for aspect in aspects)


def _entries(
    aspect: Aspect,
    index: int,
    due: Sequence[int],
    keys: Sequence[str],
    pixels: Tensor,
    looks: dict[tuple[int, str], Entry],
) -> list[Entry]:
    if not due:
        return []
    if aspect.of_batch is None:
        return [looks.pop((index, keys[n])) for n in due]
    seen, describe = pixels[list(due)], aspect.of_batch
    described = chain.from_iterable(in_batches_that_fit(lambda part: describe(seen[part]), len(due), len(due)))
    return [Entry(keys[n], vector, note) for n, (vector, note) in zip(due, described, strict=True)]
