"""Settings that tasks about the features of many images share."""

from __future__ import annotations

from typing import Any

from cnnviz.settings import setting
from cnnviz.tasks.shared.layers import layer_setting


def feature_layer_setting() -> Any:
    """The layer whose features are compared; None for the last before the classifier."""
    return layer_setting("Layer whose features are compared.", "before the classifier")


def half_setting() -> Any:
    """Whether features are kept in 16 bits."""
    return setting(False, "Keep features in 16 bits: half the room on disk.")
