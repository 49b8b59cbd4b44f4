"""Images out of the network: one optimisation loop, and what is made with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz._lazy import lazy_names

_HOME_OF = {
    "Adam": "cnnviz.synthesis.optimizers",
    "ImageOptimizer": "cnnviz.synthesis.optimization",
    "Channels": "cnnviz.synthesis.objectives",
    "Classes": "cnnviz.synthesis.objectives",
    "Fourier": "cnnviz.synthesis.parameterization",
    "LBFGS": "cnnviz.synthesis.optimizers",
    "Latent": "cnnviz.synthesis.parameterization",
    "NormalizedGradient": "cnnviz.synthesis.optimizers",
    "Pixels": "cnnviz.synthesis.parameterization",
    "cosine": "cnnviz.synthesis.optimization",
    "dream": "cnnviz.synthesis.deepdream",
    "facet_starts": "cnnviz.synthesis.facet_init",
    "feature_error": "cnnviz.synthesis.inversion",
    "invert": "cnnviz.synthesis.inversion",
    "offset_steps": "cnnviz.synthesis.optimization",
    "efros_leung_texture": "cnnviz.synthesis.efros_leung",
    "synthesize_texture": "cnnviz.synthesis.texture",
    "visualize": "cnnviz.synthesis.visualization",
    "visualize_subject": "cnnviz.synthesis.visualization",
}

__all__ = list(_HOME_OF)

if TYPE_CHECKING:
    from cnnviz.synthesis.deepdream import dream as dream
    from cnnviz.synthesis.efros_leung import efros_leung_texture as efros_leung_texture
    from cnnviz.synthesis.facet_init import facet_starts as facet_starts
    from cnnviz.synthesis.inversion import feature_error as feature_error
    from cnnviz.synthesis.inversion import invert as invert
    from cnnviz.synthesis.objectives import Channels as Channels
    from cnnviz.synthesis.objectives import Classes as Classes
    from cnnviz.synthesis.optimization import ImageOptimizer as ImageOptimizer
    from cnnviz.synthesis.optimization import cosine as cosine
    from cnnviz.synthesis.optimization import offset_steps as offset_steps
    from cnnviz.synthesis.optimizers import LBFGS as LBFGS
    from cnnviz.synthesis.optimizers import Adam as Adam
    from cnnviz.synthesis.optimizers import NormalizedGradient as NormalizedGradient
    from cnnviz.synthesis.parameterization import Fourier as Fourier
    from cnnviz.synthesis.parameterization import Latent as Latent
    from cnnviz.synthesis.parameterization import Pixels as Pixels
    from cnnviz.synthesis.texture import synthesize_texture as synthesize_texture
    from cnnviz.synthesis.visualization import visualize as visualize
    from cnnviz.synthesis.visualization import visualize_subject as visualize_subject

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
