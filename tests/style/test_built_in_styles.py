"""The built-in styles, on photos they were not trained on."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import cnnviz
from cnnviz.imaging.image_io import read_image
from cnnviz.style.model_file import BUILT_IN_STYLES, load_fast_style, read_metadata, thumbnail
from cnnviz.style.perceptual_loss import PerceptualLoss
from cnnviz.style.settings import TrainingSettings

STYLES = ("starry", "mosaic", "ink")


@pytest.fixture(scope="module")
def model():
    return load_fast_style()


def test_it_is_small_and_tells_how_it_was_made(model):
    assert BUILT_IN_STYLES.stat().st_size < 4_000_000
    assert model.styles == STYLES
    assert all(thumbnail(BUILT_IN_STYLES, style).exists() for style in STYLES)
    training = read_metadata(BUILT_IN_STYLES)["training"]
    assert training["perceived_by"] == "squeezenet1_1"
    assert training["settings"]["steps"] >= 1000


def likeness(network, one, other) -> float:
    """How alike two images of one size are in what a middle layer sees at each place, beyond its mean."""
    seen = [network.features(pixels, ["fire6"])["fire6"] for pixels in (one, other)]
    return float(torch.cosine_similarity(*[(x - x.mean((2, 3), keepdim=True)).flatten() for x in seen], dim=0))


@pytest.mark.parametrize(("photo", "another"), [("chelsea.png", "coffee.png"), ("coffee.png", "chelsea.png")])
def test_held_out_photos_come_nearer_to_each_style_and_stay_what_they_are(model, squeezenet, samples, photo, another):
    pixels, elsewhere = (read_image(samples / name, (192, 288)) for name in (photo, another))
    images = [read_image(samples / f"{style}.jpg") for style in STYLES]
    loss = PerceptualLoss(squeezenet, images, TrainingSettings())
    with torch.no_grad():
        for number, style in enumerate(STYLES):
            painted = cnnviz.apply_fast_style(model, pixels, style)
            before, after = (loss(seen, pixels, torch.tensor([number]))[1] for seen in (pixels, painted))
            assert after["style"] < before["style"] / 2.5
            assert after["palette"] < before["palette"] / 2.5
            nearest = min(range(3), key=lambda i: float(loss(painted, pixels, torch.tensor([i]))[1]["style"]))
            assert nearest == number
            assert likeness(squeezenet, painted, pixels) > 1.4 * likeness(squeezenet, painted, elsewhere)


def test_a_blend_is_in_between(model, squeezenet, samples):
    pixels = read_image(samples / "coffee.png", 192)
    starry, ink, blend = (
        cnnviz.apply_fast_style(model, pixels, style) for style in ("starry", "ink", {"starry": 1, "ink": 1})
    )
    apart = (starry - ink).square().mean()
    assert (blend - starry).square().mean() < apart
    assert (blend - ink).square().mean() < apart
    colors = torch.stack([x.mean((0, 2, 3)) for x in (starry, ink, blend)])
    assert (colors[2] > colors[:2].min(0).values - 0.05).all()
    assert (colors[2] < colors[:2].max(0).values + 0.05).all()


def test_it_paints_without_any_classification_network(samples, tmp_path):
    script = (
        "import sys\nfrom cnnviz.cli.app import app\n"
        f"sys.argv = ['cnnviz', 'fast-style', 'apply', {str(samples / 'chelsea.png')!r}, '--style', 'mosaic']\n"
        "try:\n    app()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'torchvision', 'torch._dynamo', 'cnnviz.network.loading', 'cnnviz.network.squeezenet', 'sklearn'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, timeout=240, check=True)
    assert (tmp_path / "chelsea.fast-style.png").exists()
