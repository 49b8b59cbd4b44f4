"""The graphs of the module that a network runs, traced by the first way that computes what the module does."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import torch
from torch import Size, Tensor, fx, nn

from cnnviz.errors import ModelError
from cnnviz.network.architecture_detection import Architecture, find_architecture
from cnnviz.network.black_box import BlackBox
from cnnviz.network.cut_graphs import CutGraphs
from cnnviz.network.export_trace import FollowsValuesError, trace_by_export, trace_exported
from cnnviz.network.exported import FixedBatch, is_exported
from cnnviz.network.graph import trace
from cnnviz.network.graph_check import GraphCheck, InputNotTakenError, first_line, proves_little
from cnnviz.network.hooked import trace_by_hooks
from cnnviz.network.module_copy import copy_module
from cnnviz.runtime.memory import is_out_of_memory

WAYS = ("fx", "export", "hooks")
"""torch.fx; torch.export; the module's own calls of submodules, recorded by hooks."""


_COMPILED = ModelError(
    "The layers of a TorchScript module cannot be read, since it is compiled: predictions, gradients and occlusion "
    "work on it; for its layers, give the torch.nn.Module that it was made from."
)


class BodyGraphs:
    """The graphs of ``body``, kept until the body changes.

    A graph is compared with the body on the first input of each size; where they differ, the next of ``WAYS`` is taken
    for all inputs.

    Args:
        body: normalized input -> outputs.
        choose: from what the body returns to its logits, see ``outputs.OutputChoice``.
        name: the architecture's name.
        input_shape: channels, height and width of the input that shapes are computed for.
        check: compares graphs with the body.
        is_ours: whether torch.fx is known to be right, and may change ``body`` itself, otherwise a copy of it.
    """

    def __init__(
        self,
        body: nn.Module,
        choose: Callable[[Any], Any],
        name: str,
        input_shape: tuple[int, int, int],
        check: GraphCheck,
        is_ours: bool = False,
    ) -> None:
        self._count = body.count if isinstance(body, FixedBatch) else None
        self._body = body.module if isinstance(body, FixedBatch) else body
        self._choose, self._name = choose, name
        self._input_shape, self._check, self._is_ours = input_shape, check, is_ours
        self._made: list[CutGraphs] = []
        self._reasons: list[str] = []
        """Why each way that was tried could not be taken."""
        self._failure: ModelError | None = _COMPILED if isinstance(body, torch.jit.ScriptModule) else None
        self._seen: tuple[Size, weakref.ref[Tensor]] | None = None
        self._lock = threading.RLock()
        self._here = threading.local()

    @property
    def is_traced(self) -> bool:
        """Whether there is a graph of operations."""
        return bool(self._made) and self._way != "hooks"

    @property
    def traced_by(self) -> str:
        """The way by which the graph was made, one of ``WAYS``; ModelError where there is none."""
        assert self.current
        return "export" if is_exported(self._body) else self._way

    @property
    def why_not_traced(self) -> str:
        """Why the ways before the one that was taken were not."""
        return "; ".join(self._reasons)

    @property
    def current(self) -> CutGraphs:
        """The graph for images of the size that this thread last gave to ``check``.

        Raises ModelError where none computes what the body does.
        """
        if isinstance(self._body, BlackBox):
            raise ModelError(f"{self._name} only gives scores: it has no layers to look into.", remedy="scores_only")
        shape = getattr(self._here, "shape", None)
        found = self._for(shape or Size((1, *self._input_shape)))
        return found or self._settled(*self._example(shape))

    def check(self, x: Tensor) -> None:
        """Compare graph and body on a normalized input of a new size, now or once there is a graph."""
        self._here.shape = x.shape
        if not self._made:
            self._seen = x.shape, weakref.ref(x)
            return
        found = self._for(x.shape)
        if (found is None or not self._is_known(found, x)) and self._failure is None:
            try:
                self._settled(x)
            except InputNotTakenError:
                raise
            except ModelError:  # predictions and gradients need no graph; what does will say so
                return

    @property
    def _way(self) -> str:
        return WAYS[min(len(self._reasons), len(WAYS) - 1)]

    def _for(self, shape: Size) -> CutGraphs | None:
        return next((made for made in self._made if made.is_for(shape)), None)

    def _example(self, shape: Size | None) -> tuple[Tensor, bool]:
        """The last input given before there was a graph or, if it is gone, noise of its size; and whether it is noise.

        Once there are graphs, noise of ``shape``.
        """
        default = Size((self._count or 1, *self._input_shape))
        if self._made or self._seen is None:
            return self._check.noise(shape or default), True
        seen, reference = self._seen
        x = reference()
        return (self._check.noise(seen), True) if x is None or x.is_meta else (x, False)

    def _settled(self, x: Tensor, is_noise: bool = False) -> CutGraphs:
        """The graph that computes what the body does for ``x``; ModelError where no way gives one."""
        with self._lock:
            found = self._for(x.shape)
            reason = self._difference(found, x) if found else None
            if found and reason is None:
                return found
            while self._failure is None:
                for attempt in self._attempts():
                    try:
                        made = attempt(x)
                    except FollowsValuesError as error:
                        reason = str(error)
                        break
                    except ModelError as error:
                        reason = str(error)
                        continue
                    try:
                        reason = self._difference(made, x)
                    except InputNotTakenError:
                        if not is_noise or self._way != "fx":  # noise of a size that nobody gave proves nothing
                            raise
                    if reason is None:
                        self._made.insert(0, made)
                        return made
                self._next_way(reason or "")
            raise self._failure

    def _next_way(self, reason: str) -> None:
        self._made = []
        self._reasons.append(reason)
        if len(self._reasons) == len(WAYS):
            self._failure = ModelError(f"The layers of {self._check.name} cannot be read: {self.why_not_traced}.")

    def _attempts(self) -> list[Callable[[Tensor], CutGraphs]]:
        """Functions that make further graphs by the present way of tracing."""
        if self._way != "fx" and is_exported(self._body):
            return []
        if self._way == "export":
            ways = [(True, False), (False, False), (True, True), (False, True)]  # any size, strict
            return [partial(self._by_export, *way) for way in ways if not (self._made and way[0])]
        return [] if self._made else [{"fx": self._by_fx, "hooks": self._by_hooks}[self._way]]

    def _by_fx(self, x: Tensor) -> CutGraphs:
        body = self._body if self._is_ours else copy_module(self._body)
        return self._cut(trace_exported(body, self._choose) if is_exported(body) else trace(body, self._choose))

    def _by_export(self, any_size: bool, strict: bool, x: Tensor) -> CutGraphs:
        if self._check.writes_to_weights(x):
            raise FollowsValuesError("each pass changes its weights")
        graph = trace_by_export(copy_module(self._body), self._choose, x, any_size=any_size, strict=strict)
        return self._cut(graph, None if any_size else (x.shape[2], x.shape[3]))

    def _by_hooks(self, x: Tensor) -> CutGraphs:
        try:
            with self._check.autocast():
                return self._cut(trace_by_hooks(copy_module(self._body), self._choose, x[:1].detach()))
        except Exception as error:  # user code may raise anything
            if is_out_of_memory(error):
                raise
            raise ModelError(f"hooks on its modules do not work: {first_line(error)}") from error

    def _cut(self, graph: fx.GraphModule, size: tuple[int, int] | None = None) -> CutGraphs:
        return CutGraphs(graph, self._name, self._architecture, self._input_shape, size)

    @cached_property
    def _architecture(self) -> Architecture:
        return find_architecture(self._name, self._body)

    def _is_known(self, made: CutGraphs, x: Tensor) -> bool:
        return x.is_meta or x.shape[1:] in made.agreed or (self._is_ours and self._way == "fx")

    def _difference(self, made: CutGraphs, x: Tensor) -> str | None:
        """Why a graph is not the body's on ``x``; None if it is."""
        if self._is_known(made, x):
            return None
        reason = self._check.difference(made.whole, x, with_gradients=self._way == "export")
        if reason is None and not proves_little(x):
            made.agreed.add(x.shape[1:])
        return reason
