"""Images made for classes and channels, judged by the network on the eight bits that are written."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.imaging.pixels import to_pil_image, to_pixels
from cnnviz.synthesis.facet_init import facet_starts
from cnnviz.synthesis.objectives import Channels, Classes, make_activation
from cnnviz.synthesis.regularizers import batch_similarity
from cnnviz.synthesis.visualization import visualize_subject


def _written(pixels):
    return torch.cat([to_pixels(to_pil_image(one)) for one in pixels.split(1)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "least", "steps"), [("lucid", 0.95, 96), ("simonyan", 0.9, 64), ("yosinski", 0.9, 64)]
)
def test_classes_are_recognized_by_the_network(squeezenet, method, least, steps):
    """At the full number of steps all of them reach 0.999."""
    names = ["flamingo", "tarantula", "espresso", "bell pepper"]
    images = _written(cnnviz.visualize(squeezenet, names, method=method, steps=steps))
    chances = squeezenet(images).softmax(1)
    found = [float(chances[i, squeezenet.find_class(name)]) for i, name in enumerate(names)]
    assert min(found) >= least


@pytest.mark.slow
def test_images_by_yosinskis_method_stay_what_they_are_when_scaled(squeezenet):
    names = ["flamingo", "tarantula", "espresso", "bell pepper"]
    classes = [squeezenet.find_class(name) for name in names]
    images = _written(cnnviz.visualize(squeezenet, names, method="yosinski", steps=64))
    scaled = [F.interpolate(images, scale_factor=by, mode="bilinear", antialias=True) for by in (0.87, 1.15)]
    chances = torch.stack([squeezenet(seen).softmax(1)[range(4), classes] for seen in scaled])
    assert float(chances.mean()) > 0.93  # only shifted, 0.87


def test_a_channel_answers_its_image_more_than_any_photo(squeezenet, chelsea):
    subject = Channels("fire5", (11,))
    image = cnnviz.visualize(squeezenet, layer="fire5", channel=11, size=96, steps=40)
    values = [float(make_activation(squeezenet, subject)(x)) for x in (_written(image), chelsea)]
    assert values[0] > 3 * values[1]


def test_a_seed_determines_the_image_and_the_network_is_unchanged(squeezenet):
    before = {name: tensor.clone() for name, tensor in squeezenet.module.state_dict().items()}
    first, again, other = (cnnviz.visualize(squeezenet, "flamingo", size=64, steps=4, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 0.05
    after = squeezenet.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_batch_is_its_images_one_by_one_for_pixel_recipes(squeezenet):
    """Each step is of one length for each image, so that company changes nothing but chance."""
    both = visualize_subject(squeezenet, Classes((130, 76)), method="simonyan", size=64, steps=3)
    assert both.shape == (2, 3, 64, 64)
    assert float((both[0] - both[1]).abs().max()) > 0.01


def test_diversity_keeps_facets_apart(squeezenet):
    alike = {}
    for weight in (0.0, 2.0):
        images = visualize_subject(
            squeezenet, Channels("fire5", (8, 8, 8)), size=80, steps=40, diversity=weight, seed=1
        )
        alike[weight] = float(batch_similarity(squeezenet.features(images, ["fire5"])["fire5"]))
    assert alike[2.0] < alike[0.0]


def test_facets_start_from_the_means_of_clusters():
    """Two kinds of photos, and others that do not activate the class."""
    chance = torch.Generator().manual_seed(0)
    kinds = torch.tensor([0] * 6 + [1] * 4 + [2] * 10)
    pixels = (kinds * 0.3 + 0.1).view(-1, 1, 1, 1).expand(-1, 3, 4, 4).contiguous()
    vectors = nn.functional.one_hot(kinds, 3) + 0.01 * torch.randn(20, 3, generator=chance)
    scores = torch.where(kinds == 2, -1.0, 1.0) + 0.1 * torch.rand(20, generator=chance)
    starts = facet_starts(pixels, scores, vectors, 2)
    torch.testing.assert_close(starts[:, 0, 0, 0], torch.tensor([0.1, 0.4]))
    with pytest.raises(UsageError, match="at least 21"):
        facet_starts(pixels, scores, vectors, 21)


class _Painter(nn.Module):
    """A generator of flat colors."""

    def __init__(self):
        super().__init__()
        self.color = nn.Linear(5, 3)

    def forward(self, code):
        return torch.tanh(self.color(code)).view(-1, 3, 1, 1).expand(-1, 3, 64, 64)


def test_a_generators_latent_code_is_optimized(squeezenet):
    torch.manual_seed(0)
    scores = []
    images = visualize_subject(
        squeezenet,
        Classes((130,)),
        generator=torch.jit.script(_Painter()),
        latent=(5,),
        steps=30,
        on_step=lambda step: scores.append(step.terms["score"]),
    )
    assert images.shape == (1, 3, 64, 64)
    assert max(scores[-5:]) > scores[0]
    with pytest.raises(UsageError, match="no latent code"):
        visualize_subject(squeezenet, Classes((130,)), generator=_Painter(), latent=(6,), steps=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Name either"),
        ({"target": "flamingo", "layer": "fire5"}, "Name either"),
        ({"layer": "fire5"}, "channel too"),
        ({"target": "flamingo", "method": "magic"}, "there are lucid, simonyan, yosinski"),
        ({"target": "dragonfruit"}, "no class"),
    ],
)
def test_invalid_arguments_are_refused(squeezenet, arguments, message):
    with pytest.raises(UsageError, match=message):
        cnnviz.visualize(squeezenet, **arguments)
