"""What a network's logits mean: probabilities by a softmax or sigmoids, or values that are shown as they are."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from cnnviz.errors import UsageError, shortened

Activation = Literal["auto", "softmax", "sigmoid", "none"]
"""``auto`` is ``sigmoid`` for a single logit and ``softmax`` for several: many independent labels cannot be guessed."""

ACTIVATIONS: tuple[str, ...] = get_args(Activation)


def require_activation(name: str) -> None:
    """Raise UsageError unless ``name`` is an activation."""
    if name not in ACTIVATIONS:
        raise UsageError(f"There is no activation '{shortened(str(name))}'; the choices are {', '.join(ACTIVATIONS)}.")


def chosen_activation(activation: str, classes: int) -> str:
    """``softmax``, ``sigmoid`` or ``none``: what ``activation`` means for that number of classes.

    Raises UsageError for the softmax of one logit, which is always 1.
    """
    if activation == "auto":
        return "sigmoid" if classes == 1 else "softmax"
    if activation == "softmax" and classes == 1:
        raise UsageError("The softmax of a single logit is always 1: for one logit take sigmoid or none.")
    return activation


def activate(logits: Tensor, activation: str) -> Tensor:
    """Probabilities (N, classes) of logits (N, classes), or the logits themselves where the activation is ``none``."""
    chosen = chosen_activation(activation, logits.shape[1])
    if chosen == "none":
        return logits
    return logits.sigmoid() if chosen == "sigmoid" else logits.softmax(dim=1)
