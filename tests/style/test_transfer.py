"""Style transfer: what it computes, what it does not change, and that it can be stopped and resumed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.imaging.pixel_ops import luminance, transfer_color
from cnnviz.style.color import match_colors, match_luminance
from cnnviz.style.losses import SCALE, LossWeights, StyleLoss
from cnnviz.style.regions import make_regions
from cnnviz.style.settings import StyleSettings
from cnnviz.style.transfer import StyleTransfer, transfer_style
from cnnviz.synthesis.grid_shift import GridShift
from cnnviz.synthesis.regularizers import total_variation
from cnnviz.synthesis.texture_target import measure_texture


@pytest.fixture(scope="module")
def content(samples):
    return cnnviz.read_image(samples / "chelsea.png", size=(64, 96))


@pytest.fixture(scope="module")
def starry(samples):
    return cnnviz.read_image(samples / "starry.jpg", size=96)


@pytest.fixture(scope="module")
def mosaic(samples):
    return cnnviz.read_image(samples / "mosaic.jpg", size=96)


class Tiny(torch.nn.Module):
    """Two convolutions, in float64, whose losses can be worked out by hand."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(4, 5, 3, stride=2)
        self.head = torch.nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.second(self.first(x).relu()).relu().mean((2, 3)))


@pytest.fixture(scope="module")
def tiny():
    return cnnviz.Network(Tiny(), labels=("a", "b")).to(torch.float64)


def _noise(seed, height=11, width=13):
    return torch.rand(1, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_loss_is_gatys_formulas_each_over_its_value_for_nothing(tiny):
    """Equations 1, 5 and 7 of Gatys, Ecker & Bethge 2016, written out, each divided by what a blank layer has."""
    image, content, style = _noise(1), _noise(2), _noise(3, 9, 10)
    normalized = [tiny.normalize(x) for x in (image, content, style)]
    first = [tiny.body.first(x).relu() for x in normalized]
    second = [tiny.body.second(x).relu() for x in first]

    content_loss = 0.5 * (second[0] - second[1]).square().sum() / (0.5 * second[1].square().sum())
    style_loss = 0.0
    for weight, (x, _, s) in ((2.0, first), (0.5, second)):
        m, k = x[0, 0].numel(), s[0, 0].numel()  # the paper's M, for two sizes: Gram matrices of means
        g, a = (f[0].flatten(1) @ f[0].flatten(1).T / count for f, count in ((x, m), (s, k)))
        style_loss = style_loss + weight * (g - a).square().sum() / a.square().sum()
    expected = SCALE * (0.7 * content_loss + 1.5 * style_loss + 0.1 * total_variation(image).sum())

    names = {"first": "relu", "second": "relu_1"}
    target = measure_texture(tiny, [style], {names["first"]: 2.0, names["second"]: 0.5})
    weights = LossWeights(content=0.7, style=1.5, palette=0.0, tv=0.1)
    loss = StyleLoss(tiny, content, [names["second"]], [(make_regions(1)[0], target)], weights)
    found, parts = loss(image)
    assert float(found) == pytest.approx(float(expected), rel=1e-12)
    assert float(parts["content"]) == pytest.approx(float(content_loss), rel=1e-12)
    assert float(parts["style"]) == pytest.approx(float(style_loss), rel=1e-12)


def test_the_content_itself_has_no_content_loss_wherever_it_lies(squeezenet, content, starry):
    target = measure_texture(squeezenet, [starry], {"relu1": 1.0})
    shift = GridShift(16, 25, seed=2)
    loss = StyleLoss(squeezenet, content, ["fire5"], [(make_regions(1)[0], target)], LossWeights(1, 1, 1, 0), shift)
    for step in (1, 26, 51):
        loss.before_step(step)
        assert float(loss(content)[1]["content"]) == pytest.approx(0, abs=1e-9)


def test_shape_range_and_seed(squeezenet, content, starry):
    made = transfer_style(squeezenet, content, starry, steps=8, seed=1)
    assert made.shape == content.shape
    assert 0 <= float(made.min()) <= float(made.max()) <= 1
    assert torch.equal(made, transfer_style(squeezenet, content, starry, steps=8, seed=1))
    assert (made - transfer_style(squeezenet, content, starry, steps=8, seed=2)).abs().max() > 0.01


def test_network_and_inputs_are_left_as_they_were(squeezenet, content, starry):
    before = {name: value.clone() for name, value in squeezenet.module.state_dict().items()}
    photo, style = content.clone(), starry.clone()
    transfer_style(squeezenet, content, starry, steps=4)
    assert all(torch.equal(value, before[name]) for name, value in squeezenet.module.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in squeezenet.module.parameters())
    assert torch.equal(content, photo)
    assert torch.equal(starry, style)
    assert any(isinstance(m, torch.nn.MaxPool2d) for m in squeezenet.module.modules())


@pytest.mark.parametrize("style_loss", ["gram", "covariance", "wasserstein"])
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_the_style_comes_nearer(squeezenet, content, starry, style_loss, optimizer):
    seen = []
    settings = {"steps": 24, "scales": 1, "style_loss": style_loss, "optimizer": optimizer}
    transfer_style(squeezenet, content, starry, on_step=lambda s: seen.append(s.terms), **settings)
    assert seen[-1]["style"] < 0.7 * seen[0]["style"]
    assert set(seen[0]) == {"loss", "content", "style", "palette", "tv", "lightness"}


def test_one_to_nothing_is_the_single_style_and_weights_are_relative(squeezenet, content, starry, mosaic):
    def made(styles, weights=None):
        return transfer_style(squeezenet, content, styles, weights=weights, steps=6)

    single = made([starry])
    assert torch.equal(made([starry, mosaic], [1, 0]), single)
    assert torch.allclose(made([starry, mosaic], [2, 2]), made([starry, mosaic]), atol=1e-6)
    assert (made([starry, mosaic], [1, 1]) - single).abs().max() > 0.01


def test_a_mask_of_ones_is_no_mask(tiny):
    image, content, style = _noise(4), _noise(5), _noise(6, 9, 10)
    ones = [torch.ones(1, 1, *x.shape[2:], dtype=torch.float64) for x in (content, style)]
    losses = []
    for masks, style_masks in ((None, None), ([ones[0]], [ones[1]])):
        target = measure_texture(tiny, [style], {"relu": 1.0, "relu_1": 1.0}, masks=style_masks)
        region = make_regions(1, None, masks)[0]
        shift = GridShift(4, 1, seed=1)
        shift.draw(1)
        losses.append(StyleLoss(tiny, content, ["relu_1"], [(region, target)], LossWeights(1, 1, 1, 1), shift)(image))
    assert float(losses[0][0]) == pytest.approx(float(losses[1][0]), rel=1e-12)


def test_under_black_the_photo_stays(squeezenet, content, starry):
    half = torch.ones(1, 1, 64, 96)
    half[..., 48:] = 0
    found = transfer_style(squeezenet, content, starry, masks=[half], steps=6)
    assert torch.allclose(found[..., 48:], content[..., 48:], atol=1e-6)
    assert (found[..., :48] - content[..., :48]).abs().max() > 0.05


def test_each_style_keeps_to_its_region(squeezenet, content):
    """Red on the left and blue on the right, with nothing else to say."""
    red, blue = (
        torch.tensor(color).view(1, 3, 1, 1).expand(1, 3, 64, 64) for color in ([0.9, 0.1, 0.1], [0.1, 0.1, 0.9])
    )
    left = torch.zeros(1, 1, 64, 96)
    left[..., :48] = 1
    made = transfer_style(
        squeezenet,
        content,
        [red, blue],
        masks=[left, 1 - left],
        content_weight=0.01,
        lightness_weight=0.0,
        steps=24,
        scales=1,
    )
    balance = (made[:, 0] - made[:, 2]).mean(1)[0]
    assert float(balance[:40].mean()) > 0.2
    assert float(balance[56:].mean()) < -0.2


def test_going_on_after_a_stop_gives_the_same_image(squeezenet, content, starry):
    def begin():
        return StyleTransfer(squeezenet, content, [starry], settings=StyleSettings(steps=40, scales=2), seed=5)

    whole, first, second = begin().run(), begin(), begin()

    def interrupt(step):
        if step.step == 31:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first.run(interrupt)
    assert first.image().shape == content.shape
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.run(), whole)


def test_keeping_color_by_luminance_changes_lightness_alone(squeezenet, content, starry):
    made = transfer_style(squeezenet, content, starry, steps=6, keep_color="luminance")
    assert torch.equal(transfer_color(made, content), transfer_color(made, content).clamp(0, 1))
    inside = (made > 0.02).all(1) & (made < 0.98).all(1)
    chroma = [(x - luminance(x))[0, :, inside[0]] for x in (made, content)]
    assert torch.allclose(*chroma, atol=2e-3)
    assert (luminance(made) - luminance(content)).abs().max() > 0.05


def test_matching_colors_gives_mean_and_covariance_of_the_content():
    generator = torch.Generator().manual_seed(0)
    style = 0.5 + 0.05 * torch.randn(1, 3, 40, 50, dtype=torch.float64, generator=generator)
    mixing = torch.tensor([[1.0, 0.4, 0.1], [0.2, 0.8, 0.0], [0.3, 0.1, 0.5]], dtype=torch.float64)
    content = 0.4 + 0.05 * torch.einsum(
        "oc,nchw->nohw", mixing, torch.randn(1, 3, 30, 20, generator=generator).double()
    )
    matched = match_colors(style, content)
    found, wanted = (x[0].flatten(1) for x in (matched, content))
    assert torch.allclose(found.mean(1), wanted.mean(1), atol=1e-6)
    assert torch.allclose(torch.cov(found), torch.cov(wanted), atol=2e-6)
    gray = match_luminance(style, content)
    assert torch.equal(gray[:, 0], gray[:, 1])
    assert float(gray.mean()) == pytest.approx(float(luminance(content).mean()), abs=1e-6)


@pytest.mark.parametrize("model", ["resnet18", "vgg11", "mobilenet_v2"])
def test_other_networks_run_the_same_code(model, content, starry):
    network = cnnviz.load_network(model, weights="random", device="cpu")
    made = transfer_style(network, content, starry, steps=4, scales=1)
    assert torch.isfinite(made).all()
    assert float(made.std()) > 0.01


def test_bfloat16_paints_as_well_as_float32(squeezenet, samples):
    """The loss of what it painted, judged in float32, is at most 3 % more."""
    content = cnnviz.read_image(samples / "chelsea.png", size=(96, 128))
    style = cnnviz.read_image(samples / "mosaic.jpg", size=128)
    settings, losses = StyleSettings(steps=40), []
    judging = StyleTransfer(squeezenet, content, [style], settings=replace(settings, shift=0))
    judge = judging.prepare_stage(judging.multiscale.stages[-1], content).objective
    for precision in ("fp32", "bf16"):
        network = replace(squeezenet, precision=precision)
        image = StyleTransfer(network, content, [style], settings=settings).run()
        with torch.no_grad():
            losses.append(float(judge(image)[0]))
    assert losses[1] < 1.03 * losses[0]


def test_invalid_settings_are_refused(squeezenet, content, starry):
    bad = (
        *({"style_loss": "mean"}, {"optimizer": "sgd"}, {"keep_color": "some"}, {"init": "white"}, {"steps": 0}),
        *(
            {"content_target": "sketch"},
            {"lightness_weight": -1.0},
            {"content_weight": -1.0},
            {"content_weight": 0.0, "style_weight": 0.0},
            {"style_scale": 0.0},
        ),
        *({"style_layers": ["nowhere"]}, {"layer_weights": [1.0]}, {"weights": [1.0, 2.0]}, {"weights": [0.0]}),
        *({"masks": [torch.zeros(1, 1, 64, 96)]}, {"style_masks": [None, None]}),
        {"masks": [torch.ones(1, 1, 64, 96)] * 2},
    )
    for settings in bad:
        with pytest.raises(UsageError):
            transfer_style(squeezenet, content, [starry], **{"steps": 1, **settings})
