"""A module that takes pixels: construction, device and type, precision, normalization."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from cnnviz.errors import ImageError, UsageError
from cnnviz.imaging.checks import require_pixels
from cnnviz.network import checks
from cnnviz.network.black_box import BlackBox
from cnnviz.network.body_graphs import BodyGraphs
from cnnviz.network.graph_check import GraphCheck
from cnnviz.network.normalization import Normalization
from cnnviz.network.running_module import Alteration, RunningModule
from cnnviz.network.spec import InputSpec, WeightsInfo
from cnnviz.runtime.cancellation import check_cancelled
from cnnviz.runtime.precision import conv_precision

if TYPE_CHECKING:
    from typing_extensions import Self

_AUTOCAST = {"fp32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class PixelNetwork:
    """A module that takes pixels (N, C, H, W) in [0, 1], which it normalizes: the part of ``Network`` that runs it.

    Args:
        module, name, spec, weights, precision, optimize, alterations, fast_conv: as for ``Network``.
        choose: from what the module returns to its logits.
        images_at_once: the only number of images that the module takes, as an exported program may; None for any.

    Attributes:
        images_at_once: the same; None also where ``optimize`` is set.
    """

    def __init__(
        self,
        module: nn.Module,
        name: str,
        spec: InputSpec,
        weights: WeightsInfo,
        *,
        precision: str,
        optimize: bool,
        alterations: Sequence[Alteration],
        fast_conv: bool | None,
        choose: Callable[[Any], Any],
        images_at_once: int | None,
    ) -> None:
        self.module, self.name, self.spec, self.weights = module, name, spec, weights
        self.precision, self.fast_conv = precision, fast_conv
        self.optimize = optimize or isinstance(module, BlackBox)  # which has nothing to share or to change
        self.alterations = tuple(alterations)
        self.images_at_once = None if self.optimize else images_at_once
        self._choose, self._normalization = choose, Normalization(spec)
        self._running = RunningModule(
            module,
            optimize=self.optimize,
            alterations=self.alterations,
            fast_conv=bool(fast_conv),
            images_at_once=self.images_at_once,
        )
        self._renew()

    def _renew(self) -> None:
        """Forget what was made from an earlier body."""
        self._graphs = self._new_graphs()
        if self.weights.sha256 is None:  # weights from files were checked when they were read
            checks.require_finite_weights(self._running.body, self.name)

    def _new_graphs(self) -> BodyGraphs:
        shape = (self.spec.channels, self.spec.size, self.spec.size)
        shortened = torch.bfloat16 if _AUTOCAST[self.precision] else None
        body = self._running.body
        check = GraphCheck(body, self._choose, type(self.module).__name__, self.autocast, shortened)
        return BodyGraphs(body, self._choose, self.name, shape, check, is_ours=not self._running.is_copy)

    def __getstate__(self) -> dict[str, Any]:
        """The attributes to pickle or copy, without what is made again from the module."""
        return {name: value for name, value in self.__dict__.items() if name != "_graphs"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._graphs = self._new_graphs()

    def _refresh(self) -> None:
        """Update the body where something in the module was replaced since the last call."""
        if self._running.refresh():
            self._renew()

    @property
    def body(self) -> nn.Module:
        """The module that runs: normalized input -> its outputs, in evaluation mode, no gradients of parameters."""
        self._refresh()
        return self._running.body

    @property
    def black_box(self) -> BlackBox | None:
        """The module, if it only gives scores, without layers and gradients; None for any other."""
        return self.module if isinstance(self.module, BlackBox) else None

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return self._running.like.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the parameters: float32, or another after ``network.to(dtype)``."""
        return self._running.like.dtype

    @property
    def pixel_dtype(self) -> torch.dtype:
        """The type of images that are optimized: float64 for a network in float64, float32 for any other."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    def to(self, *target: torch.device | torch.dtype | str) -> Self:
        """Move the network to a device or type, in place; returns itself.

        Your own module stays where it is: a copy of its weights moves, and is updated at each call.
        """
        self._running.to(*target)
        if self._running.is_copy:
            self._renew()
        else:
            self._graphs = self._new_graphs()
        return self

    def use_fast_conv(self, on: bool | None) -> None:
        """Compute 3×3 convolutions in fewer multiplications from now on, as with ``fast_conv``, or directly."""
        self.fast_conv = on
        self._running.use_fast_conv(bool(on))

    @property
    def fast_conv_bytes(self) -> int:
        """Bytes that weights take for convolutions in fewer multiplications, beside themselves; 0 where there are none.

        None are made where a network computes in other than fp32, on a GPU, or is the user's own module.
        """
        return self._running.fast_conv_bytes() if self.precision == "fp32" else 0

    @property
    def fast_conv_choice(self) -> bool | None:
        """``fast_conv``, or None where it makes no difference."""
        return self.fast_conv if self.fast_conv_bytes else None

    @property
    def derived_bytes(self) -> int:
        """Bytes that weights take in forms that are made for the first image."""
        return self.fast_conv_bytes if self.fast_conv else 0

    def blank_pixels(self, size: tuple[int, int] | None = None) -> Tensor:
        """Black pixels (N, C, H, W) of ``size`` (height, width), by default the network's own.

        One image, or as many as the module takes at a time.
        """
        count = self.images_at_once or 1
        return torch.zeros(count, self.spec.channels, *(size or (self.spec.size, self.spec.size)))

    def normalize(self, pixels: Tensor) -> Tensor:
        """Pixels (N, C, H, W) in [0, 1] -> the module's input, of the same shape, on its device and in its type.

        A network of one channel takes RGB, too, and sees its luma. Raises UsageError where they are no such tensor, and
        ImageError where the image is too small for the network, or not of the only size it takes.
        """
        pixels = require_pixels(pixels, self.spec.channels)
        self.require_size((pixels.shape[2], pixels.shape[3]))
        self._refresh()
        x = self._normalization(pixels.to(self.device, self.dtype))
        if self._running.is_copy:
            x = x.contiguous()  # which ``x.view(x.size(0), -1)`` in the module needs
        self._graphs.check(x)
        return x

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """The context in which convolutions run in this network's precision."""
        check_cancelled()
        lower, device = _AUTOCAST[self.precision], self.device
        with conv_precision(self.precision, device), torch.autocast(device.type, lower) if lower else nullcontext():
            try:
                yield
            except RuntimeError as error:
                wrong = checks.wrong_channels(error, self.name, self.spec.channels)
                if wrong is None:
                    raise
                raise wrong from error

    def require_count(self, count: int) -> None:
        """Raise UsageError where layers cannot be read for so many images at a time."""
        only = self.images_at_once
        if only not in (None, count):
            raise UsageError(
                f"{self.name} was exported for {only} image{'' if only == 1 else 's'} at a time, and this needs its "
                f"layers for {count}: export it for any number of images."
            )

    def require_size(self, size: tuple[int, int]) -> None:
        """Raise ImageError where the network does not take images of ``size`` (height, width)."""
        height, width = size
        side = self.spec.size
        if self.spec.fixed and (height, width) != (side, side):
            raise ImageError(f"{self.name} takes images of {side}×{side} pixels only, not {width}×{height}.")
        if min(height, width) < self.spec.min_size:
            raise ImageError(
                f"An image of {width}×{height} pixels is too small for {self.name}, "
                f"which needs sides of at least {self.spec.min_size}."
            )
