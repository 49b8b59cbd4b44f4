"""What ``auto`` means, and that shorter precisions change no more than docs/precision.md says.

bf16 is autocast's on the CPU. TF32 is imitated by rounding what goes into each convolution, forward and back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.runtime import precision, private_torch
from cnnviz.runtime.precision import (
    backward_precision,
    choose_precision,
    conv_precision,
    fastest_precision,
    gradients_of,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda")
CONVOLUTIONS = {
    "aten::convolution",
    "aten::convolution_backward",
    "aten::mkldnn_convolution",
    "mkldnn::_convolution_pointwise",  # which not every PyTorch has
}


class TF32(TorchDispatchMode):
    """Convolutions of float32 whose inputs are rounded to ten bits of mantissa, as tensor cores read them."""

    def __init__(self) -> None:
        super().__init__()
        self.rounded = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        if func.name().partition(".")[0] in CONVOLUTIONS:
            args = [self._round(value) if isinstance(value, Tensor) else value for value in args]
        return func(*args, **(kwargs or {}))

    def _round(self, values: Tensor) -> Tensor:
        self.rounded += 1
        if values.is_mkldnn:  # a packed kernel
            values = values.to_dense()
        return ((values.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


TECHNIQUES: dict[str, Callable[..., Tensor]] = {
    "logits": lambda net, x: net(x),
    "embed": cnnviz.embed_images,
    "occlusion": lambda net, x: cnnviz.occlusion(net, x, 285, stride=64),
    "gradcam": lambda net, x: cnnviz.grad_cam(net, x, 285),
    "saliency": lambda net, x: cnnviz.saliency(net, x, 285),
    "smoothgrad": lambda net, x: cnnviz.smoothgrad(net, x, 285, samples=8),
    "integrated": lambda net, x: cnnviz.integrated_gradients(net, x, 285, steps=8),
    "guided": lambda net, x: cnnviz.guided_backprop(net, x, 285),
}


@pytest.fixture(scope="module")
def photo(samples):
    return cnnviz.read_image(samples / "chelsea.png", size=(224, 224))


def correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]).double())[0, 1])


@pytest.mark.parametrize(
    ("technique", "least"),
    [
        ("logits", 0.999),
        ("embed", 0.999),
        ("occlusion", 0.97),
        ("gradcam", 0.999),
        ("saliency", 0.9),
        ("smoothgrad", 0.95),
        ("integrated", 0.92),
        ("guided", 0.96),
    ],
)
def test_bf16_keeps_a_map_so_far(squeezenet, photo, technique, least):
    run = TECHNIQUES[technique]
    shorter = run(replace(squeezenet, precision="bf16"), photo)
    assert shorter.dtype == torch.float32
    assert least < correlation(shorter, run(squeezenet, photo)) < 1.0  # below 1: it did compute in bf16


@pytest.mark.parametrize("technique", ["logits", "embed", "occlusion"])
def test_tf32_changes_passes_forward_by_less_than_a_hundredth(squeezenet, photo, technique):
    run = TECHNIQUES[technique]
    with TF32() as mode:
        rounded = run(squeezenet, photo)
    exact = run(squeezenet, photo)
    assert mode.rounded > 20
    assert 0 < float((rounded - exact).norm() / exact.norm()) < 0.01


def test_tf32_changes_gradients_by_more_which_is_why_they_do_not_get_it(squeezenet, photo):
    with TF32():
        rounded = cnnviz.saliency(squeezenet, photo, 285)
    exact = cnnviz.saliency(squeezenet, photo, 285)
    assert float((rounded - exact).norm() / exact.norm()) > 0.02
    assert correlation(rounded, exact) > 0.98


def test_an_attack_made_in_bf16_fools_the_network_itself(squeezenet, photo):
    half = replace(squeezenet, precision="bf16")
    for target in (None, 130):
        fooling = cnnviz.iterative_fgsm(half, photo, 8 / 255, target=target, steps=10)
        says = squeezenet.predict((fooling * 255).round() / 255, 1)[0][0][0]
        assert says == 130 if target else says != 285


PAINTINGS: dict[str, Callable[..., Tensor]] = {
    "visualize": lambda net, x: cnnviz.visualize(net, layer="features.9", channel=3, size=96, steps=40),
    "dream": lambda net, x: cnnviz.dream(net, x, ["features.10"], octaves=2, steps=6),
    "invert": lambda net, x: cnnviz.invert(net, x, "features.6", steps=40),
    "style": lambda net, x: cnnviz.transfer_style(net, x, x.flip(1, 3) ** 2, steps=24),
    "texture": lambda net, x: cnnviz.synthesize_texture(net, x, (96, 96), steps=24),
}


def merit(network: cnnviz.Network, technique: str, made: Tensor, photo: Tensor) -> float:
    """What each is after, in float32: an activation, a distance of features, or of their Gram matrices."""
    from cnnviz.synthesis.feature_statistics import gram_distance, moments

    with torch.no_grad():
        if technique in ("visualize", "dream"):
            layer = "features.9" if technique == "visualize" else "features.10"
            found = network.features(made, [layer])[layer]
            return float(found[:, 3].mean() if technique == "visualize" else found.square().mean())
        wanted = photo if technique in ("invert", "texture") else photo.flip(1, 3) ** 2
        found, target = (network.features(pixels, ["features.6"])["features.6"] for pixels in (made, wanted))
        if technique == "invert":
            return float((found - target).square().sum() / target.square().sum())
        return float(gram_distance(moments(found), moments(target)))


@pytest.mark.parametrize(("technique", "tolerance"), [(name, 0.3) for name in PAINTINGS])
def test_a_painting_in_bf16_is_as_good(squeezenet, photo, technique, tolerance):
    small = torch.nn.functional.interpolate(photo, (96, 96), mode="area")
    run = PAINTINGS[technique]
    networks = squeezenet, replace(squeezenet, precision="bf16")
    whole, short = (merit(squeezenet, technique, run(network, small), small) for network in networks)
    assert short == pytest.approx(whole, rel=tolerance)
    assert short != whole


# --- what auto is


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of some compute capability, for what is asked of it before any tensor is."""

    def pretend(major: int, minor: int) -> torch.device:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (major, minor))
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: major >= 8)
        return GPU

    return pretend


@pytest.mark.parametrize(
    ("capability", "painting", "forward"),
    [((9, 0), "bf16", "tf32"), ((7, 5), "fp16", "fp32"), ((6, 1), "fp32", "fp32")],
    ids=["H200", "T4", "GTX 1080"],
)
def test_auto_by_the_age_of_the_gpu(gpu, capability, painting, forward):
    device = gpu(*capability)
    assert choose_precision("auto", device, "synthesis") == painting
    assert choose_precision("auto", device, "forward") == forward
    assert choose_precision("auto", device, "exact") == choose_precision("auto", device) == "fp32"


def test_auto_on_the_cpu_is_exact_but_for_paintings(monkeypatch):
    assert choose_precision("auto", CPU, "forward") == choose_precision("auto", CPU, "exact") == "fp32"
    assert choose_precision("auto", CPU, "synthesis") == fastest_precision(CPU)


def test_tf32_is_for_gpus_that_have_it(gpu):
    assert choose_precision("tf32", gpu(8, 0)) == "tf32"
    for device in (CPU, gpu(7, 5)):
        with pytest.raises(UsageError, match="Ampere"):
            choose_precision("tf32", device)


# --- what needs units, operations or settings that not every machine and PyTorch has


@pytest.fixture
def a_quick_cpu(monkeypatch):
    """A CPU with units for bf16, as PyTorch tells of one."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    mkldnn = SimpleNamespace(_is_mkldnn_bf16_supported=lambda: True)
    monkeypatch.setattr(private_torch, "torch", Other(torch, ops=SimpleNamespace(mkldnn=mkldnn)))
    return mkldnn


class Other:
    """An object with some attributes in place of its own."""

    def __init__(self, own: Any, **others: Any) -> None:
        self.__dict__.update(others, own=own)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.own, name)


def test_a_cpu_with_units_for_bf16_uses_them(a_quick_cpu):
    with torch.backends.mkldnn.flags(enabled=True):
        assert fastest_precision(CPU) == "bf16"


@pytest.mark.parametrize("capability", ["DEFAULT", "AVX2", "NEON", "SVE256"])
def test_other_cpus_compute_in_float32(a_quick_cpu, monkeypatch, capability):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert fastest_precision(CPU) == "fp32"


def test_without_onednn_or_the_operations_that_ask_it_precision_is_float32(a_quick_cpu, monkeypatch):
    with torch.backends.mkldnn.flags(enabled=False):
        assert fastest_precision(CPU) == "fp32"
    with monkeypatch.context() as patch:
        patch.delattr(torch.cpu, "_is_avx512_bf16_supported")
        assert choose_precision("auto", CPU, "synthesis") == "fp32"
    with monkeypatch.context() as patch:
        patch.delattr(torch.backends.cpu, "get_cpu_capability")
        assert choose_precision("auto", CPU, "synthesis") == "fp32"
    del a_quick_cpu._is_mkldnn_bf16_supported
    assert choose_precision("auto", CPU, "synthesis") == "fp32"


def cudnn_setting() -> object:
    """What the process lets cuDNN's convolutions do, in this PyTorch's words."""
    return precision.tf32_setting()


@pytest.fixture(params=["tf32", "ieee"])
def process(request):
    """A process that has made its choice, by whichever flag this PyTorch has."""
    before = cudnn_setting()
    precision.set_tf32(request.param)
    yield request.param
    precision.set_tf32(before)


class Witness(torch.autograd.Function):
    """Tells the setting when the pass backward comes by."""

    @staticmethod
    def forward(ctx, x, seen):
        ctx.seen = seen
        return x * 1

    @staticmethod
    def backward(ctx, slope):
        ctx.seen.append(cudnn_setting())
        return slope, None


@pytest.mark.parametrize(("wanted", "meant"), [("fp32", "ieee"), ("tf32", "tf32"), ("bf16", "ieee")])
def test_both_passes_run_as_the_network_is_meant_and_the_process_stays_as_it_was(process, wanted, meant, on_a_thread):
    seen: list[object] = []
    x = torch.ones(1, requires_grad=True)

    def passes():
        with conv_precision(wanted, GPU):
            seen.append(cudnn_setting())
            y = Witness.apply(x, seen)
        assert cudnn_setting() == process
        gradients_of(y, x)
        assert cudnn_setting() == process

    on_a_thread(passes)
    assert seen == [meant, meant]


def test_the_processor_has_no_part_in_it(process, on_a_thread):
    def passes():
        with conv_precision("fp32", CPU):
            assert cudnn_setting() == process
        with backward_precision():
            assert cudnn_setting() == process

    on_a_thread(passes)


def test_a_pass_that_fails_or_holds_another_leaves_nothing_behind(process, on_a_thread):
    def passes():
        with pytest.raises(RuntimeError), conv_precision("fp32", GPU), conv_precision("tf32", GPU):
            assert cudnn_setting() == "tf32"
            raise RuntimeError
        assert cudnn_setting() == process

    on_a_thread(passes)


def test_passes_that_overlap_leave_nothing_behind(process, on_a_thread):
    def passes():
        first, second = conv_precision("fp32", GPU), conv_precision("tf32", GPU)
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        second.__exit__(None, None, None)
        assert cudnn_setting() == process

    on_a_thread(passes)


def test_a_host_that_uses_the_newer_setting_meets_no_error(on_a_thread):
    if not hasattr(torch.backends.cudnn, "conv"):
        pytest.skip("this PyTorch has the older setting only")
    before = torch.backends.cudnn.conv.fp32_precision
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # from here on the older flag cannot even be read
    try:

        def passes():
            with conv_precision("tf32", GPU):
                assert torch.backends.cudnn.conv.fp32_precision == "tf32"

        on_a_thread(passes)
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    finally:
        torch.backends.cudnn.conv.fp32_precision = before


def test_a_network_on_a_gpu_runs_so(squeezenet, process, monkeypatch, on_a_thread):
    monkeypatch.setattr(cnnviz.Network, "device", GPU)

    def passes():
        for wanted, meant in (("fp32", "ieee"), ("tf32", "tf32"), ("bf16", "ieee")):
            with replace(squeezenet, precision=wanted).autocast():
                assert cudnn_setting() == meant
            assert cudnn_setting() == process

    on_a_thread(passes)


@pytest.fixture
def on_a_thread():
    """Runs a function on a thread of its own: what was the last pass forward is each thread's own."""

    def run(work: Callable[[], None]) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(work).result()

    return run


def test_what_is_said_of_a_picture_is_said_in_float32(squeezenet):
    from cnnviz.network.network_transforms import in_full_precision

    assert in_full_precision(squeezenet) is squeezenet
    assert in_full_precision(replace(squeezenet, precision="bf16")).precision == "fp32"
