"""What a command predicts comes from the pass that its map takes anyway."""

from __future__ import annotations

import pytest
import torch

from cnnviz.attribution.registry import METHODS, methods_of
from cnnviz.attribution.targets import Against, ResolvedOnce, Versus, predict_targets
from cnnviz.network.network import Network
from cnnviz.pipeline.config import InputConfig
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.report.comparison import explain
from cnnviz.tasks.gradcam import GradCam
from cnnviz.tasks.guided import Guided
from cnnviz.tasks.occlusion import Occlusion
from cnnviz.tasks.saliency import Saliency

ONE_PASS = {"saliency", "input-x-gradient", "guided", "deconvnet", "gradcam", "gradcam++", "hirescam", "xgradcam"}
ONE_PASS |= {"layercam", "finercam", "shapleycam", "refinecam", "eigencam"}


@pytest.fixture
def passes(monkeypatch):
    """The number of images in each pass through a network that gave logits, in order."""
    counted = []
    check = Network.check_logits

    def counting(self, output, pixels):
        counted.append(len(pixels))
        return check(self, output, pixels)

    monkeypatch.setattr(Network, "check_logits", counting)
    return counted


@pytest.fixture(scope="module")
def pixels(squeezenet, samples):
    names = ("chelsea", "coffee")
    config = InputConfig(size=64, crop=True)
    images = [read_image(ImageSource(samples / f"{name}.png"), squeezenet, config) for name in names]
    return torch.cat([image.pixels for image in images])


def task_of(name):
    if name in methods_of("guided", default="guided"):
        return Guided(method=name)
    if name in methods_of("gradcam", default="gradcam"):
        return GradCam(method=name)
    return Saliency(method="gradient" if name == "saliency" else name)


@pytest.mark.parametrize("name", sorted(ONE_PASS))
def test_one_pass_gives_both_the_map_and_the_prediction(name, squeezenet, pixels, passes):
    answers = task_of(name).compute(squeezenet, pixels)
    assert passes == [2]
    assert [answer.explanation for answer in answers] == predict_targets(squeezenet, pixels)


@pytest.mark.parametrize("name", ["smoothgrad", "integrated", "fullgrad"])
def test_many_passes_take_one_more_for_the_class(name, squeezenet, pixels, passes):
    settings = METHODS[name].accepted(samples=2, steps=2)
    METHODS[name](squeezenet, pixels, 281, **settings)
    known = len(passes)
    passes.clear()
    METHODS[name](squeezenet, pixels, ResolvedOnce(), **settings)
    assert len(passes) == known + 1


def test_occlusion_takes_one_whole_pass_besides_its_positions(squeezenet, pixels, passes):
    (answer,) = Occlusion().compute(squeezenet, pixels[:1])
    assert passes == [1]
    assert answer.explanation == predict_targets(squeezenet, pixels[:1])[0]
    assert answer.grid.target == answer.explanation.explained


def test_a_comparison_predicts_by_the_pass_of_its_first_method(squeezenet, pixels, passes):
    methods = [METHODS[name] for name in ("saliency", "gradcam", "guided")]
    answer = explain(squeezenet, pixels[:1], methods)
    assert passes == [1, 1, 1]
    for method in methods:
        apart = method(squeezenet, pixels[:1], answer.explanation.explained)
        torch.testing.assert_close(answer.maps[method.name], apart, rtol=0, atol=0)


@pytest.mark.parametrize("target", [None, 281, "-tabby", Versus(None, "lynx"), [281, 504]])
def test_a_target_that_keeps_logits_is_resolved_like_any_other(target, squeezenet, pixels):
    once = ResolvedOnce(target)
    found = METHODS["gradcam"](squeezenet, pixels, once)
    torch.testing.assert_close(found, METHODS["gradcam"](squeezenet, pixels, target), rtol=0, atol=0)
    assert once.explanations(squeezenet, pixels) == predict_targets(squeezenet, pixels, target)


def test_the_first_logits_decide(squeezenet, pixels):
    once = ResolvedOnce()
    first, other = (torch.zeros(1, 1000).index_fill(1, torch.tensor(index), 1.0) for index in (3, 4))
    assert once.resolved(squeezenet, first) == once.resolved(squeezenet, other) == [3]


def test_no_pass_is_taken_for_a_class_that_is_named(squeezenet, pixels, passes):
    from cnnviz.attribution.targets import resolved_targets

    assert resolved_targets(squeezenet, pixels, ["-tabby", 504]) == [Against(281), 504]
    assert passes == []


def test_pixels_out_of_range_are_told_of_also_without_that_pass(squeezenet, pixels):
    from cnnviz.attribution.targets import resolved_targets

    with pytest.warns(UserWarning, match="0, 1"):
        resolved_targets(squeezenet, pixels * 3, 281)


@pytest.mark.parametrize("layer", [None, "fire5", ["fire3", "fire9"]])
def test_autograd_begins_at_the_layer(layer, squeezenet, pixels, monkeypatch):
    """The maps are those of a gradient that is followed from the pixels on."""
    from cnnviz.attribution import cam_layers

    found = METHODS["gradcam"](squeezenet, pixels, 281, layer=layer)
    states = list(
        cam_layers._states(squeezenet, pixels, 281, cam_layers.CamRule(lambda s: s.maps), ["features.4"], False, 1.0)
    )
    assert not states[0].x.requires_grad
    normalize = squeezenet.normalize
    monkeypatch.setattr(squeezenet, "normalize", lambda given: normalize(given).requires_grad_())
    torch.testing.assert_close(METHODS["gradcam"](squeezenet, pixels, 281, layer=layer), found, rtol=0, atol=0)
