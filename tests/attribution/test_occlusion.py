"""Occlusion against captum, its fills and scores, and where it lights the photos."""

from __future__ import annotations

import json

import pytest
import torch
from captum.attr import Occlusion
from PIL import Image

import cnnviz
from cnnviz.attribution.occlusion import occlusion_grids
from cnnviz.attribution.settings import OcclusionSettings
from cnnviz.errors import CnnvizError

NET = ("-m", "squeezenet1_1")
HEAD = (20, 5, 215, 270)
"""The cat's head in chelsea.png: top, left, bottom, right in pixels of the photo at 224 pixels' height."""
CUP = (10, 95, 165, 235)
"""The cup in coffee.png, likewise."""


@pytest.mark.parametrize("algorithm", ["incremental", "full"])
def test_occlusion_is_captums(squeezenet, chelsea, algorithm):
    pixels = chelsea[..., 60:156, 90:218]
    fill = torch.full((1, 3, 1, 1), 0.5)
    reference = Occlusion(squeezenet).attribute(
        pixels, sliding_window_shapes=(3, 16, 16), strides=(3, 8, 8), target=285, baselines=fill.expand_as(pixels)
    )[:, :1]
    found = cnnviz.occlusion(
        squeezenet, pixels, 285, patch=16, stride=8, fill="grey", score="logit", algorithm=algorithm
    )
    assert found.shape == (1, 1, 96, 128)
    assert (found - reference).abs().max() <= 1e-5 * float(squeezenet(pixels).abs().max())


def test_patches_reach_the_border_whatever_the_stride(squeezenet, chelsea):
    (grid,) = occlusion_grids(squeezenet, chelsea[..., :71, :90], None, OcclusionSettings(17, 20))
    assert grid.tops.tolist() == [0, 20, 40, 54]
    assert grid.lefts.tolist() == [0, 20, 40, 60, 73]
    assert grid.score_drops.shape == grid.classes.shape == (4, 5)


def test_spread_is_the_mean_of_the_patches_over_a_pixel(squeezenet, chelsea):
    (grid,) = occlusion_grids(squeezenet, chelsea[..., :40, :40], None, OcclusionSettings(20, 10))
    found = grid.to_pixels(40, 40)
    assert float(found[0, 0]) == pytest.approx(float(grid.score_drops[0, 0]))
    assert float(found[15, 15]) == pytest.approx(float(grid.score_drops[:2, :2].mean()), rel=1e-5)
    (sparse,) = occlusion_grids(squeezenet, chelsea[..., :40, :40], None, OcclusionSettings(5, 30))
    assert not sparse.to_pixels(40, 40).isnan().any()


@pytest.mark.parametrize("fill", ["mean", "gray", "black", "blur", "noise"])
def test_a_whole_image_patch_shows_the_fill_alone(squeezenet, chelsea, fill):
    from cnnviz.attribution.occlusion import make_fill

    pixels = chelsea[..., :64, :64]
    (grid,) = occlusion_grids(squeezenet, pixels, 285, OcclusionSettings(64, fill=fill, score="logit", seed=4))
    alone = make_fill(pixels, fill, 64, seed=4)
    assert grid.score_drops.shape == (1, 1)
    expected = squeezenet(pixels)[0, 285] - squeezenet(alone)[0, 285]
    assert float(grid.score_drops) == pytest.approx(float(expected), abs=1e-3)
    assert int(grid.classes) == int(squeezenet(alone).argmax())
    assert alone.min() >= 0
    assert alone.max() <= 1


def test_blur_of_a_flat_image_is_flat(squeezenet):
    from cnnviz.attribution.occlusion import make_fill

    flat = torch.full((1, 3, 30, 40), 0.3)
    torch.testing.assert_close(make_fill(flat, "blur", 16, 0), flat)


@pytest.mark.parametrize(("photo", "box"), [("chelsea.png", HEAD), ("coffee.png", CUP)])
def test_pointing_game(squeezenet, samples, photo, box):
    pixels = cnnviz.read_image(samples / photo, size=224)
    found = cnnviz.occlusion(squeezenet, pixels, stride=16)[0, 0]
    row, column = divmod(int(found.argmax()), found.shape[1])
    assert box[0] <= row < box[2]
    assert box[1] <= column < box[3]


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("resnet18", "googlenet")]


@pytest.mark.parametrize("model", ["mobilenet_v3_small", "lenet5", *SLOW])
def test_engines_agree_through_a_network(model, chelsea):
    network = cnnviz.load_network(model, weights="random", labels=["cat", "dog"]).to(torch.float64)
    pixels = torch.nn.functional.interpolate(chelsea, (32, 32) if model == "lenet5" else (67, 90)).double()
    options = {"patch": 11, "stride": 9, "score": "logit"}
    full = cnnviz.occlusion(network, pixels, 1, algorithm="full", **options)
    quick = cnnviz.occlusion(network, pixels, 1, algorithm="auto", **options)
    torch.testing.assert_close(quick, full, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch": 65}, "does not fit an image of 70×64"),
        ({"patch": 0}, "does not fit"),
        ({"stride": 0}, "stride"),
        ({"fill": "pink"}, "no fill 'pink'"),
        ({"score": "rank"}, "no score 'rank'"),
        ({"algorithm": "steam"}, "no algorithm 'steam'"),
    ],
)
def test_invalid_arguments(squeezenet, options, message):
    with pytest.raises(CnnvizError, match=message):
        cnnviz.occlusion(squeezenet, torch.rand(1, 3, 64, 70), **options)


def test_command(run_cnnviz, samples, tmp_path):
    options = ("--stride", 32, "--size", 128, "--class-map", "--json", "--fill", "noise", "--seed", 3)
    record = json.loads(run_cnnviz("occlusion", samples / "coffee.png", *NET, *options).stdout)
    assert record["output"] == "coffee.occlusion.png"
    drops = torch.tensor(record["drops"])
    assert drops.shape == (len(record["tops"]), len(record["lefts"]))
    assert record["largest_drop"] == pytest.approx(float(drops.max()))
    assert Image.open(tmp_path / "coffee.occlusion.png").width > 4 * 500
    raw = run_cnnviz("occlusion", samples / "coffee.png", *NET, *options[:4], "--view", "raw", "-o", "raw.png")
    assert raw.exit_code == 0
    assert Image.open(tmp_path / "raw.png").size == (drops.shape[1], drops.shape[0])
    large = run_cnnviz("occlusion", samples / "coffee.png", *NET, "--patch", 500, "-f")
    assert large.exit_code == 1
    assert "does not fit" in large.stderr


def test_the_old_keywords_still_work(squeezenet):
    pixels = torch.rand(1, 3, 64, 64)
    done = []
    with pytest.warns(DeprecationWarning) as notes:
        found = cnnviz.occlusion(
            squeezenet, pixels, 1, patch=32, stride=16, engine="full", on_progress=lambda *counts: done.append(counts),
            approximate=True,
        )  # fmt: skip
    names = [str(note.message).split("(")[1].split("=")[0] for note in notes]
    assert names == ["engine", "on_progress", "approximate"]
    assert done[-1] == (9, 9)
    torch.testing.assert_close(found, cnnviz.occlusion(squeezenet, pixels, 1, patch=32, stride=16, algorithm="full"))
