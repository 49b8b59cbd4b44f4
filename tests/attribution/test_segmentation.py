"""GrabCut from a map of where the object is: drawn objects of known outline, the sample photos, and the command."""

from __future__ import annotations

import json
import sys
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

import cnnviz
from cnnviz.attribution.segmentation import mask_warning
from cnnviz.errors import ImageError, UsageError
from cnnviz.imaging.pixels import to_pil_image
from cnnviz.imaging.recipe import read_recipe

NET = ("-m", "squeezenet1_1")


def disc(height: int, width: int, radius: float) -> torch.Tensor:
    """True within ``radius`` of a point left of the middle."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (rows - height * 0.5) ** 2 + (columns - width * 0.4) ** 2 <= radius**2


def scene(height: int, width: int, radius: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A reddish disc before a greenish ground, both noisy, and a map that is bright in part of the disc only."""
    noise = 0.08 * torch.randn(3, height, width, generator=torch.Generator().manual_seed(0))
    inside = disc(height, width, radius)
    colors = torch.where(
        inside, torch.tensor([0.7, 0.3, 0.2])[:, None, None], torch.tensor([0.3, 0.5, 0.4])[:, None, None]
    )
    found = disc(height, width, radius / 2).float() + 0.2 * inside + 0.05 * noise[0].abs()
    return (colors + noise).clamp(0, 1)[None], found[None, None]


def overlap(mask: torch.Tensor, truth: torch.Tensor) -> float:
    """Intersection over union."""
    return float((mask & truth).sum() / (mask | truth).sum())


def test_a_drawn_disc_is_found_whole():
    pixels, found = scene(120, 160, 40)
    mask = cnnviz.segment_foreground(pixels, found)
    assert (mask.shape, mask.dtype) == ((1, 1, 120, 160), torch.bool)
    assert overlap(mask[0, 0], disc(120, 160, 40)) > 0.97


def test_large_images_are_cut_small_and_enlarged():
    """The map may be of another size than the image, and the outline stays smooth at the image's own size."""
    pixels, _ = scene(600, 800, 200)
    _, small = scene(120, 160, 40)
    mask = cnnviz.segment_foreground(pixels, small, side=160)
    assert mask.shape == (1, 1, 600, 800)
    assert overlap(mask[0, 0], disc(600, 800, 200)) > 0.95
    edges = (mask[..., 1:] != mask[..., :-1]).sum(-1)
    assert edges.max() <= 2, "one disc: a row goes in and out once"


def test_each_image_of_a_batch_has_its_own_mask():
    (one, its), (other, others) = scene(90, 120, 25), scene(90, 120, 35)
    masks = cnnviz.segment_foreground(torch.cat([one, other]), torch.cat([its, others]))
    assert torch.equal(masks[1:], cnnviz.segment_foreground(other, others))
    assert torch.equal(masks[:1], cnnviz.segment_foreground(one, its))


def test_parts_without_a_seed_are_dropped():
    """A second disc of the same color, where the map is dark, belongs to what is foreground by color alone."""
    pixels, found = scene(120, 200, 30)
    pixels[..., 45:75, 160:190] = torch.tensor([0.7, 0.3, 0.2])[:, None, None]
    mask = cnnviz.segment_foreground(pixels, found)[0, 0]
    assert overlap(mask, disc(120, 200, 30)) > 0.95
    assert not mask[50:70, 165:185].any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("photo", "inside", "outside"),
    [
        ("chelsea.png", [(90, 115), (60, 150), (115, 230), (170, 120)], [(120, 320), (20, 20), (200, 300), (215, 20)]),
        ("coffee.png", [(60, 170), (150, 90), (190, 150)], [(10, 10), (40, 320), (210, 320), (10, 320)]),
    ],
)
def test_the_cat_and_the_cup_are_cut_out(squeezenet, samples, photo, inside, outside):
    """Places (row, column) on the object and on what is behind it, in the image at 224 pixels."""
    pixels = cnnviz.read_image(samples / photo, size=224)
    photo_pixels = cnnviz.read_image(samples / photo)
    scale = photo_pixels.shape[2] / 224
    whole = cnnviz.segment_foreground(photo_pixels, cnnviz.object_map(squeezenet, pixels))[0, 0]
    mask = {place: bool(whole[int(place[0] * scale), int(place[1] * scale)]) for place in inside + outside}
    assert all(mask[place] for place in inside)
    assert not any(mask[place] for place in outside)


def test_what_cannot_be_cut_is_an_error():
    pixels, found = scene(40, 50, 10)
    with pytest.raises(ImageError, match="too even"):
        cnnviz.segment_foreground(pixels, torch.ones_like(found))
    with pytest.raises(UsageError, match="Percentiles"):
        cnnviz.segment_foreground(pixels, found, foreground=50, background=30)
    with pytest.raises(UsageError, match=r"maps \(N, 1, h, w\)"):
        cnnviz.segment_foreground(pixels, found.expand(2, -1, -1, -1))


@pytest.mark.slow
def test_command_writes_mask_cut_out_and_overlay(run_cnnviz, samples, tmp_path):
    arguments = ("saliency", samples / "coffee.png", *NET, "--size", 112, "--grabcut", "-o", "cup.png")
    result = run_cnnviz(*arguments, "--json")
    record = json.loads(result.stdout)
    assert record["companions"] == ["cup.mask.png", "cup.cutout.png", "cup.overlay.png"]
    mask, cut, overlay = (Image.open(tmp_path / name) for name in record["companions"])
    assert mask.size == cut.size == overlay.size == (600, 400)
    assert (mask.mode, cut.mode) == ("L", "RGBA")
    assert set(np.unique(np.asarray(mask))) == {0, 255}
    assert record["foreground_share"] == pytest.approx(np.asarray(mask).mean() / 255, abs=1e-3)
    alpha = np.asarray(cut)[..., 3]
    assert (alpha[100, 300], alpha[5, 5]) == (255, 0), "the cup is opaque, the corner transparent"
    photo = np.asarray(Image.open(samples / "coffee.png").convert("RGB"))
    np.testing.assert_array_equal(np.asarray(cut)[..., :3], photo)
    recipe, main = read_recipe(tmp_path / "cup.cutout.png"), read_recipe(tmp_path / "cup.png")
    assert {key: value for key, value in recipe.items() if not key.startswith("companion")} == main
    again = run_cnnviz(*arguments)
    assert again.exit_code == 2


def test_the_object_map_follows_the_class_that_is_named(squeezenet, samples):
    """It lies in [0, 1], and another class than the likeliest one moves it."""
    pixels = cnnviz.read_image(samples / "coffee.png", size=112)
    found = cnnviz.object_map(squeezenet, pixels)
    assert found.shape == (1, 1, *pixels.shape[2:])
    assert (float(found.min()), float(found.max())) == (0, 1)
    spoon = cnnviz.object_map(squeezenet, pixels, "wooden spoon")
    assert (found - spoon).abs().max() > 0.05
    assert torch.equal(found, cnnviz.object_map(squeezenet, pixels))


def test_a_margin_is_background_where_the_map_is_not_sure():
    pixels, found = scene(120, 160, 40)
    reaching = torch.roll(pixels, -40, 3), torch.roll(found, -40, 3)  # the disc goes over the left border
    without, cut = (cnnviz.segment_foreground(*reaching, margin=margin)[0, 0] for margin in (0.0, 0.1))
    truth = torch.roll(disc(120, 160, 40), -40, 1)
    assert overlap(without, truth) > overlap(cut, truth)
    assert without[30, :6].any()
    assert not cut[30, :6].any()


@pytest.mark.parametrize(
    ("rows", "columns", "words"),
    [
        (slice(1, 9), slice(1, 9), "keeps 64 % of the image"),
        (slice(0, 10), slice(4, 6), None),
        (slice(3, 6), slice(3, 6), None),
    ],
)
def test_a_cut_that_is_hardly_an_object_is_warned_of(rows, columns, words):
    mask = torch.zeros(10, 10, dtype=torch.bool)
    mask[rows, columns] = True
    assert (mask_warning(mask) or "") == (f"it {words}" if words else "")
    mask[0, 5] = mask[9, 5] = mask[5, 0] = mask[5, 9] = True
    assert words or mask_warning(mask) == "it touches every border of the image"


@pytest.mark.slow
def test_gradcam_cuts_out_too_and_a_doubtful_cut_is_said_so(run_cnnviz, samples, tmp_path, monkeypatch):
    arguments = ("gradcam", samples / "coffee.png", *NET, "--size", 64, "--grabcut", "--json", "-f", "-o", "cup.png")
    record = json.loads(run_cnnviz(*arguments).stdout)
    assert record["companions"] == ["cup.mask.png", "cup.cutout.png", "cup.overlay.png"]
    assert "foreground_doubt" not in record
    monkeypatch.setattr("cnnviz.attribution.segmentation.mask_warning", lambda mask: "it keeps 70 % of the image")
    result = run_cnnviz(*arguments)
    assert json.loads(result.stdout)["foreground_doubt"].startswith("it keeps ")
    assert "the cut-out may not be the object: it keeps" in result.stderr


def test_standard_output_takes_one_image(run_cnnviz, samples):
    result = run_cnnviz("saliency", samples / "coffee.png", *NET, "--grabcut", "-o", "-")
    assert result.exit_code == 2
    assert "--grabcut writes several files" in result.stderr


def test_without_opencv_only_grabcut_is_lost(run_cnnviz, tmp_path, monkeypatch):
    """As where libGL is missing: one sentence before any work, while the map itself is made as ever."""
    monkeypatch.setitem(sys.modules, "cv2", None)
    (tmp_path / "a.png").write_bytes(_png(64))
    lost = run_cnnviz("saliency", "a.png", *NET, "--grabcut")
    assert lost.exit_code == 2
    assert "pip install opencv-python-headless" in lost.stderr
    assert lost.stderr.count("\n") == 1
    assert run_cnnviz("saliency", "a.png", *NET).exit_code == 0


def _png(side: int) -> bytes:
    buffer = BytesIO()
    to_pil_image(torch.rand(3, side, side, generator=torch.Generator().manual_seed(0))).save(buffer, "png")
    return buffer.getvalue()
