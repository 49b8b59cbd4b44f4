"""Networks without gradients: what works on them, and the one sentence of what does not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import cnnviz
from cnnviz.attribution.occlusion import occlusion_grids
from cnnviz.attribution.registry import METHODS
from cnnviz.attribution.settings import OcclusionSettings
from cnnviz.cli.hints import message_with_hint
from cnnviz.errors import ModelError, UsageError
from cnnviz.network.black_box import BlackBox
from cnnviz.network.spec import InputSpec
from cnnviz.pipeline.config import InputConfig, OutputConfig
from cnnviz.pipeline.run import PipelineConfig, run_images
from cnnviz.tasks.compare import Compare
from cnnviz.tasks.fool import Fool
from cnnviz.tasks.occlusion import Occlusion
from cnnviz.tasks.saliency import Saliency

SPEC = InputSpec(32, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2))


def make_convolution() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3))


class Elsewhere(BlackBox):
    """Scores that are computed out of sight."""

    most_per_call = 4

    def __init__(self) -> None:
        super().__init__()
        self.batches = []
        module = make_convolution().eval()
        self.score = lambda x: torch.from_numpy(module(x).detach().numpy())

    def forward(self, x):
        self.batches.append(len(x))
        return self.score(x)


class Detached(nn.Module):
    """A module that leaves out the gradient of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = make_convolution()

    def forward(self, x):
        return self.inner(x.detach())


class DetachedLate(Detached):
    """A module that leaves out the gradient of all its layers."""

    def forward(self, x):
        return self.inner(x).detach()


FROM_A_LAYER_ON = ("gradcam", "gradcam++", "hirescam", "xgradcam", "layercam", "finercam", "refinecam", "shapleycam")


@pytest.fixture
def network():
    return cnnviz.Network(Elsewhere(), "phone", spec=SPEC, optimize=True)


@pytest.fixture
def pixels():
    return torch.rand(1, 3, 32, 40, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("module", [Elsewhere, Detached])
def test_a_network_knows_whether_it_has_gradients(module):
    assert not cnnviz.Network(module(), spec=SPEC).has_gradients
    assert cnnviz.Network(make_convolution(), spec=SPEC).has_gradients


def test_the_sentence_names_what_works(network, pixels):
    with pytest.raises(ModelError) as caught:
        cnnviz.saliency(network, pixels)
    said = message_with_hint(caught.value)
    assert said.startswith("phone has no gradients")
    assert "classify, occlusion, saliency, compare --methods occlusion,rise" in said
    assert "--" not in str(caught.value)


@pytest.mark.parametrize(
    ("module", "method"),
    [
        (module, name)
        for module in (Elsewhere, Detached, DetachedLate)
        for name, each in METHODS.items()
        if each.needs_gradients and not (module is Detached and name in FROM_A_LAYER_ON)
    ],
)
def test_methods_that_need_gradients_refuse(module, method, pixels):
    with pytest.raises(ModelError, match=r"no gradient|no layers"):
        METHODS[method](cnnviz.Network(module(), spec=SPEC), pixels)


@pytest.mark.parametrize("method", FROM_A_LAYER_ON)
def test_class_activation_maps_need_the_gradient_from_their_layer_on_alone(method, pixels):
    found, expected = (
        METHODS[method](cnnviz.Network(module, spec=SPEC), pixels) for module in (Detached(), make_convolution())
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert found.any()


@pytest.mark.parametrize(
    "method", [name for name, each in METHODS.items() if not (each.needs_gradients or each.needs_layers)]
)
def test_methods_that_need_none_work(method, network, pixels):
    assert METHODS[method](network, pixels, **METHODS[method].accepted(patch=8, stride=8)).shape == (1, 1, 32, 40)


def test_occlusion_of_a_black_box_is_that_of_the_module_in_full(network, pixels):
    settings = OcclusionSettings(patch=8, stride=4, algorithm="full")
    expected, found = (
        occlusion_grids(each, pixels, 1, settings)[0]
        for each in (cnnviz.Network(make_convolution(), spec=SPEC), network)
    )
    assert torch.allclose(expected.score_drops, found.score_drops, atol=1e-6)
    assert max(network.module.batches) == Elsewhere.most_per_call


def test_incremental_occlusion_needs_layers(network, pixels):
    with pytest.raises(UsageError, match="allows no incremental occlusion"):
        occlusion_grids(network, pixels, settings=OcclusionSettings(patch=8, algorithm="incremental"))


def test_layers_are_refused_with_what_works(network, pixels):
    with pytest.raises(ModelError, match="no layers") as caught:
        network.features(pixels, ["conv"])
    assert "occlusion" in message_with_hint(caught.value)


def config_of(network, tmp_path):
    return PipelineConfig(network=network, input=InputConfig(size=32), output=OutputConfig(f"{tmp_path}/"))


@pytest.mark.parametrize("task", [Saliency(), Fool(), Compare(methods="saliency,occlusion")])
def test_tasks_that_follow_gradients_refuse_before_they_ask_anything(task, network, samples, tmp_path):
    asked = len(network.module.batches)
    with pytest.raises(ModelError, match="phone has no gradients"):
        run_images(task, samples / "chelsea.png", config_of(network, tmp_path))
    assert len(network.module.batches) == asked


def test_the_curves_of_a_check_need_no_weights(network, samples, tmp_path):
    task = Occlusion(settings=OcclusionSettings(patch=8, stride=8), check=True)
    (result,) = run_images(task, samples / "chelsea.png", config_of(network, tmp_path))
    assert {"areas", "deletion", "insertion"} <= result.metadata["check"].keys()
    assert "randomized" not in result.metadata["check"]
    assert (tmp_path / "chelsea.occlusion.check.png").exists()


def test_compare_leaves_out_by_default_what_a_network_cannot(network, samples, tmp_path):
    other = cnnviz.Network(make_convolution(), "plain", spec=SPEC)
    (result,) = run_images(Compare(), samples / "chelsea.png", config_of([network, other], tmp_path))
    assert [each["model"] for each in result.metadata["networks"]] == ["phone", "plain"]


@pytest.mark.parametrize("method", [name for name, each in METHODS.items() if each.needs_layers])
def test_methods_that_need_layers_refuse(method, network, pixels):
    with pytest.raises(ModelError, match="has no layers"):
        METHODS[method](network, pixels)
