"""``net.onnx``: a network that ONNX Runtime computes, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cnnviz.errors import ModelError, listed, shortened
from cnnviz.network.sources.array_network import ArrayInput, Run, array_network, labels_of_text
from cnnviz.network.sources.request import LoadedModel, Request

_TYPES = {
    "tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64",
    "tensor(uint8)": "uint8", "tensor(int8)": "int8",
}  # fmt: skip
"""Types of inputs, as ONNX Runtime calls them, that images can have."""

_LABELS = ("names", "labels", "classes", "class_names", "id2label")
"""Keys of metadata under which class names are found: Ultralytics' exports, Hugging Face's, and others'."""

_ERRORS_ONLY = 3


def load(request: Request) -> LoadedModel:
    """The network of an ONNX file; ModelError where it is none, or does not take one batch of images."""
    path = Path(request.model)
    session = _session(path)
    return array_network(request, _input_of(session, path), _opened, _labels_of(session))


def _opened(path: Path) -> Run:
    session = _session(path)
    names = [output.name for output in session.get_outputs()]
    taken = session.get_inputs()[0].name

    def run(images: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        return dict(zip(names, session.run(None, {taken: images}), strict=True))

    return run


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # one of a dozen classes without a common one
        why = shortened(" ".join(str(error).split()), 200)
        raise ModelError(f"'{path}' cannot be read as an ONNX network: {why}.") from error


def _input_of(session: Any, path: Path) -> ArrayInput:
    taken = session.get_inputs()
    if len(taken) != 1 or len(taken[0].shape) != 4 or taken[0].type not in _TYPES:
        found = [f"{each.name} {each.type} {each.shape}" for each in taken]
        raise ModelError(f"'{path}' takes {listed(found) or 'nothing'}, not one batch of images (N, C, H, W).")
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in taken[0].shape)
    return ArrayInput(shape, np.dtype(_TYPES[taken[0].type]))


def _labels_of(session: Any) -> list[str] | None:
    known = session.get_modelmeta().custom_metadata_map
    return next((names for key in _LABELS if (names := labels_of_text(known.get(key, "")))), None)
