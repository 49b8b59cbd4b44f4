"""The weights there are."""

from __future__ import annotations

import pytest

from cnnviz.errors import ModelError, UsageError
from cnnviz.network.weights_list import available_weights, published_weights


def test_the_embedded_weights_come_first_and_need_no_download():
    first, *others = available_weights()
    assert (first.model, first.state, first.needs_download) == ("squeezenet1_1", "embedded", False)
    assert {"alexnet", "vgg19", "resnet50"} <= {weights.model for weights in others}
    assert all(weights.needs_download for weights in others)


def test_published_weights_are_found_by_name():
    assert published_weights("squeezenet1_1") is None
    published = published_weights("resnet50")
    assert published is not None and published.name == "IMAGENET1K_V1"
    best = published_weights("resnet50", "default")
    assert best is not None and best.name == "IMAGENET1K_V2"
    for model, error in (("lenet5", ModelError), ("resnet5", UsageError), ("timm/resnet18", UsageError)):
        with pytest.raises(error):
            published_weights(model)
