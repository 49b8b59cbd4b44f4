"""What is explained: a class however it is named, what speaks against it, or any function of the logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cnnviz
from cnnviz.attribution.targets import Against, Contrast, predict_target, targets_of
from cnnviz.errors import UsageError
from cnnviz.figures.captions import explanation_title, three_digits
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec
from cnnviz.network.targets import find_class, negated

SPEC = InputSpec(size=12, mean=(0.4,) * 3, std=(0.3,) * 3)
PIXELS = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class Small(nn.Module):
    """Two convolutions and a linear layer; with ``weights`` (rows of classes), only those combinations of classes."""

    def __init__(self, combined: Tensor | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.head = nn.Linear(6, 4)
        self.double()
        if combined is not None:
            with torch.no_grad():
                weight, bias = combined @ self.head.weight, combined @ self.head.bias
            self.head = nn.Linear(6, len(combined)).double()
            self.head.weight.data, self.head.bias.data = weight, bias

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))


@pytest.fixture
def network() -> Network:
    return Network(Small(), spec=SPEC, labels=("cat", "dog", "-5", "-wolf")).to(torch.float64)


METHODS = {
    "saliency": cnnviz.saliency,
    "input x gradient": cnnviz.input_x_gradient,
    "smoothgrad": lambda *of: cnnviz.smoothgrad(*of, samples=4),
    "integrated": lambda *of: cnnviz.integrated_gradients(*of, steps=6),
    "guided": cnnviz.guided_backprop,
    "deconvnet": cnnviz.deconvnet,
    "grad_cam": lambda *of: cnnviz.grad_cam(*of, layer="body.3"),
    "guided_grad_cam": lambda *of: cnnviz.guided_grad_cam(*of, layer="body.3"),
    "occlusion": lambda *of: cnnviz.occlusion(*of, patch=4, stride=4, score="logit"),
}


def same(one: Tensor, other: Tensor) -> None:
    assert one.abs().max() > 0
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_one_logit_that_is_a_difference_is_explained_as_that_difference_is(network, method):
    """The head of one output, logit(cat) - logit(dog), is what a two-class softmax decides by."""
    difference = Network(Small(torch.tensor([[1.0, -1, 0, 0]]).double()), spec=SPEC).to(torch.float64)
    torch.testing.assert_close(difference(PIXELS)[:, 0], network(PIXELS)[:, 0] - network(PIXELS)[:, 1])
    expected = METHODS[method](network, PIXELS, lambda logits: logits[:, 0] - logits[:, 1])
    same(METHODS[method](difference, PIXELS, 0), expected)


def test_the_probability_of_a_difference_is_its_sigmoid_and_occlusion_measures_it(network):
    difference = Network(Small(torch.tensor([[1.0, -1, 0, 0]]).double()), spec=SPEC, labels=["cat"]).to(torch.float64)
    two = Network(Small(torch.eye(4).double()[:2]), spec=SPEC).to(torch.float64)
    probability = two.probabilities(two(PIXELS))[:, 0]
    torch.testing.assert_close(difference.probabilities(difference(PIXELS))[:, 0], probability)
    assert [found[0].score for found in difference.predict(PIXELS)] == pytest.approx(probability.tolist())
    found = cnnviz.occlusion(difference, PIXELS, 0, patch=4, stride=4)
    same(found, cnnviz.occlusion(two, PIXELS, 0, patch=4, stride=4))
    same(found, cnnviz.occlusion(two, PIXELS, lambda y: (y[:, 0] - y[:, 1]).sigmoid(), patch=4, stride=4))


@pytest.mark.parametrize("method", METHODS)
def test_what_speaks_against_a_class_is_its_negative_logit(network, method):
    found = METHODS[method](network, PIXELS, "-dog")
    same(found, METHODS[method](network, PIXELS, lambda logits: -logits[:, 1]))
    both = METHODS[method](network, PIXELS, ["dog", "-dog"])
    same(both[:1], METHODS[method](network, PIXELS[:1], 1))
    if method != "smoothgrad":  # whose noise goes on from image to image
        same(both[1:], METHODS[method](network, PIXELS[1:], Against(1)))


def test_against_a_class_the_probability_of_the_others_drops(network):
    settings = {"patch": 4, "stride": 4}
    same(cnnviz.occlusion(network, PIXELS, "-cat", **settings), -cnnviz.occlusion(network, PIXELS, "cat", **settings))
    curve = cnnviz.deletion_curve(network, PIXELS, cnnviz.saliency(network, PIXELS, 0), "-cat", steps=3)
    other = cnnviz.deletion_curve(network, PIXELS, cnnviz.saliency(network, PIXELS, 0), "cat", steps=3)
    torch.testing.assert_close(curve.probabilities, 1 - other.probabilities)


@pytest.mark.parametrize("method", METHODS)
def test_a_class_versus_another_is_the_difference_of_their_logits(network, method):
    found = METHODS[method](network, PIXELS, cnnviz.Versus("cat", "dog"))
    same(found, METHODS[method](network, PIXELS, lambda logits: logits[:, 0] - logits[:, 1]))
    assert METHODS[method](network, PIXELS, cnnviz.Versus("cat", 0)).count_nonzero() == 0


def test_versus_by_default_is_of_the_predicted_class(network):
    predicted = network(PIXELS).argmax(1).tolist()
    other = (predicted[0] + 1) % 4
    found = predict_target(network, PIXELS[:1], cnnviz.Versus(None, other))
    assert found.explained == Contrast(predicted[0], other)
    assert found.name == f"{network.label(predicted[0])} versus {network.label(other)}"
    assert found.name.split(" versus ")[1] in explanation_title("net", found)
    both = cnnviz.saliency(network, PIXELS, [cnnviz.Versus("cat", "dog"), "dog"])
    same(both[:1], cnnviz.saliency(network, PIXELS[:1], cnnviz.Versus(0, 1)))


def test_occlusion_versus_is_the_change_of_the_log_odds(network):
    two = Network(Small(torch.eye(4).double()[:2]), spec=SPEC).to(torch.float64)
    odds = lambda logits: torch.log(logits.softmax(1)[:, 0] / logits.softmax(1)[:, 1])  # noqa: E731
    settings = {"patch": 4, "stride": 4}
    same(
        cnnviz.occlusion(two, PIXELS, cnnviz.Versus(0, 1), **settings), cnnviz.occlusion(two, PIXELS, odds, **settings)
    )
    curve = cnnviz.deletion_curve(two, PIXELS, cnnviz.saliency(two, PIXELS, 0), cnnviz.Versus(0, 1), steps=3)
    other = cnnviz.deletion_curve(two, PIXELS, cnnviz.saliency(two, PIXELS, 0), 0, steps=3)
    torch.testing.assert_close(curve.probabilities, other.probabilities)  # of two classes there are only the two


@pytest.mark.parametrize("target", ["-cat", lambda logits: logits[:, 0]])
def test_only_a_class_is_compared_with_a_class(network, target):
    with pytest.raises(UsageError, match="Only a class is compared with another"):
        cnnviz.saliency(network, PIXELS, cnnviz.Versus(target, "dog"))
    with pytest.raises(UsageError, match="Name both classes"):
        cnnviz.saliency(network, PIXELS, [cnnviz.Versus(None, "dog"), 0])
    with pytest.raises(UsageError, match="no class called 'lynx'"):
        cnnviz.saliency(network, PIXELS, cnnviz.Versus(0, "lynx"))


@pytest.mark.parametrize(
    "target",
    [1, "1", "dog", "do", np.int64(1), np.array(1), torch.tensor(1), torch.tensor([1, 1]), np.array([1, 1]), [1, "dog"],
     (np.int32(1), torch.tensor(1)), [lambda logits: logits[:, 1], 1]],
)  # fmt: skip
def test_a_class_may_be_named_in_many_ways(network, target):
    same(cnnviz.saliency(network, PIXELS, target), cnnviz.saliency(network, PIXELS, 1))


@pytest.mark.parametrize(
    ("text", "found"),
    [("-dog", Against(1)), ("-0", Against(0)), ("-5", 2), ("-WOLF", 3), (" -cat ", Against(0)), ("-do", Against(1))],
)
def test_a_leading_dash_is_against_unless_a_class_is_called_just_that(network, text, found):
    logits = network(PIXELS)
    assert targets_of(network, logits, text) == [found, found]
    explanation = predict_target(network, PIXELS[:1], text)
    assert explanation.explained == found
    assert explanation.name == ("against " * explanation.against) + network.label(getattr(found, "index", found))


@pytest.mark.parametrize("text", ["--5", "-", "5", "- ", "a-b"])
def test_other_dashes_mean_nothing(text):
    assert negated(("a", "b"), text) is None


def test_where_a_class_itself_is_needed_its_opposite_is_refused(network):
    with pytest.raises(UsageError, match="'-dog' is what speaks against 'dog', which only maps"):
        find_class(network.labels, "-dog")
    with pytest.raises(UsageError, match="compared with another, as 'dog', not with what speaks against"):
        cnnviz.saliency(network, PIXELS, cnnviz.Versus(0, "-dog"))
    with pytest.raises(UsageError, match="no class called 'lynx'"):
        cnnviz.saliency(network, PIXELS, "-lynx")
    with pytest.raises(UsageError, match="Class index -1 is out of range"):
        cnnviz.saliency(network, PIXELS, -1)
    with pytest.raises(UsageError, match="index or its name, not by <built-in function"):
        cnnviz.fgsm(network, PIXELS.float(), target=len)


def test_a_function_is_explained_in_figures_under_its_own_name(network):
    def cat_or_dog(logits):
        return logits[:, :2].sum(1)

    explanation = predict_target(network, PIXELS[:1], cat_or_dog)
    score = float(cat_or_dog(network(PIXELS[:1])))
    assert (explanation.explained, explanation.name, explanation.target.score) == (cat_or_dog, "cat_or_dog", score)
    title = explanation_title("net", explanation)
    assert title.startswith(f"net: cat_or_dog {three_digits(score)} (it says {explanation.predicted.label} ")
    pixels = PIXELS[:1].float()
    drawn = cnnviz.panel(network, pixels, lambda logits: -logits[:, 1], view="raw")
    assert np.array_equal(drawn, cnnviz.panel(network, pixels, "-dog", view="raw"))
    assert not np.array_equal(drawn, cnnviz.panel(network, pixels, cat_or_dog, view="raw"))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda logits: logits.sum(), r"shape \(2,\), of logits of the shape \(2, 4\); this one gives the shape \(\)"),
        (lambda logits: logits[:, :1], r"gives the shape \(2, 1\)"),
        (lambda logits: 1.0, "gives the type float"),
        (lambda logits: logits.argmax(1), "floats"),
        (lambda logits: logits.detach()[:, 0], "has no gradient"),
    ],
)
def test_a_function_that_makes_no_score_of_each_image_is_named(network, function, message):
    with pytest.raises(UsageError, match=message):
        cnnviz.saliency(network, PIXELS, function)
