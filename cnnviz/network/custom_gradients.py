"""Traces the user's own ``torch.autograd.Function`` as one operation, with the gradient it defines.

torch.fx would trace through its forward pass, and lose its gradient.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import fx
from torch.autograd.function import FunctionCtx


@contextmanager
def as_single_nodes() -> Iterator[None]:
    """A context in which every application of such a function to traced values becomes one node."""
    with ExitStack() as stack:
        for kind in _descendants(torch.autograd.Function):
            if kind.__module__.partition(".")[0] not in {"torch", "cnnviz"}:
                stack.enter_context(_replaced(kind))
        yield


def _descendants(kind: type) -> list[Any]:
    found: list[Any] = kind.__subclasses__()
    return found + [each for child in found for each in _descendants(child)]


@contextmanager
def _replaced(kind: Any) -> Iterator[None]:
    """A context in which the forward pass of ``kind`` makes a node where its arguments are torch.fx proxies.

    ``forward`` is replaced and not ``apply``, which user code may have stored before.
    """
    forward, is_own = kind.forward, vars(kind).get("forward")

    def traced(*args: Any, **kwargs: Any) -> Any:
        found: list[Any] = []
        fx.node.map_aggregate((args, kwargs), lambda each: found.append(each) if isinstance(each, fx.Proxy) else None)
        if not found:
            return forward(*args, **kwargs)
        operands = args[1:] if isinstance(args[0], FunctionCtx) else args
        return found[0].tracer.create_proxy("call_function", _application(kind), operands, kwargs)

    kind.forward = staticmethod(traced)
    try:
        yield
    finally:
        del kind.forward
        if is_own is not None:
            kind.forward = is_own


@functools.lru_cache(maxsize=64)
def _application(kind: Any) -> Callable[..., Any]:
    def application(*args: Any, **kwargs: Any) -> Any:
        return kind.apply(*args, **kwargs)

    application.__name__, application.__module__ = kind.__name__, kind.__module__
    return application
