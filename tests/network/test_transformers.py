"""Transformers are told by what they compute, and refuse what is defined for convolutions and ReLUs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import cnnviz
from cnnviz.cli.hints import message_with_hint
from cnnviz.errors import UsageError
from cnnviz.network.default_layers import dream_layers, inversion_layers, style_layers
from cnnviz.network.loading import load_meta_network
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec
from cnnviz.network.transformers import is_transformer

REFUSED = {
    "guided": lambda network: cnnviz.guided_backprop(network, torch.rand(1, 3, 32, 32)),
    "deconvnet": lambda network: cnnviz.deconvnet(network, torch.rand(1, 3, 32, 32)),
    "guided Grad-CAM": lambda network: cnnviz.guided_grad_cam(network, torch.rand(1, 3, 32, 32)),
    "dream": dream_layers,
    "style": style_layers,
    "inversion": inversion_layers,
}


@pytest.fixture(scope="module")
def vit() -> Network:
    from torchvision.models import VisionTransformer

    torch.manual_seed(0)
    module = VisionTransformer(32, 8, 2, 2, 12, 24, num_classes=5).eval()
    nn.init.normal_(module.heads.head.weight)
    return Network(module, name="my_vit", spec=InputSpec(size=32, min_size=32, fixed=True))


@pytest.mark.parametrize("what", REFUSED)
def test_one_sentence_names_what_works(vit, what):
    with pytest.raises(UsageError, match="my_vit is a transformer, and this is defined for") as caught:
        REFUSED[what](vit)
    assert "These commands work on it: classify, saliency, gradcam," in message_with_hint(caught.value)


@pytest.mark.parametrize(
    "method", [cnnviz.saliency, cnnviz.smoothgrad, cnnviz.integrated_gradients, cnnviz.occlusion, cnnviz.grad_cam]
)
def test_what_is_defined_works(vit, method):
    options = {"patch": 8, "stride": 8} if method is cnnviz.occlusion else {}
    found = method(vit, torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(2)), 3, **options)
    assert found.shape[-2:] == (32, 32)
    assert found.abs().max() > 0


def test_occlusion_by_whichever_algorithm_is_that_of_full_passes(vit):
    """In which each patch changes every position after the first attention."""
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    full, auto, incremental = (
        cnnviz.occlusion(vit, pixels, 3, patch=8, stride=8, algorithm=way) for way in ("full", "auto", "incremental")
    )
    torch.testing.assert_close(auto, full)
    torch.testing.assert_close(incremental, full)


@pytest.mark.parametrize("name", ["vit_b_16", "swin_t", "swin_v2_t"])
def test_transformers_of_torchvision(name):
    assert is_transformer(load_meta_network(name).graph)


@pytest.mark.parametrize("name", ["resnet18", "convnext_tiny", "efficientnet_b0", "maxvit_t", "lenet5"])
def test_networks_with_convolutions_are_none(name):
    assert not is_transformer(load_meta_network(name).graph)


def test_attention_of_ones_own_is_told_by_its_scores():
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.drop, self.head = nn.Conv2d(3, 8, 4, 4), nn.Dropout(0.1), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.patches(x).flatten(2).transpose(1, 2)
            return self.head((self.drop((x @ x.transpose(1, 2)).softmax(-1)) @ x).mean(1))

    assert is_transformer(Network(Attending(), spec=InputSpec(size=16)).graph)
