"""Networks in float64 compute in float64 throughout; those in bfloat16 or float16 work with every technique."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import cnnviz
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec

PIXELS = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
TECHNIQUES = {
    "logits": lambda net, x: net(x),
    "features": lambda net, x: net.features(x, ["3"])["3"],
    "saliency": cnnviz.saliency,
    "smoothgrad": lambda net, x: cnnviz.smoothgrad(net, x, samples=1),
    "integrated": lambda net, x: cnnviz.integrated_gradients(net, x, steps=1),
    "grad_cam": cnnviz.grad_cam,
    "guided": cnnviz.guided_backprop,
    "full": lambda net, x: cnnviz.occlusion(net, x, patch=8, stride=8, algorithm="full"),
    "incremental": lambda net, x: cnnviz.occlusion(net, x, patch=8, stride=8, algorithm="incremental"),
    "deletion": lambda net, x: cnnviz.deletion_curve(net, x, x[:, :1].float(), steps=2).probabilities,
    "fgsm": cnnviz.fgsm,
    "iterative": lambda net, x: cnnviz.iterative_fgsm(net, x, steps=1),
    "deepfool": lambda net, x: cnnviz.deepfool(net, x, steps=1),
    "ascent": lambda net, x: cnnviz.fooling_image(net, x, 3, steps=1),
    "universal": lambda net, x: cnnviz.universal_perturbation(net, x, passes=1),
    "visualize": lambda net, x: cnnviz.visualize(net, 3, steps=1, size=32),
    "dream": lambda net, x: cnnviz.dream(net, x, ["3"], octaves=1, steps=1),
    "invert": lambda net, x: cnnviz.invert(net, x, "3", steps=1),
    "texture": lambda net, x: cnnviz.synthesize_texture(net, x, size=(32, 32), steps=1, layers=["0", "3"]),
    "style": lambda net, x: cnnviz.transfer_style(net, x, x.flip(3), steps=1, content_layers=["3"], style_layers=["0"]),
    "embedding": cnnviz.embed_images,
    "activations": lambda net, x: cnnviz.activation_grid(net, x, "3").maps,
}


def network(dtype: torch.dtype) -> Network:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )
    return Network(module.to(dtype), spec=InputSpec(size=32))


@pytest.mark.parametrize("technique", TECHNIQUES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_short_types_work_with_every_technique(technique, dtype):
    for pixels in (PIXELS, PIXELS.to(dtype)):
        found = TECHNIQUES[technique](network(dtype), pixels)
        assert found.isfinite().all()
        assert found.dtype in (torch.float32, torch.float64)


@pytest.mark.parametrize("engine", ["full", "incremental"])
@pytest.mark.parametrize("given", [torch.float32, torch.float64])
def test_occlusion_in_float64_is_that(engine, given):
    net, pixels = network(torch.float64), PIXELS.to(given)
    found = cnnviz.occlusion(net, pixels, 2, patch=16, stride=16, algorithm=engine)
    exact, chance = pixels.double(), []
    for row in (0, 16):
        for column in (0, 16):
            hidden = exact.clone()
            hidden[:, :, row : row + 16, column : column + 16] = exact.mean((2, 3), keepdim=True)
            chance.append(float(net(hidden).softmax(1)[0, 2].detach()))
    drops = float(net(exact).softmax(1)[0, 2].detach()) - torch.tensor(chance, dtype=torch.float64)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found[0, 0, ::16, ::16].flatten(), drops, rtol=0, atol=1e-13)
    assert float((drops - drops.float()).abs().max()) > 1e-12  # float32 could not have it so


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_modules_made_in_inference_mode_work_with_every_technique(technique):
    with torch.inference_mode():
        made = network(torch.float32)
    found = TECHNIQUES[technique](made, PIXELS)
    torch.testing.assert_close(found, TECHNIQUES[technique](network(torch.float32), PIXELS), rtol=1e-3, atol=1e-4)


def test_networks_loaded_in_inference_mode_give_gradients(squeezenet):
    with torch.inference_mode():
        loaded = cnnviz.load_network("squeezenet1_1", device="cpu")
    for technique in (cnnviz.saliency, cnnviz.grad_cam, cnnviz.guided_backprop, cnnviz.fgsm):
        torch.testing.assert_close(technique(loaded, PIXELS), technique(squeezenet, PIXELS))
