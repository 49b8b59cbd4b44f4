"""How exact the numbers of a network must be, by what it is used for; without torch."""

from __future__ import annotations

from typing import Literal

Workload = Literal["exact", "forward", "synthesis"]
"""How exact a network's numbers must be, which decides what precision ``auto`` is.

``exact``: gradients, scores and attacks, which agree with references to many digits; ``forward``: many forward passes
and no backward pass, as for occlusion and embeddings, where TF32 changes the fourth digit; ``synthesis``: images are
optimized, where rounding leads to another image that is as good, like another seed.
"""
