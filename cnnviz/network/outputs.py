"""Which of a module's outputs are the logits: chosen by name, index or a function, and described where none is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, fx

from cnnviz.errors import CnnvizError, ModelError, UsageError, listed, shortened

Output = str | int | Callable[[Any], Any] | None
"""Which output of a module are the logits: a key of its dict, an attribute, an index of its tuple, a function of all
that it returns, or None for the only one. Dots lead further in: ``heads.color``, ``1.0``."""

_MISSING = object()
_SHOWN = 8  # outputs that a message lists


@dataclasses.dataclass(frozen=True)
class OutputChoice:
    """A function from what a module returns to its logits, for tensors and for traced values alike.

    Without ``which``, a single tensor in a tuple, list, dict or dataclass is taken, and several are left as they are.

    Args:
        which: the output that was chosen.
        name: what messages call the network.

    Raises:
        UsageError: ``which`` is no choice, or there is no such output; the message lists those there are.
        ModelError: the function raises an exception.
    """

    which: Output
    name: str

    def __post_init__(self) -> None:
        if isinstance(self.which, bool) or not (isinstance(self.which, str | int | None) or callable(self.which)):
            raise UsageError(f"An output is chosen by its name, its index or a function, not by {self.which!r}.")

    def __call__(self, output: Any) -> Any:
        if self.which is None:
            return _only(output)
        if callable(self.which):
            return self._computed(output)
        if isinstance(output, fx.Proxy):
            return output[self.which]  # type: ignore[index]
        found = _found(output, self.which)
        if found is _MISSING:
            raise self._unknown(output)
        return _only(found)

    def _computed(self, output: Any) -> Any:
        assert callable(self.which)
        try:
            return self.which(output)
        except CnnvizError:
            raise
        except Exception as error:  # whatever a user's function raises
            what = f"{type(error).__name__}: {shortened(str(error), 200)}"
            raise ModelError(
                f"The function that chooses among the outputs of {self.name} raises {what}; "
                f"it is given {describe_output(output)}."
            ) from error

    def _unknown(self, output: Any) -> UsageError:
        there = f"it gives {describe_output(output)}" if parts_in_words(output) else "it gives a single tensor"
        return UsageError(f"There is no output {self.which!r} of {self.name}: {there}.")


def _only(output: Any) -> Any:
    """The single value of a tuple, list, dict or dataclass, however deep; anything else as it is."""
    values = [value for _, value in _leaves(output) if value is not None]
    return values[0] if len(values) == 1 else output


def _named_parts(output: Any) -> Iterator[tuple[str | int, Any]]:
    """The values of a dict, tuple, list or dataclass, by key, attribute or index; nothing for anything else."""
    if isinstance(output, Mapping):
        yield from output.items()
    elif isinstance(output, list | tuple):
        yield from zip(getattr(output, "_fields", range(len(output))), output, strict=False)
    elif dataclasses.is_dataclass(output) and not isinstance(output, type):
        yield from ((each.name, getattr(output, each.name)) for each in dataclasses.fields(output))
    elif not isinstance(output, Tensor | fx.Proxy | fx.Node):
        values = getattr(output, "__dict__", {})
        yield from ((name, value) for name, value in values.items() if isinstance(value, Tensor | fx.Proxy))


def _found(output: Any, wanted: str | int) -> Any:
    """The value under a key, attribute or index, or several with dots between them; ``_MISSING`` if there is none.

    A whole number, or a text of one, also means a place in order.
    """
    parts = dict(_named_parts(output))
    if wanted in parts:
        return parts[wanted]
    try:
        place = int(wanted)
        return parts[place] if place in parts else list(parts.values())[place]
    except (ValueError, IndexError):
        pass
    for dot in (place for place, sign in enumerate(str(wanted)) if sign == "."):
        outer = _found(output, str(wanted)[:dot])
        inner = _MISSING if outer is _MISSING else _found(outer, str(wanted)[dot + 1 :])
        if inner is not _MISSING:
            return inner
    return _MISSING


def _leaves(output: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """All values in an output that are no containers, and where they are: ``logits``, ``out.aux``, ``0``."""
    for key, value in _named_parts(output):
        here = f"{path}.{key}" if path else str(key)
        if any(True for _ in _named_parts(value)):
            yield from _leaves(value, here)
        else:
            yield here, value


def with_class_axis(output: Any, count: int) -> Any:
    """``output``; one number for each of ``count`` images, as ``squeeze`` leaves it, with an axis of one class."""
    is_flat = isinstance(output, Tensor) and output.ndim < 2 and output.numel() == count
    return output.reshape(count, 1) if is_flat else output


def parts_in_words(output: Any) -> str:
    """The outputs with their shapes, as ``'logits' (1, 10) and 'features' (1, 64)``; empty for a single tensor."""
    parts = [f"[{path}] {_shape(v)}" if path.isdigit() else f"{path!r} {_shape(v)}" for path, v in _leaves(output)]
    return listed([*parts[:_SHOWN], f"{len(parts) - _SHOWN} more"] if len(parts) > _SHOWN + 1 else parts)


def _shape(value: Any) -> str:
    if isinstance(value, Tensor):
        return str(tuple(value.shape))
    return "(a tensor)" if isinstance(value, fx.Node | fx.Proxy) else f"({describe_output(value)})"


def describe_output(output: object) -> str:
    """A module's output in words: ``a dict of 'out' (1, 21, 8, 8) and 'aux' (1, 21, 8, 8)``."""
    if isinstance(output, Tensor):
        shape = f"of the shape {tuple(output.shape)}"
        if output.ndim == 4 and output.is_floating_point():
            return f"a map {shape}"
        return f"a tensor {shape}" if output.is_floating_point() else f"a tensor {shape} of the type {output.dtype}"
    parts = parts_in_words(output)
    if isinstance(output, Mapping | list | tuple) and not parts:
        return f"an empty {type(output).__name__}"
    if parts:
        return f"{_with_article(output)} of {parts}"
    if isinstance(output, str | int | float | bool):
        return shortened(repr(output))
    return "nothing" if output is None else f"an object of the type {type(output).__name__}"


def _with_article(output: object) -> str:
    kind = type(output).__name__
    return f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}"


def why_no_logits(output: object, name: str) -> ModelError:
    """The error for an output that is no logits (N, classes): what it is, and what can be done about it."""
    given = f"{name} gives {describe_output(output)}"
    objects = _detected_objects(output)
    if objects is not None:
        return ModelError(
            f"{name} gives {listed(list(map(repr, objects)))} for each image: it detects objects, and has no score for "
            "each class of the whole image that could be explained."
        )
    if isinstance(output, Tensor) and output.ndim == 4 and output.is_floating_point() and output[0, 0].numel() > 1:
        return ModelError(
            f"{given}: it segments, with scores for each pixel and none for each class of the whole image; choose a "
            "function of its output that pools them."
        )
    if _are_losses(output):
        return ModelError(f"{given}, which are training losses, and not scores of classes to explain.")
    if isinstance(output, Tensor):
        return ModelError(f"{given}, not logits of the shape (N, classes). {_tensor_remedy(output)}")
    parts = list(_leaves(output))
    if any(isinstance(part, Tensor | fx.Node | fx.Proxy) for _, part in parts):
        return ModelError(
            f"{name} has {len(parts)} outputs, {parts_in_words(output)}: say which of them are the logits of the shape "
            "(N, classes).",
            remedy="choose_output",
        )
    return ModelError(f"{given}, not logits of the shape (N, classes). Wrap it in a module that returns the logits.")


def _detected_objects(output: object) -> Mapping[Any, Any] | None:
    """The boxes of the first image and what belongs to them, if the output is such, as of torchvision's detectors."""
    first = output[0] if isinstance(output, list | tuple) and output else output
    return first if isinstance(first, Mapping) and "boxes" in first else None


def _are_losses(output: object) -> bool:
    if not isinstance(output, Mapping) or not output:
        return False
    numbers = all(isinstance(value, Tensor) and value.ndim == 0 for value in output.values())
    return numbers and all("loss" in str(key).lower() for key in output)


def _tensor_remedy(output: Tensor) -> str:
    if not output.is_floating_point():
        return "Wrap it in a module that returns the logits, floats that a gradient can be taken of."
    if output.ndim == 1:
        return "Keep the first axis: it has an entry for each image."
    if output.ndim > 2:
        return "Wrap it in a module that flattens its output."
    return "Wrap it in a module that returns the logits alone."
