"""The networks of the catalogue, their published weights, and the path of these on this machine.

Reads a table written by tools/update_catalogue.py: importing torchvision to list its models would take longer than most
commands.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cnnviz.errors import UsageError
from cnnviz.runtime.paths import cache_home, with_home

EMBEDDED = "squeezenet1_1"
LENET = "lenet5"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

EMBEDDED_FOLDER = Path(__file__).parent / "bundled"
EMBEDDED_FILE = EMBEDDED_FOLDER / "squeezenet1_1.safetensors"


@dataclass(frozen=True)
class PublishedWeights:
    """One set of weights that torchvision publishes.

    Args:
        model: the network's name.
        name: the weights' name, as ``IMAGENET1K_V1``.
        url: of the file; its name ends in the first hexadecimal digits of its SHA-256.
        mebibytes: size of the file.
        parameters: number of parameters.
        crop: side of the square crop, in pixels, with which the published accuracy was measured.
        resize: length of the shorter side before the crop.
        interpolation: how images were resized: ``bilinear`` or ``bicubic``.
        mean, std: per-channel normalization.
    """

    model: str
    name: str
    url: str
    mebibytes: float
    parameters: int
    crop: int
    resize: int
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def file(self) -> str:
        """The file's name."""
        return self.url.rsplit("/", 1)[1]

    @property
    def part(self) -> str:
        """The submodule that has weights; empty, which means all, except for weights of features only."""
        return "features" if self.name.endswith("_FEATURES") else ""

    @property
    def path(self) -> Path:
        """The file's path in torch.hub's cache, downloaded or not."""
        return checkpoint_folder() / self.file

    @property
    def hash_prefix(self) -> str:
        """The first hexadecimal digits of the file's SHA-256."""
        return self.file.rsplit(".", 1)[0].rsplit("-", 1)[1]


@dataclass(frozen=True)
class CatalogueEntry:
    """One network of the catalogue.

    Args:
        name: torchvision's name.
        min_size: the smallest side of an image that it takes, in pixels.
        fixed: whether it takes images of one size only: that of the crop of its weights.
        best: the name of the weights that torchvision calls ``DEFAULT``.
        weights: its published weights, in order of publication.
    """

    name: str
    min_size: int
    fixed: bool
    best: str
    weights: tuple[PublishedWeights, ...]

    @property
    def default(self) -> PublishedWeights:
        """The weights published first, with which the papers' figures and most studies were made.

        torchvision's own ``DEFAULT`` are the most accurate ones, mostly from a longer training recipe.
        """
        return self.weights[0]

    def published(self, name: str | None = None) -> PublishedWeights:
        """The weights called ``name`` (any case; ``DEFAULT`` is torchvision's best); the first if None."""
        if name is None:
            return self.default
        wanted = self.best if name.upper() == "DEFAULT" else name.upper()
        for weights in self.weights:
            if weights.name == wanted:
                return weights
        known = ", ".join(weights.name for weights in self.weights)
        raise UsageError(
            f"{self.name} has no weights called '{name}'. Give one of {known}, 'random', or a file that exists."
        )


def checkpoint_folder() -> Path:
    """torch.hub's cache: ``$TORCH_HOME/hub/checkpoints``, by default below ``~/.cache/torch``."""
    return with_home(os.environ.get("TORCH_HOME") or cache_home() / "torch") / "hub" / "checkpoints"


@cache
def entries() -> dict[str, CatalogueEntry]:
    """Every torchvision network by name, in alphabetical order."""
    table = json.loads(Path(__file__).with_name("catalogue.json").read_text(encoding="utf-8"))["models"]
    return {name: _entry(name, facts) for name, facts in sorted(table.items())}


def _entry(name: str, facts: dict) -> CatalogueEntry:
    weights = tuple(
        PublishedWeights(
            model=name, name=label, **{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])}
        )
        for label, values in facts["weights"].items()
    )
    return CatalogueEntry(name, facts["min_size"], facts["fixed"], facts["best"], weights)


def names() -> list[str]:
    """All names that ``load_network`` takes, except ``auto``."""
    return sorted([*entries(), LENET])


def entry(name: str) -> CatalogueEntry:
    """The catalogue entry for ``name``; an unknown name is a UsageError that lists the nearest ones."""
    try:
        return entries()[name]
    except KeyError:
        raise unknown_model(name) from None


def unknown_model(name: str, others: Sequence[str] = ()) -> UsageError:
    """The error for an unknown name, with the nearest ones of the catalogue and of ``others``."""
    known = [*names(), *others]
    near = difflib.get_close_matches(name.lower().replace("-", "").replace("_", ""), known, n=3, cutoff=0.5)
    guess = f" Did you mean {' or '.join(near)}?" if near else ""
    return UsageError(f"There is no model called '{name}'.{guess}", remedy="list_models")


def is_embedded(name: str) -> bool:
    """Whether the weights of network ``name`` come with cnnviz."""
    return name == EMBEDDED
