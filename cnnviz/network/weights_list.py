"""Which weights there are, and which of them are on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cnnviz.errors import ModelError, UsageError
from cnnviz.network import catalogue, download
from cnnviz.network.catalogue import PublishedWeights
from cnnviz.network.sources import installed
from cnnviz.network.sources.table import find_source


@dataclass(frozen=True)
class AvailableWeights:
    """Weights of a network of the catalogue, or a network of an installed package.

    Attributes:
        model: the network's name.
        weights: their name, or ``embedded``; of a package its name.
        parameters: number of parameters; None where it is not known.
        mebibytes: size of the file; None where it is not known.
        state: whether they come with cnnviz, are in the cache, must be downloaded, or come with a package.
    """

    model: str
    weights: str
    parameters: int | None
    mebibytes: float | None
    state: Literal["embedded", "on disk", "to download", "installed"]

    @property
    def needs_download(self) -> bool:
        """Whether they are not on this machine."""
        return self.state == "to download"


def available_weights() -> Iterator[AvailableWeights]:
    """All weights of the catalogue, the embedded ones first, then by the network's name; then those of packages."""
    embedded = catalogue.entry(catalogue.EMBEDDED).default
    size = round(catalogue.EMBEDDED_FILE.stat().st_size / 2**20, 1)
    yield AvailableWeights(catalogue.EMBEDDED, "embedded", embedded.parameters, size, "embedded")
    for entry in catalogue.entries().values():
        for weights in entry.weights:
            state: Literal["on disk", "to download"] = "on disk" if download.is_cached(weights) else "to download"
            yield AvailableWeights(entry.name, weights.name, weights.parameters, weights.mebibytes, state)
    for point in installed.offered():
        yield AvailableWeights(point.name, installed.package_of(point), None, None, "installed")


def published_weights(model: str, name: str | None = None) -> PublishedWeights | None:
    """The published weights ``name`` of a network, by default its first; None for the embedded ones.

    Raises:
        UsageError: there is no such network, or it has no such weights.
        ModelError: no weights of the network are published.
    """
    if model == catalogue.LENET:
        raise ModelError(f"{catalogue.LENET} has no published weights.")
    if find_source(model) is not None:
        raise UsageError(f"'{model}' is not torchvision's: what it needs is fetched when it is first used.")
    entry = catalogue.entry(model)
    if name is None and catalogue.is_embedded(model):
        return None
    return entry.published(name)
