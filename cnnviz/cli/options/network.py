"""Which network, with which weights, and where it computes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cnnviz.cli.options.declaring import ADVANCED, NETWORK, option
from cnnviz.pipeline.config import NetworkConfig, NetworksConfig


def _networks(incomplete: str) -> list[str]:
    """Names of networks that start with ``incomplete``, for completion in the shell."""
    from cnnviz.network import catalogue

    return [name for name in catalogue.names() if name.startswith(incomplete)]


@dataclass
class NetworkOptions(NetworkConfig):
    """Which network, with which weights, and where it computes."""

    model: Annotated[
        str,
        option(
            "--model",
            "-m",
            env="MODEL",
            panel=NETWORK,
            help="Network: a torchvision name, 'auto', timm/NAME, hf-hub:ORG/NAME, local-dir:FOLDER, FILE.pt2, "
            "FILE.onnx, FILE.tflite, FILE.py:BUILD.",
            metavar="NAME|FILE",
            autocompletion=_networks,
        ),
    ] = NetworkConfig.model
    weights: Annotated[
        str | None,
        option(
            "--weights",
            "-w",
            env="WEIGHTS",
            panel=NETWORK,
            help="A torchvision weights name, 'random', or a file (.pth, .pt, .safetensors), which tells its model.",
            metavar="NAME|FILE|random",
        ),
    ] = NetworkConfig.weights
    labels: Annotated[
        Path | None,
        option("--labels", panel=NETWORK, help="File of class names: lines, CSV, JSON or YAML.", metavar="FILE"),
    ] = NetworkConfig.labels
    mean: Annotated[
        str | None,
        option("--mean", panel=NETWORK, help="Normalization your weights were trained with.", metavar="R,G,B"),
    ] = NetworkConfig.mean  # type: ignore[assignment]
    std: Annotated[
        str | None,
        option("--std", panel=NETWORK, help="Normalization your weights were trained with.", metavar="R,G,B"),
    ] = NetworkConfig.std  # type: ignore[assignment]
    input_range: Annotated[
        str | None,
        option(
            "--input-range",
            panel=NETWORK,
            help="Black and white as your network takes them, before --mean and --std.",
            metavar="LOW..HIGH",
            show_default="0..1",
        ),
    ] = NetworkConfig.input_range  # type: ignore[assignment]
    input_channels: Annotated[
        int | None,
        option(
            "--input-channels",
            panel=NETWORK,
            min=1,
            max=10_000,
            help="Channels of the images that your network takes, as of a satellite's bands.",
            show_default="as its weights say",
        ),
    ] = NetworkConfig.input_channels
    logits: Annotated[
        str | None,
        option(
            "--logits", panel=NETWORK, help="Which of several outputs of your network to explain.", metavar="NAME|INDEX"
        ),
    ] = NetworkConfig.logits
    activation: Annotated[
        str,
        option(
            "--activation",
            panel=NETWORK,
            help="What makes probabilities of logits; sigmoid: many labels at once, none: values as they are.",
            metavar="auto|softmax|sigmoid|none",
        ),
    ] = NetworkConfig.activation
    transform_input: Annotated[
        bool | None,
        option(
            "--transform-input/--no-transform-input",
            panel=NETWORK,
            help="Whether your googlenet or inception_v3 rescales its input, as torchvision's do.",
            show_default="yes; no with --mean, --std or --input-range",
        ),
    ] = NetworkConfig.transform_input
    weights_key: Annotated[
        str | None,
        option(
            "--weights-key",
            panel=ADVANCED,
            help="Which network in a weights file of several, by its key or prefix, as model_ema.",
            metavar="KEY",
        ),
    ] = NetworkConfig.weights_key
    head_activation: Annotated[
        str | None,
        option(
            "--head-activation",
            panel=ADVANCED,
            help="Activation in a weights file's own classifier: relu, gelu, silu, tanh, leaky_relu, none ….",
            metavar="NAME",
            show_default="relu",
        ),
    ] = NetworkConfig.head_activation
    device: Annotated[
        str,
        option(
            "--device",
            env="DEVICE",
            panel=NETWORK,
            help="Where it computes: auto, cpu, cuda or cuda:N.",
            metavar="DEVICE",
        ),
    ] = NetworkConfig.device
    precision: Annotated[
        str,
        option(
            "--precision",
            env="PRECISION",
            panel=NETWORK,
            help="Precision of the computation; tf32 and fp16 on GPUs only.",
            metavar="auto|fp32|tf32|bf16|fp16",
        ),
    ] = NetworkConfig.precision
    fast_conv: Annotated[
        bool | None,
        option(
            "--fast-conv/--no-fast-conv",
            env="FAST_CONV",
            panel=ADVANCED,
            help="3×3 convolutions in fewer multiplications on a CPU in fp32; they take four times the memory of their "
            "weights and differ by rounding.",
            show_default="for occlusion and paintings, where this machine gains",
        ),
    ] = NetworkConfig.fast_conv
    exec: Annotated[
        str | None,
        option(
            "--exec",
            panel=NETWORK,
            help="Instead of -m: a program that prints JSON of labels and scores. {frames}: a folder of PNG files; {}: "
            "one PNG file; -: PNG files on its standard input.",
            metavar="COMMAND",
        ),
    ] = NetworkConfig.exec
    exec_timeout: Annotated[
        float,
        option(
            "--exec-timeout",
            env="EXEC_TIMEOUT",
            panel=NETWORK,
            min=0,
            help="Seconds that a call of the program may take; 0: no limit.",
            metavar="SECONDS",
        ),
    ] = NetworkConfig.exec_timeout
    offline: Annotated[bool, option("--offline", env="OFFLINE", panel=NETWORK, help="Use no internet access.")] = (
        NetworkConfig.offline
    )
    trust: Annotated[
        bool,
        option("--trust", panel=NETWORK, help="Open FILE.py or FILE.pt2, whose code can do anything that you can."),
    ] = NetworkConfig.trust


@dataclass
class NetworksOptions(NetworkOptions, NetworksConfig):  # type: ignore[misc]
    """Several networks, with all other options in common."""

    model: Annotated[
        list[str] | None,
        option(
            "--model",
            "-m",
            env="MODEL",
            panel=NETWORK,
            help="Network: a torchvision name, 'auto', timm/NAME, hf-hub:ORG/NAME, local-dir:FOLDER, FILE.pt2, "
            "FILE.onnx, FILE.tflite, FILE.py:BUILD; may be given several times.",
            metavar="NAME|FILE",
            autocompletion=_networks,
            show_default="auto",
        ),
    ] = None  # type: ignore[assignment]
