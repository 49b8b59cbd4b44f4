"""Images out of the network: one optimisation loop, and what is made with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz._lazy import lazy_names

_HOME_OF = {
    "LBFGS": "cnnviz.synthesis.optimizers",
    "Adam": "cnnviz.synthesis.optimizers",
    "Ascent": "cnnviz.synthesis.ascent",
    "Fourier": "cnnviz.synthesis.parameterization",
    "Latent": "cnnviz.synthesis.parameterization",
    "NormalizedGradient": "cnnviz.synthesis.optimizers",
    "Pixels": "cnnviz.synthesis.parameterization",
    "cosine": "cnnviz.synthesis.ascent",
    "part_of": "cnnviz.synthesis.ascent",
    "scanline_texture": "cnnviz.synthesis.scanline",
    "synthesize_texture": "cnnviz.synthesis.texture",
}

__all__ = list(_HOME_OF)

if TYPE_CHECKING:
    from cnnviz.synthesis.ascent import Ascent as Ascent
    from cnnviz.synthesis.ascent import cosine as cosine
    from cnnviz.synthesis.ascent import part_of as part_of
    from cnnviz.synthesis.optimizers import LBFGS as LBFGS
    from cnnviz.synthesis.optimizers import Adam as Adam
    from cnnviz.synthesis.optimizers import NormalizedGradient as NormalizedGradient
    from cnnviz.synthesis.parameterization import Fourier as Fourier
    from cnnviz.synthesis.parameterization import Latent as Latent
    from cnnviz.synthesis.parameterization import Pixels as Pixels
    from cnnviz.synthesis.scanline import scanline_texture as scanline_texture
    from cnnviz.synthesis.texture import synthesize_texture as synthesize_texture

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
