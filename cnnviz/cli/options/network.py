"""Which network, with which weights, where it computes, and which of its classes is meant."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnnviz.cli.hints import message_with_hint
from cnnviz.cli.options.declaring import NETWORK, numbers, option
from cnnviz.errors import UsageError

if TYPE_CHECKING:
    from cnnviz.network.network import Network
    from cnnviz.runtime.precision import Workload


def _networks(incomplete: str) -> list[str]:
    """For the shell to complete: the networks whose names begin so."""
    from cnnviz.network import catalogue

    return [name for name in catalogue.names() if name.startswith(incomplete)]


@dataclass
class NetworkOptions:
    """Which network, with which weights, and where it computes."""

    model: Annotated[
        str,
        option(
            "--model",
            "-m",
            env="MODEL",
            panel=NETWORK,
            help="Network, by its torchvision name, or 'auto'.",
            autocompletion=_networks,
        ),
    ] = "auto"
    weights: Annotated[
        str | None,
        option(
            "--weights",
            "-w",
            env="WEIGHTS",
            panel=NETWORK,
            help="A torchvision weights name, a file (.pth, .pt, .safetensors), or 'random'.",
        ),
    ] = None
    labels: Annotated[
        Path | None,
        option("--labels", panel=NETWORK, help="File of class names, one per line, or JSON.", metavar="FILE"),
    ] = None
    mean: Annotated[
        str | None,
        option("--mean", panel=NETWORK, help="Normalisation your weights were trained with.", metavar="R,G,B"),
    ] = None
    std: Annotated[
        str | None,
        option("--std", panel=NETWORK, help="Normalisation your weights were trained with.", metavar="R,G,B"),
    ] = None
    transform_input: Annotated[
        bool | None,
        option(
            "--transform-input/--no-transform-input",
            panel=NETWORK,
            help="Whether your googlenet or inception_v3 rescales its input, as torchvision's published ones do.",
            show_default="yes; no with --mean or --std",
        ),
    ] = None
    device: Annotated[str, option("--device", env="DEVICE", panel=NETWORK, help="auto, cpu, cuda or cuda:N.")] = "auto"
    precision: Annotated[
        str, option("--precision", env="PRECISION", panel=NETWORK, help="auto, fp32, tf32, bf16 or fp16.")
    ] = "auto"
    offline: Annotated[bool, option("--offline", env="OFFLINE", panel=NETWORK, help="Never touch the network.")] = False

    def load(self, name: str, seed: int, *, progress: bool) -> Network:
        """The network these options describe, under the name that ``auto`` came down to."""
        from cnnviz.cli.command import current
        from cnnviz.network.loading import load_network

        return load_network(
            name,
            weights=self.weights,
            labels=self.labels,
            device=self.device,
            precision=self.precision,
            mean=numbers(self.mean, "--mean"),
            std=numbers(self.std, "--std"),
            transform_input=self.transform_input,
            workload=WORKLOADS.get(current.command, "exact"),
            seed=seed,
            progress=progress,
        )

    def prepare(self) -> None:
        """Let nothing be fetched from here on, if that is wanted."""
        if self.offline:
            os.environ["CNNVIZ_OFFLINE"] = "1"

    def choose(self, technique: str) -> tuple[str, str | None]:
        """The model's name, and a remark for the user where ``auto`` had to settle for something."""
        from cnnviz.network import catalogue
        from cnnviz.network.default_model import choose_model

        self.prepare()
        if self.model != "auto":
            if self.model not in catalogue.names():
                raise catalogue.unknown_model(self.model)
            return self.model, None
        if self.weights is not None:
            raise UsageError("Weights belong to a model: name it too.", remedy="model_of_weights")
        choice = choose_model(technique)
        return choice.name, choice.remark and message_with_hint(choice.remark)


@dataclass
class NetworksOptions(NetworkOptions):
    """Several networks, with all other options in common."""

    model: Annotated[
        list[str] | None,
        option(
            "--model",
            "-m",
            env="MODEL",
            panel=NETWORK,
            help="Network, by its torchvision name, or 'auto'; may be given several times.",
            autocompletion=_networks,
            show_default="auto",
        ),
    ] = None  # type: ignore[assignment]

    def each(self) -> list[NetworkOptions]:
        """The options of each network named, once each, in their order."""
        common = {f.name: getattr(self, f.name) for f in fields(NetworkOptions) if f.name != "model"}
        return [NetworkOptions(model=name, **common) for name in dict.fromkeys(self.model or ["auto"])]


WORKLOADS: dict[str, Workload] = {
    **dict.fromkeys(("occlusion", "embed", "neighbors", "patches"), "forward"),
    **dict.fromkeys(("style", "texture", "dream", "visualize", "invert"), "synthesis"),
}
"""What the commands use a network for, which decides what precision ``auto`` is; the others are ``exact``."""

TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        "-t",
        help="Class to explain: index, name, or part of a name (default: the likeliest).",
        metavar="CLASS",
    ),
]
