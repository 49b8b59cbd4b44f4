"""A class that a network predicts."""

from __future__ import annotations

from typing import NamedTuple


class Prediction(NamedTuple):
    """A class that a network predicts, as a tuple (index, label, score).

    Args:
        index: of the class.
        label: its name.
        score: its probability in [0, 1]; for a network with the activation ``none`` the plain value.

    Example:
        >>> import torch, cnnviz
        >>> network = cnnviz.load_network("squeezenet1_1")
        >>> best, *others = network.predict(torch.rand(1, 3, 224, 224))[0]
        >>> best.label == network.label(best.index), best.score > others[0].score
        (True, True)
    """

    index: int  # type: ignore[assignment]
    label: str
    score: float
