"""Which networks there are, what weights are published for them, and where those lie on this machine.

Reads a table written ahead by tools/update_catalogue.py: importing torchvision to list its models would take
longer than most commands.
"""

from __future__ import annotations

import difflib
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cnnviz.errors import UsageError

EMBEDDED = "squeezenet1_1"
LENET = "lenet5"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

BUNDLED = Path(__file__).parent / "bundled"
EMBEDDED_FILE = BUNDLED / "squeezenet1_1.safetensors"


@dataclass(frozen=True)
class PublishedWeights:
    """One set of weights that torchvision publishes.

    The file's name ends in the first hexadecimal digits of its SHA-256; ``crop`` and ``resize`` are the square crop
    and the shorter side before it (pixels) that the published accuracy was measured with, ``interpolation`` how the
    picture was resized (``bilinear`` or ``bicubic``).
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
        return self.url.rsplit("/", 1)[1]

    @property
    def part(self) -> str:
        """The submodule that has values; empty, which is all, but for those published for their features only."""
        return "features" if self.name.endswith("_FEATURES") else ""

    @property
    def path(self) -> Path:
        """Where torch.hub keeps this file once it is downloaded."""
        return checkpoint_folder() / self.file

    @property
    def hash_prefix(self) -> str:
        return self.file.rsplit(".", 1)[0].rsplit("-", 1)[1]


@dataclass(frozen=True)
class Entry:
    """One network: its published weights, best known first, and the smallest picture side it takes (pixels).

    ``best`` names the weights that torchvision calls ``DEFAULT``.
    """

    name: str
    min_size: int
    best: str
    weights: tuple[PublishedWeights, ...]

    @property
    def default(self) -> PublishedWeights:
        """The first weights published: those that the papers' figures and most later studies were made with.

        torchvision's own ``DEFAULT`` is the most accurate one, mostly of a longer training recipe.
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
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    torch_home = Path(os.environ.get("TORCH_HOME") or cache_home / "torch")
    return torch_home.expanduser() / "hub" / "checkpoints"


@cache
def entries() -> dict[str, Entry]:
    """Every torchvision network known, by name, in alphabetical order."""
    table = json.loads(Path(__file__).with_name("catalogue.json").read_text(encoding="utf-8"))["models"]
    return {name: _entry(name, facts) for name, facts in sorted(table.items())}


def _entry(name: str, facts: dict) -> Entry:
    weights = tuple(
        PublishedWeights(
            model=name, name=label, **{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])}
        )
        for label, values in facts["weights"].items()
    )
    return Entry(name, facts["min_size"], facts["best"], weights)


def names() -> list[str]:
    """All names that ``load_network`` takes, but for ``auto``."""
    return sorted([*entries(), LENET])


def entry(name: str) -> Entry:
    """The catalogue entry for ``name``; an unknown name is a UsageError that lists the nearest ones."""
    try:
        return entries()[name]
    except KeyError:
        raise unknown_model(name) from None


def unknown_model(name: str) -> UsageError:
    near = difflib.get_close_matches(name.lower().replace("-", "").replace("_", ""), names(), n=3, cutoff=0.5)
    guess = f" Did you mean {' or '.join(near)}?" if near else ""
    return UsageError(f"There is no model called '{name}'.{guess}", remedy="list_models")


def is_embedded(name: str) -> bool:
    return name == EMBEDDED
