"""``net.tflite``: a network that LiteRT (TensorFlow Lite) computes, on the CPU, quantized or not."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cnnviz.errors import ModelError, listed, shortened
from cnnviz.network.sources.array_network import ArrayInput, Quantization, Run, array_network
from cnnviz.network.sources.request import LoadedModel, Request

_LARGEST_LABELS = 1 << 20
"""Bytes of the file of class names in a network's file."""


def load(request: Request) -> LoadedModel:
    """The network of a TFLite file; ModelError where it is none, or does not take one batch of images."""
    path = Path(request.model)
    return array_network(request, _input_of(_interpreter(path), path), _opened, _labels_in(path))


def _interpreter(path: Path) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(path), num_threads=torch.get_num_threads())
        interpreter.allocate_tensors()
    except Exception as error:  # ValueError or RuntimeError, by what is wrong
        why = shortened(" ".join(str(error).split()), 200)
        raise ModelError(f"'{path}' cannot be read as a TFLite network: {why}.") from error
    return interpreter


def _opened(path: Path) -> Run:
    interpreter = _interpreter(path)
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()

    def run(images: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        if tuple(interpreter.get_input_details()[0]["shape"]) != images.shape:
            interpreter.resize_tensor_input(taken["index"], images.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(taken["index"], images)
        interpreter.invoke()
        return {each["name"]: _real(interpreter.get_tensor(each["index"]), each) for each in given}

    return run


def _real(values: NDArray[Any], details: Mapping[str, Any]) -> NDArray[Any]:
    quantization = _quantization(details)
    return quantization.decoded(values) if quantization and values.dtype.kind in "iu" else values


def _quantization(details: Mapping[str, Any]) -> Quantization | None:
    scale, zero_point = details["quantization"]
    return Quantization(float(scale), int(zero_point)) if scale else None


def _input_of(interpreter: Any, path: Path) -> ArrayInput:
    taken = interpreter.get_input_details()
    if len(taken) != 1 or len(taken[0]["shape"]) != 4 or np.dtype(taken[0]["dtype"]).kind not in "fiu":
        found = [f"{each['name']} {np.dtype(each['dtype'])} {each['shape'].tolist()}" for each in taken]
        raise ModelError(f"'{path}' takes {listed(found) or 'nothing'}, not one batch of images (N, H, W, C).")
    shape = tuple(int(size) if size > 0 else None for size in taken[0]["shape_signature"])
    return ArrayInput(shape, np.dtype(taken[0]["dtype"]), _quantization(taken[0]), is_channels_last=True)


def _labels_in(path: Path) -> list[str] | None:
    """Class names in the text file that TFLite's metadata append to the network, a line each."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info for info in archive.infolist() if info.filename.endswith(".txt")]
            if not names or names[0].file_size > _LARGEST_LABELS:
                return None
            with archive.open(names[0]) as file:
                text = file.read(_LARGEST_LABELS).decode()
    except (zipfile.BadZipFile, OSError, UnicodeDecodeError, NotImplementedError, RuntimeError):
        return None
    return [line.strip() for line in text.splitlines() if line.strip()] or None
