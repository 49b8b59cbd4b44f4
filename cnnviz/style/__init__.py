"""The style of pictures, and how it is carried over to others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnviz._lazy import lazy_names

_HOME_OF = {
    "FastStyleConfig": "cnnviz.style.fast",
    "FastStyleNetwork": "cnnviz.style.fast",
    "FastStyleTraining": "cnnviz.style.training",
    "TrainingSettings": "cnnviz.style.training",
    "apply_fast_style": "cnnviz.style.inference",
    "load_fast_style": "cnnviz.style.model_file",
    "train_fast_style": "cnnviz.style.training",
    "StyleSettings": "cnnviz.style.settings",
    "StyleTransfer": "cnnviz.style.transfer",
    "transfer_style": "cnnviz.style.transfer",
    "gram_matrix": "cnnviz.synthesis.feature_statistics",
    "match_colors": "cnnviz.style.color",
}

__all__ = list(_HOME_OF)

if TYPE_CHECKING:
    from cnnviz.style.color import match_colors as match_colors
    from cnnviz.style.fast import FastStyleConfig as FastStyleConfig
    from cnnviz.style.fast import FastStyleNetwork as FastStyleNetwork
    from cnnviz.style.inference import apply_fast_style as apply_fast_style
    from cnnviz.style.model_file import load_fast_style as load_fast_style
    from cnnviz.style.settings import StyleSettings as StyleSettings
    from cnnviz.style.training import FastStyleTraining as FastStyleTraining
    from cnnviz.style.training import TrainingSettings as TrainingSettings
    from cnnviz.style.training import train_fast_style as train_fast_style
    from cnnviz.style.transfer import StyleTransfer as StyleTransfer
    from cnnviz.style.transfer import transfer_style as transfer_style
    from cnnviz.synthesis.feature_statistics import gram_matrix as gram_matrix

__getattr__, __dir__ = lazy_names(__name__, _HOME_OF)
