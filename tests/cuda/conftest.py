"""Tests that need an NVIDIA GPU; without one they are skipped, and nothing else in the project is."""

from __future__ import annotations

import pytest
import torch

import cnnviz


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if "cuda" in item.path.parts:
                item.add_marker(pytest.mark.skip(reason="there is no GPU"))


@pytest.fixture(scope="module")
def on_gpu() -> cnnviz.Network:
    """The embedded network on the GPU, in float32."""
    return cnnviz.load_network("squeezenet1_1", device="cuda", precision="fp32")


@pytest.fixture(scope="module")
def photo(samples) -> torch.Tensor:
    return cnnviz.read_image(samples / "chelsea.png", size=(224, 224))
