"""Where graph and module compute different values, the layers are read by the next way that agrees."""

from __future__ import annotations

import os

import pytest
import torch
from torch import nn

import cnnviz
from cnnviz.attribution.occlusion import occlusion_grids
from cnnviz.attribution.settings import OcclusionSettings
from cnnviz.errors import ModelError
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec

PLAIN = InputSpec(size=20, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


class Blocks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(self.block(x).mean((2, 3)))


class Part(Blocks):
    def forward(self, x):
        y = self.block[0](x)
        y.view(y.size(0), -1).relu_()
        return self.fc(y.mean((2, 3)))


class Branches(Blocks):
    def forward(self, x):
        return super().forward(x if x.mean() > 0.5 else x * 2)


def hook_on_a_block() -> nn.Module:
    module = Blocks()
    module.block.register_forward_hook(lambda m, args, out: out * 3)
    return module


@pytest.mark.parametrize("kind", [hook_on_a_block, Part, Branches])
def test_where_the_graph_of_fx_differs_from_the_module_the_next_way_is_taken(kind):
    torch.manual_seed(0)
    module, pixels = kind(), torch.rand(1, 3, 20, 20)
    network = Network(module, spec=PLAIN)
    network.features(pixels, ["block.0"])
    assert network.traced_by != "fx"
    expected = module(pixels)
    torch.testing.assert_close(network.features(pixels, ["fc"])["fc"], expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(network(pixels), expected, rtol=0, atol=1e-6)
    gray = pixels.clone()
    gray[..., :8, :8] = pixels.mean((2, 3), keepdim=True)
    drop = (expected - module(gray))[0, 0]
    (grid,) = occlusion_grids(network, pixels, 0, OcclusionSettings(patch=8, stride=6, fill="mean", score="logit"))
    assert grid.score_drops[0, 0].item() == pytest.approx(drop.item(), abs=1e-5)


class Restless(Blocks):
    """Computes other values each time, so that no graph can be compared with it."""

    def forward(self, x):
        return super().forward(x) * (1 + int.from_bytes(os.urandom(4), "big"))


def test_where_no_way_agrees_there_are_no_layers_but_predictions_and_gradients():
    torch.manual_seed(0)
    network, pixels = Network(Restless(), spec=PLAIN), torch.rand(1, 3, 20, 20)
    for _ in range(2):
        for method in (cnnviz.grad_cam, cnnviz.guided_backprop):
            with pytest.raises(ModelError, match="layers of Restless cannot be read"):
                method(network, pixels)
        assert cnnviz.saliency(network, pixels).abs().max() > 0
        assert len(network.predict(pixels)[0]) == 3


def test_a_hook_that_changes_the_values_of_a_layer_counts():
    torch.manual_seed(0)
    module, pixels = Blocks(), torch.rand(1, 3, 20, 20)
    module.block[0].register_forward_hook(lambda m, args, out: out * 3)
    network = Network(module, spec=PLAIN)
    conv = module.block[0](pixels)
    torch.testing.assert_close(network.features(pixels, ["block.0"])["block.0"], conv)
    (grid,) = occlusion_grids(network, pixels, 0, OcclusionSettings(patch=8, stride=6, fill="mean", score="logit"))
    gray = pixels.clone()
    gray[..., :8, :8] = pixels.mean((2, 3), keepdim=True)
    drop = module(pixels)[0, 0] - module(gray)[0, 0]
    assert grid.score_drops[0, 0].item() == pytest.approx(drop.item(), abs=1e-5)


def test_a_graph_is_compared_on_the_first_input_of_each_size():
    network = Network(Blocks(), spec=PLAIN)
    calls = []
    network.body.block[0].register_forward_hook(lambda m, args, out: calls.append(tuple(args[0].shape[2:])))
    for size in (20, 20, 24, 24, 20):
        network.features(torch.rand(1, 3, size, size), ["fc"])
    assert {calls.count((20, 20)) - 3, calls.count((24, 24)) - 2} <= {1, 2}
