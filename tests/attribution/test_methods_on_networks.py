"""Every method on every kind of network: a map, or of those that are rules for some operations a reason."""

from __future__ import annotations

import pytest
import torch

import cnnviz
from cnnviz.attribution.registry import METHODS
from cnnviz.errors import UsageError

pytestmark = pytest.mark.nightly

QUICK = {"samples": 2, "steps": 2, "patch": 32, "stride": 32, "masks": 6, "segments": 6, "cells": 3, "seed": 0}
RULES = {"lrp", "deeplift", "guided", "deconvnet", "guided-gradcam"}
NETWORKS = ("squeezenet1_1", "vgg16", "resnet50", "googlenet", "densenet121", "efficientnet_b0", "convnext_tiny")


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    torch.manual_seed(0)
    weights = None if request.param == "squeezenet1_1" else "random"
    return cnnviz.load_network(request.param, weights=weights)


@pytest.mark.parametrize("name", METHODS)
def test_a_map_or_a_reason(network, samples, name):
    method, pixels = METHODS[name], cnnviz.read_image(samples / "coffee.png", size=64, crop=True)
    try:
        found = method(network, pixels, None, **method.accepted(**QUICK))
    except UsageError as error:
        assert name in RULES, f"{name}: {error}"
        assert network.name in str(error)
        return
    assert found.shape == (1, 1, 64, 64) and bool(found.isfinite().all())
