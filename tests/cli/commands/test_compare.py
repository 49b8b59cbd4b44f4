"""``cnnviz compare``: the sheet, its tiles, its labels, several networks, and its recipe."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
from PIL import Image

import cnnviz
from cnnviz.attribution.registry import METHODS, select_methods
from cnnviz.errors import UsageError

NET = ("-m", "squeezenet1_1")
SMALL = ("--size", 64)


def test_sheet_has_a_row_for_each_network_and_a_tile_for_each_method(squeezenet, run_cnnviz, samples, tmp_path):
    fast = ("--methods", "saliency,gradcam", *SMALL)
    one = run_cnnviz("compare", samples / "coffee.png", *NET, *fast, "-o", "one.png", "--json")
    two = run_cnnviz(
        *("compare", samples / "coffee.png", *NET, "-m", "resnet18", "-w", "random", *fast),
        *("-o", "{stem}-{model}.png", "--json"),
    )
    record = json.loads(two.stdout)
    assert record["output"] == "coffee-squeezenet1_1+resnet18.png"
    assert record["model"] == ["squeezenet1_1", "resnet18"]
    assert [look["model"] for look in record["networks"]] == record["model"]
    assert all(0 < look["target"]["probability"] <= 1 for look in record["networks"])
    small = cnnviz.read_image(samples / "coffee.png", size=64)
    ((index, label, probability),) = squeezenet.predict(small, 1)[0]
    expected = {"index": index, "label": label, "probability": pytest.approx(probability, abs=1e-5)}
    assert json.loads(one.stdout)["networks"] == [{"model": "squeezenet1_1", "target": expected, "predicted": expected}]
    single, double = Image.open(tmp_path / "one.png"), Image.open(tmp_path / record["output"])
    assert double.size == (single.width, 2 * single.height)
    assert single.width > 3 * 260 * 600 / 400, "the photo and two maps"


def test_tiles_are_the_methods_own_maps(squeezenet, run_cnnviz, samples, tmp_path):
    """In gray a tile of Grad-CAM correlates with the library's map as nothing else would."""
    run_cnnviz("compare", samples / "chelsea.png", *NET, "--methods", "gradcam", "--view", "raw", "-o", "a.png")
    sheet = np.asarray(Image.open(tmp_path / "a.png").convert("L"), dtype=float)
    expected = cnnviz.grad_cam(squeezenet, cnnviz.read_image(samples / "chelsea.png", size=224))[0, 0].numpy()
    width = round(260 * 336 / 224)
    rows = np.nonzero((sheet < 200).sum(1) > width)[0]
    top, left = rows[0], sheet.shape[1] - np.nonzero((sheet < 200).any(0))[0][::-1][0]
    tile = sheet[top : top + 260, sheet.shape[1] - left - width : sheet.shape[1] - left]
    shown = np.asarray(Image.fromarray(expected).resize((tile.shape[1], tile.shape[0])))
    assert np.corrcoef(tile.ravel(), shown.ravel())[0, 1] > 0.97


def test_methods_are_named_or_refused(run_cnnviz, samples):
    assert list(select_methods("gradcam, Guided ,gradcam").values()) == [METHODS["gradcam"], METHODS["guided"]]
    with pytest.raises(UsageError, match="No method is named"):
        select_methods(" , ")
    result = run_cnnviz("compare", samples / "coffee.png", *NET, "--methods", "saliency,gardcam")
    assert result.exit_code == 2
    assert "There is no method 'gardcam' (did you mean gradcam?)" in result.stderr
    assert all(name in result.stderr for name in METHODS)


@pytest.mark.slow
def test_recipe_makes_the_sheet_again(run_cnnviz, samples, tmp_path, monkeypatch):
    """Networks, methods, view and class come back by ``cnnviz info --command``."""
    picture = tmp_path / "coffee.png"
    picture.write_bytes((samples / "coffee.png").read_bytes())
    options = ("--methods", "saliency,smoothgrad", "--view", "heat", "--target", "soup bowl", "--seed", 3, *SMALL)
    networks = (*NET, "-m", "resnet18", "-w", "random")
    first = run_cnnviz("compare", "coffee.png", *networks, *options, "-o", "a.png")
    assert first.exit_code == 0
    words = shlex.split(run_cnnviz("info", "a.png", "--command").stdout)
    assert words.count("--model") == 2
    assert run_cnnviz(*words[1:], "-o", "b.png").exit_code == 0
    np.testing.assert_array_equal(np.asarray(Image.open("a.png")), np.asarray(Image.open("b.png")))


def test_without_a_target_each_network_explains_its_own_class(run_cnnviz, samples):
    arguments = ("compare", samples / "coffee.png", *NET, "-m", "resnet18", "-w", "random", "--methods", "saliency")
    free = json.loads(run_cnnviz(*arguments, *SMALL, "--json").stdout)["networks"]
    assert all(look["target"] == look["predicted"] for look in free)
    pinned = json.loads(run_cnnviz(*arguments, *SMALL, "--json", "--force", "--target", 967).stdout)["networks"]
    assert [look["target"]["label"] for look in pinned] == ["espresso", "espresso"]


def test_networks_that_are_not_there(run_cnnviz, samples):
    unknown = run_cnnviz("compare", samples / "coffee.png", *NET, "-m", "resnet19")
    assert (unknown.exit_code, "resnet19" in unknown.stderr) == (2, True)
    absent = run_cnnviz("compare", samples / "coffee.png", *NET, "-m", "resnet18")
    assert (absent.exit_code, "resnet18" in absent.stderr) == (3, True)


def test_one_networks_maps_wrap_and_those_of_several_stand_in_rows(run_cnnviz, samples, tmp_path):
    arguments = ("compare", samples / "coffee.png", "--size", 64, "-m", "squeezenet1_1", "-f")
    run_cnnviz(*arguments, "--methods", "saliency,guided,gradcam,input-x-gradient,deconvnet", "-o", "six.png")
    run_cnnviz(*arguments, "--methods", "saliency,guided,gradcam", "-o", "four.png")
    six, four = (Image.open(tmp_path / name) for name in ("six.png", "four.png"))
    assert six.width < four.width
    assert six.height > 1.5 * four.height
