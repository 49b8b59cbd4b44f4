"""``cnnviz.overlay``, ``panel``, ``compare`` and ``write_report``: what the command line draws, from Python."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import cnnviz
from cnnviz.errors import ImageError, UsageError


def same(one: Image.Image, other: Path | str) -> bool:
    return np.array_equal(np.asarray(one.convert("RGB")), np.asarray(Image.open(other).convert("RGB")))


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ("saliency -t tabby", {}),
        ("saliency --method integrated --steps 4", {"method": "integrated", "steps": 4}),
        (
            "saliency -t tabby --view heat --colormap hot --percentile 90 --blur 1",
            {"view": "heat", "colormap": "hot", "percentile": 90, "blur": 1},
        ),
        ("gradcam -t tabby --layer fire5", {"method": "gradcam", "layer": "fire5"}),
        ("gradcam -t tabby --guided", {"method": "guided-gradcam"}),
    ],
)
def test_a_panel_is_the_figure_of_the_command(options, settings, squeezenet, samples, run_cnnviz):
    command, *typed = options.split()
    photo, target = samples / "chelsea.png", "tabby" if "tabby" in typed else None
    assert run_cnnviz(command, photo, *typed, "-m", "squeezenet1_1", "-s", "64", "-o", "typed.png").exit_code == 0
    assert same(cnnviz.panel(squeezenet, photo, target, size=64, **settings), "typed.png")


def test_an_overlay_is_the_overlay_of_the_command(squeezenet, samples, run_cnnviz):
    cnnviz.write_image(cnnviz.read_image(samples / "chelsea.png", size=64), "small.png")
    pixels = cnnviz.read_image("small.png")
    typed = ("saliency", "small.png", "-m", "squeezenet1_1", "-s", "64", "-t", "tabby", "--view", "overlay")
    assert run_cnnviz(*typed, "-o", "typed.png").exit_code == 0
    saliency = cnnviz.saliency(squeezenet, pixels, "tabby")
    assert same(cnnviz.overlay(pixels, saliency, blur=2), "typed.png")
    assert same(cnnviz.overlay(Image.open("small.png"), saliency[0, 0], blur=2), "typed.png")


def test_an_attribution_of_several_channels_is_overlaid_as_its_magnitude_or_its_sum(chelsea):
    attribution = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    magnitude, total = attribution.abs().amax(1), attribution.sum(1)
    assert cnnviz.overlay(chelsea, attribution).tobytes() == cnnviz.overlay(chelsea, magnitude).tobytes()
    signed = cnnviz.overlay(chelsea, attribution, signed=True).tobytes()
    assert signed == cnnviz.overlay(chelsea, total, signed=True).tobytes()


def test_a_comparison_is_the_sheet_of_the_command(squeezenet, samples, run_cnnviz):
    photo = samples / "chelsea.png"
    typed = ("compare", photo, "--methods", "saliency,gradcam", "-s", "64", "-m", "squeezenet1_1", "-t", "tabby")
    assert run_cnnviz(*typed, "-o", "typed.png").exit_code == 0
    assert same(cnnviz.compare(squeezenet, photo, ["saliency", "gradcam"], "tabby", size=64), "typed.png")
    two = cnnviz.compare([squeezenet, squeezenet], photo, "saliency,gradcam", "tabby", size=64)
    assert two.height > 1.9 * Image.open("typed.png").height


def test_figures_take_pil_images_and_pixels_as_they_take_files(squeezenet, samples):
    photo = samples / "chelsea.png"
    by_path = cnnviz.compare(squeezenet, photo, "gradcam", size=64)
    assert by_path.tobytes() == cnnviz.compare(squeezenet, Image.open(photo), "gradcam", size=64).tobytes()
    small = cnnviz.read_image(photo, size=64)
    tile = cnnviz.panel(squeezenet, small, view="overlay")
    assert tile.size == (small.shape[3], small.shape[2])


def test_a_report_is_the_page_of_the_command_without_its_commands(squeezenet, samples, run_cnnviz):
    photo = samples / "chelsea.png"
    options = ("--methods", "saliency", "--layer", "fire2", "--channels-per-layer", "2", "--top", "1")
    assert run_cnnviz("report", photo, "-m", "squeezenet1_1", "-s", "64", *options, "-o", "typed.html").exit_code == 0
    settings = {"methods": "saliency", "layers": ["fire2"], "channels": 2, "top": 1, "size": 64}
    written = cnnviz.write_report(squeezenet, photo, "page.html", **settings)
    typed, page = Path("typed.html").read_text(), written.read_text()
    assert _texts(page) == _texts(typed)
    assert typed.count("data:image") == page.count("data:image")


def _texts(page: str) -> list[str]:
    """What is read on a page, a line for each element, without commands and how they are made."""
    body = re.sub(r"(?s)<div class=\"recipe\">.*?</div>|<script>.*?</script>|<style>.*?</style>", "", page)
    body = body.replace(
        " Every image on it carries its recipe: save one, and <code>cnnviz info</code> shows how it was made.", ""
    )
    return [text for text in (re.sub(r"\s+", " ", part).strip() for part in re.split(r"<[^>]*>", body)) if text]


def test_a_report_explains_a_function_of_the_logits(squeezenet, chelsea, tmp_path):
    def margin(logits):
        return 100 + logits[:, 282] - logits[:, 281]

    options = {"methods": "saliency", "layers": ["fire2"], "channels": 1, "top": 1}
    page = cnnviz.write_report(squeezenet, chelsea, tmp_path / "page.html", target=margin, **options)
    value = float(margin(squeezenet(chelsea)))
    found = re.search(r"explained below is <strong>margin</strong>, ([\d.]+)\.</p>", page.read_text(encoding="utf-8"))
    assert found and float(found[1]) == pytest.approx(value, abs=1)


def test_a_report_takes_images_of_all_kinds_and_never_overwrites(samples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network, pixels = tiny(3), cnnviz.read_image(samples / "chelsea.png", size=32)
    images = [samples / "coffee.png", Image.open(samples / "chelsea.png"), torch.cat([pixels, pixels])]
    settings = {"methods": "saliency", "layers": [], "top": 1}
    page = cnnviz.write_report(network, images, "page.html", **settings)
    assert page == Path("page.html")
    text = page.read_text()
    for name in ("coffee.png", "image 2", "image 3", "image 4"):
        assert f">{name}</h2>" in text
    assert "cnnviz classify" not in text
    before = page.read_bytes()
    with pytest.raises(ImageError, match="exists already"):
        cnnviz.write_report(network, pixels, "page.html")
    with pytest.raises(ImageError, match=r"no\.png"):
        cnnviz.write_report(network, [pixels, "no.png"], "page.html", force=True, **settings)
    assert page.read_bytes() == before
    cnnviz.write_report(network, pixels, "page.html", force=True, title="Mine", **settings)
    assert "<h1>Mine</h1>" in page.read_text()


def tiny(channels: int) -> cnnviz.Network:
    torch.manual_seed(0)
    layers = [nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    module = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 3))
    return cnnviz.Network(module, channels=channels, size=32, labels=("a", "b", "c"))


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_images_of_any_channels_are_shown(channels, tmp_path):
    network, pixels = tiny(channels), torch.rand(1, channels, 32, 32)
    assert cnnviz.overlay(pixels, cnnviz.saliency(network, pixels)).size == (32, 32)
    for method in ("saliency", "guided", "gradcam"):
        assert cnnviz.panel(network, pixels, "b", method=method).mode == "RGB"
    assert cnnviz.compare(network, pixels, "saliency,guided").mode == "RGB"
    text = cnnviz.write_report(network, pixels, tmp_path / "page.html", methods="saliency", layers=["0"]).read_text()
    assert ("mean of 2 channels" in text, "channels 1, 2, 3" in text) == (channels == 2, channels == 4)


def test_the_channels_that_figures_show_are_chosen():
    network, pixels = tiny(4), torch.rand(1, 4, 32, 32)
    nothing = torch.zeros(1, 1, 32, 32)
    chosen = np.asarray(cnnviz.overlay(pixels, nothing, show_channels=(4, 2, 1)))
    expected = np.asarray(cnnviz.overlay(pixels[:, [3, 1, 0]], nothing))
    assert np.array_equal(chosen, expected)
    first, last = (cnnviz.panel(network, pixels, show_channels=each).tobytes() for each in (None, (4, 2, 1)))
    assert first != last


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net, x: cnnviz.panel(net, x, method="saliency,gradcam"), "one method, not of 2"),
        (
            lambda net, x: cnnviz.panel(net, x, method="gradcam", steps=3),
            "gradcam has no setting 'steps'; it has layer",
        ),
        (lambda net, x: cnnviz.panel(net, x, view="other"), "no view 'other'"),
        (lambda net, x: cnnviz.panel(net, torch.cat([x, x])), "not 2 images"),
        (lambda net, x: cnnviz.panel(net, np.zeros((3, 8, 8))), "a NumPy array"),
        (lambda net, x: cnnviz.panel(net, 255 * x), "divide bytes by 255"),
        (lambda net, x: cnnviz.compare([], x), "no network"),
        (lambda net, x: cnnviz.compare(net, x, "nothing"), "no method 'nothing'"),
        (lambda net, x: cnnviz.overlay(255 * x, x[0, 0]), "divide bytes by 255"),
        (lambda net, x: cnnviz.overlay(x, x[0, 0, 0]), "A map must have the shape"),
        (lambda net, x: cnnviz.write_report(net, [], "page.html"), "There are no images"),
        (lambda net, x: cnnviz.write_report(net, x, "page.png"), "not named .html"),
    ],
)
def test_a_mistake_is_an_error_of_one_sentence(call, message, squeezenet, chelsea):
    with pytest.raises(UsageError, match=message):
        call(squeezenet, chelsea)
