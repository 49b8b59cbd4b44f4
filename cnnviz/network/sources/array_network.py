"""Networks that another runtime computes (ONNX, TFLite): arrays in, arrays out, in the layout and type they have."""

from __future__ import annotations

import ast
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cnnviz.errors import ImageError, ModelError, Remark, UsageError, shortened
from cnnviz.network.black_box import BlackBox
from cnnviz.network.hashing import sha256
from cnnviz.network.sources.request import LoadedModel, Request
from cnnviz.network.spec import InputSpec, WeightsInfo, given_spec

Run = Callable[[NDArray[Any]], Mapping[str, NDArray[Any]]]
"""An input array -> the output arrays by their names."""

_BATCH = 16
_USUAL_CHANNELS = (1, 3, 4)
_USUAL_RANGES = ((0, 1), (-1, 1), (0, 255), (-128, 127))
_NEAR = 0.02
"""How far a quantized range may be from a usual one, as a fraction of its width."""


@dataclass(frozen=True)
class Quantization:
    """How whole numbers q stand for real ones: ``scale * (q - zero_point)``."""

    scale: float
    zero_point: int

    def encoded(self, values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Real numbers as the nearest whole ones of the type."""
        limits = np.iinfo(dtype)
        return (values / self.scale + self.zero_point).round().clip(limits.min, limits.max).astype(dtype)

    def decoded(self, values: NDArray[Any]) -> NDArray[Any]:
        """The real numbers that whole ones stand for."""
        return (values.astype(np.float32) - self.zero_point) * np.float32(self.scale)

    def range_of(self, dtype: np.dtype[Any]) -> tuple[float, float]:
        """The real numbers that the smallest and the largest whole number of the type stand for."""
        limits = np.iinfo(dtype)
        return self.scale * (limits.min - self.zero_point), self.scale * (limits.max - self.zero_point)


@dataclass(frozen=True)
class ArrayInput:
    """The input array of a network.

    Args:
        shape: its four sizes; None for those that may vary.
        dtype: its type.
        quantization: of whole numbers, if it is known.
        is_channels_last: whether it is (N, H, W, C), where the shape does not tell.
    """

    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]
    quantization: Quantization | None = None
    is_channels_last: bool = False

    @property
    def channels_last(self) -> bool:
        """Whether it is (N, H, W, C) and not (N, C, H, W)."""
        first, last = (self.shape[place] in _USUAL_CHANNELS for place in (1, 3))
        return last if first != last else self.is_channels_last

    @property
    def channels(self) -> int:
        """The number of channels; 3 where it may vary."""
        return (self.shape[3] if self.channels_last else self.shape[1]) or 3

    @property
    def size(self) -> tuple[int | None, int | None]:
        """Height and width; None where they may vary."""
        return (self.shape[1], self.shape[2]) if self.channels_last else (self.shape[2], self.shape[3])

    @property
    def batch(self) -> int | None:
        """The only number of images that it takes at a time; None where that may vary."""
        return self.shape[0]

    @property
    def known_range(self) -> tuple[float, float] | None:
        """What black and white are, where whole numbers tell: one of the usual ranges, or None."""
        if self.dtype.kind not in "iu":
            return None
        found = (self.quantization or Quantization(1.0, 0)).range_of(self.dtype)
        for low, high in _USUAL_RANGES:
            if max(abs(found[0] - low), abs(found[1] - high)) <= _NEAR * (high - low):
                return found
        return None

    def encoded(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Normalized images (N, C, H, W) as the array that the network takes."""
        array = np.ascontiguousarray(images.transpose(0, 2, 3, 1)) if self.channels_last else images
        if self.dtype.kind in "iu":
            return (self.quantization or Quantization(1.0, 0)).encoded(array, self.dtype)
        return array.astype(self.dtype, copy=False)


class ArrayNetwork(BlackBox):
    """A network in a file that another runtime computes: normalized images (N, C, H, W) -> scores (N, classes).

    Of several outputs all are returned, by their names.

    Args:
        path: the file.
        taken: its input.
        run: computes it.
        open_again: a function that opens the file for ``run`` again, in another process.
    """

    def __init__(self, path: Path, taken: ArrayInput, run: Run, open_again: Callable[[Path], Run]) -> None:
        super().__init__()
        self.path, self.taken, self._open = path.resolve(), taken, open_again
        self.most_per_call = taken.batch or _BATCH
        self._run, self._lock = run, threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_run", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._run, self._lock = self._open(self.path), threading.Lock()

    def allow(self, calls: int) -> None:
        """One call at a time: the runtime has threads of its own."""

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:  # type: ignore[override]
        images = x.detach().float().cpu().numpy()
        parts = [
            self._outputs(images[at : at + self.most_per_call]) for at in range(0, len(images), self.most_per_call)
        ]
        found = {name: torch.from_numpy(np.concatenate([part[name] for part in parts])).to(x) for name in parts[0]}
        return found if len(found) > 1 else next(iter(found.values()))

    def _outputs(self, images: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        count, batch = len(images), self.taken.batch or len(images)
        if count < batch:  # of a fixed batch the rest is filled
            images = np.concatenate([images, np.repeat(images[-1:], batch - count, axis=0)])
        try:
            with self._lock:
                found = self._run(self.taken.encoded(images))
        except Exception as error:  # runtimes raise whatever they like
            height, width = images.shape[2:]
            why = shortened(next(iter(str(error).strip().splitlines()), type(error).__name__), 200)
            raise ImageError(f"{self.path.name} fails on an image of {width}×{height} pixels: {why}.") from error
        arrays = {name: value for name, value in found.items() if isinstance(value, np.ndarray)}
        if not arrays:
            raise ModelError(f"{self.path.name} gives no array of scores.")
        return {name: _flat(value[:count]) for name, value in arrays.items()}


def _flat(value: NDArray[Any]) -> NDArray[Any]:
    """(N, classes) of an array whose other axes have length 1; any other as it is."""
    return value.reshape(len(value), -1) if value.ndim > 2 and max(value.shape[1:]) == value[0].size else value


def array_network(
    request: Request,
    taken: ArrayInput,
    open_file: Callable[[Path], Run],
    labels: Sequence[str] | None,
) -> LoadedModel:
    """The network of a file, with what the file tells of its input, its output and its classes.

    Scores that are probabilities already, as far as an image of noise shows, are left as they are. Raises
    UsageError for other weights, and ModelError for an input that is no image.
    """
    path = Path(request.model)
    if request.weights is not None:
        raise UsageError(f"'{path}' brings its own weights.")
    spec = _spec(path, taken)
    module = ArrayNetwork(path, taken, open_file(path), open_file)
    info = WeightsInfo(path.name, sha256(path))
    arguments: dict[str, Any] = {"spec": spec, **({"labels": tuple(labels)} if labels else {})}
    if _gives_probabilities(module, spec):
        arguments["activation"] = "none"
        said = f"{path.name} gives probabilities, which are shown as they are: its scores are in [0, 1] and sum to 1."
        info = replace(info, remark=Remark(said, remedy="inner_softmax"))
    return LoadedModel(module, info, arguments)


def _spec(path: Path, taken: ArrayInput) -> InputSpec:
    height, width = taken.size
    if height != width and height is not None and width is not None:
        raise ModelError(f"'{path}' takes images of {width}×{height} pixels only, which are no squares.")
    side = height or width
    spec = given_spec(channels=taken.channels, size=side, input_range=taken.known_range)
    return replace(spec, fixed=height is not None and width is not None)


@torch.no_grad()
def _gives_probabilities(module: ArrayNetwork, spec: InputSpec) -> bool:
    """Whether all its outputs look as if they came out of a softmax."""
    noise = torch.randn(1, spec.channels, spec.size, spec.size, generator=torch.Generator().manual_seed(0))
    try:
        found = module(noise)
    except ImageError:  # perhaps it takes other sizes: the first image will tell
        if spec.fixed:
            raise
        return False
    outputs = list(found.values()) if isinstance(found, dict) else [found]
    return all(map(_are_probabilities, outputs))


def _are_probabilities(scores: Tensor) -> bool:
    """Whether scores (1, classes) are at least 0 and sum to 1; quantized ones, nearly."""
    is_row = scores.ndim == 2 and scores.shape[1] > 1
    return is_row and float(scores.min()) >= 0 and abs(float(scores.sum()) - 1) < _NEAR


def labels_of_text(text: str) -> list[str] | None:
    """Class names in a text: JSON or a Python literal, a list or a dict from index to name; None if it is neither."""
    found: Any = None
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(text)
            break
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    if isinstance(found, dict):
        by_index = {str(index): name for index, name in found.items()}
        found = [by_index.get(str(place)) for place in range(len(by_index))]
    if isinstance(found, list) and found and all(isinstance(name, str) for name in found):
        return [name for name in found if isinstance(name, str)]
    return None
