"""The content of a recipe: the command and its parameters, the network, the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Union

from cnnviz import __version__

if TYPE_CHECKING:
    from cnnviz.network.network import Network
    from cnnviz.network.spec import InputSpec, WeightsInfo

UNFINISHED = "unfinished_at_step"
"""Key in the recipe of an image that an interrupted job left as it was."""

COMPANION, MAIN = "companion", "companion_of"
"""Keys in the recipe of an image that is written beside another: its own suffix, and the other's."""

LIKELIEST = "likeliest"
"""Key in a recipe's target where naming that class would give another result than naming none."""

SNAPSHOT = "snapshot"
"""Key in the recipe of an image that a job wrote on its way."""

NOT_IN_PARAMETERS = frozenset(
    {
        *("images", "files_from", "recursive", "output", "force", "skip_existing", "offline", "max_pixels"),
        *("exec_timeout", "json", "quiet", "verbose", "debug", "device", "store", "batch"),
        *("model", "style_model", "fast_conv", "seed", "target", "save_every", "gif"),
        *("engine", "jobs", "ray_address", "unordered", "shard"),
    }
)
"""Settings that a recipe leaves out of its parameters: where images come from and go to, how the run is reported, and
what the recipe has under a key of its own."""


@dataclass(frozen=True)
class NetworkInfo:
    """The facts about a network that results and recipes contain; ``Network`` has attributes of the same names."""

    name: str
    weights: WeightsInfo
    spec: InputSpec
    precision: str
    fast_conv_choice: bool | None
    classes: int


AnyNetwork = Union["Network", NetworkInfo]
"""A network, or what a worker reports of the one it holds."""


@dataclass(frozen=True)
class Provenance:
    """The command that is run, and those of its parameters that differ from their defaults, as JSON can hold them."""

    command: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


def portable(value: Any) -> Any:
    """A parameter's value as JSON can hold it; files as they were named."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [portable(item) for item in value]
    return value if isinstance(value, int | float) or value is None else str(value)


def recipe_of(provenance: Provenance, network: AnyNetwork, names: Sequence[str], seed: int) -> dict[str, Any]:
    """What made a result: a command with its parameters, the network, and the images as they were named."""
    from cnnviz.network.assumptions import assumed_values

    return {
        "command": provenance.command,
        "version": __version__,
        "inputs": list(names),
        "model": network.name,
        "weights": network.weights.label,
        "weights_sha256": network.weights.sha256,
        **({"code_sha256": network.weights.code_sha256} if network.weights.code_sha256 else {}),
        **({"assumed": assumed_values(network.spec)} if network.spec.assumed else {}),
        **network.weights.checkpoint_facts,
        **({"precision": network.precision} if network.precision != "fp32" else {}),
        **({} if network.fast_conv_choice is None else {"fast_conv": network.fast_conv_choice}),
        "seed": seed,
        "parameters": dict(provenance.parameters),
    }
