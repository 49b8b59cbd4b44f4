"""How exact the numbers of a network must be, by what it is used for; without torch."""

from __future__ import annotations

from typing import Literal

Workload = Literal["exact", "forward", "scores", "training", "synthesis"]
"""How exact a network's numbers must be, which decides what precision ``auto`` is, and how convolutions are computed.

``exact``: gradients, scores and attacks, which agree with references to many digits; ``forward``: many forward passes
and no backward pass, as for embeddings, where TF32 changes the fourth digit; ``scores``: the same where nothing is kept
that must agree with what another machine finds, as for occlusion; ``training``: losses that another network learns
from, in fp32; ``synthesis``: images are optimized, where rounding leads to another image that is as good, like another
seed.
"""

FAST_CONV_WORKLOADS: tuple[Workload, ...] = ("scores", "training", "synthesis")
"""Workloads whose convolutions take fewer multiplications, with other rounding, unless chosen otherwise."""
