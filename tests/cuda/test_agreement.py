"""What the GPU computes in float32 is what the CPU computes; memory that runs short is coped with."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import cnnviz
from cnnviz.runtime.device import choose_device
from cnnviz.runtime.memory import in_batches_that_fit
from cnnviz.runtime.precision import choose_precision
from cnnviz.runtime.prefetch import copied_ahead

TECHNIQUES = {
    "logits": lambda net, x: net(x),
    "saliency": lambda net, x: cnnviz.saliency(net, x, 285),
    "smoothgrad": lambda net, x: cnnviz.smoothgrad(net, x, 285, samples=8),
    "integrated": lambda net, x: cnnviz.integrated_gradients(net, x, 285, steps=16),
    "guided": lambda net, x: cnnviz.guided_backprop(net, x, 285),
    "gradcam": lambda net, x: cnnviz.grad_cam(net, x, 285),
    "occlusion": lambda net, x: cnnviz.occlusion(net, x, 285, stride=48),
    "occlusion, full": lambda net, x: cnnviz.occlusion(net, x, 285, stride=48, algorithm="full"),
    "embed": cnnviz.embed_images,
}


def correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten().cpu(), other.flatten()]).double())[0, 1])


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_the_gpu_agrees_with_the_cpu(squeezenet, on_gpu, photo, technique):
    run = TECHNIQUES[technique]
    assert correlation(run(on_gpu, photo), run(squeezenet, photo)) > 0.9995


@pytest.mark.parametrize("technique", ["logits", "occlusion", "embed"])
def test_tf32_changes_passes_forward_by_less_than_a_hundredth(squeezenet, on_gpu, photo, technique):
    found = TECHNIQUES[technique](replace(on_gpu, precision="tf32"), photo).cpu()
    exact = TECHNIQUES[technique](squeezenet, photo)
    assert float((found - exact).norm() / exact.norm()) < 0.01


@pytest.mark.parametrize("allowed", [True, False])
def test_tf32_is_let_in_for_whom_it_is_meant_whatever_the_process_has(on_gpu, photo, allowed):
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=allowed):
        found = {kind: cnnviz.saliency(replace(on_gpu, precision=kind), photo, 285) for kind in ("fp32", "tf32")}
        assert torch.backends.cudnn.allow_tf32 == allowed
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        exact = cnnviz.saliency(on_gpu, photo, 285)
    far = {kind: float((value - exact).norm() / exact.norm()) for kind, value in found.items()}
    assert far["fp32"] < 1e-3
    if torch.cuda.get_device_capability() >= (8, 0):
        assert far["tf32"] > 1e-3


def test_paintings_take_the_quickest_precision(on_gpu, photo):
    precision = choose_precision("auto", choose_device("cuda"), "synthesis")
    assert precision in ("bf16", "fp16")
    painted = cnnviz.dream(replace(on_gpu, precision=precision), photo, ["features.10"], octaves=1, steps=2)
    assert painted.dtype == torch.float32 and bool(painted.isfinite().all())


def test_the_same_seed_gives_the_same_picture(on_gpu):
    made = [cnnviz.visualize(on_gpu, 130, size=64, steps=8, seed=3) for _ in range(2)]
    torch.testing.assert_close(*made, rtol=0, atol=0.05)


def test_memory_that_runs_short_halves_the_batch():
    free, _ = torch.cuda.mem_get_info()
    each = int(free * 0.4)
    seen = []

    def run(part: slice) -> int:
        seen.append(part.stop - part.start)
        return torch.empty(each * (part.stop - part.start), dtype=torch.uint8, device="cuda").numel()

    assert list(in_batches_that_fit(run, 4, 4)) == [2 * each, 2 * each]
    assert seen == [4, 2, 2]


def test_smoothgrad_is_the_same_after_a_shortage(on_gpu, photo, monkeypatch):
    import cnnviz.attribution.smoothgrad as module

    expected, gradient = cnnviz.smoothgrad(on_gpu, photo, 285, samples=8), module.gradient_and_logits

    def narrow(network, pixels, *rest):
        if len(pixels) > 2:
            torch.empty(1 << 60, dtype=torch.uint8, device="cuda")
        return gradient(network, pixels, *rest)

    monkeypatch.setattr(module, "gradient_and_logits", narrow)
    assert correlation(cnnviz.smoothgrad(on_gpu, photo, 285, samples=8), expected.cpu()) > 0.9995


def test_batches_arrive_whole_while_others_are_copied():
    sent = [(number, torch.full((8, 3, 256, 256), float(number))) for number in range(6)]
    for number, pixels in copied_ahead(sent, torch.device("cuda")):
        assert pixels.is_cuda
        assert float(pixels.min()) == float(pixels.max()) == number


def test_networks_with_random_weights_run(photo):
    for name in ("vgg19", "resnet50"):
        network = cnnviz.load_network(name, weights="random", device="cuda")
        assert cnnviz.saliency(network, photo, 3).shape == (1, 1, 224, 224)
        assert cnnviz.occlusion(network, photo, 3, stride=96).isfinite().all()
