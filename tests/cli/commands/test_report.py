"""``report`` through the command line: the page is written like any output, and its recipes are true."""

from __future__ import annotations

import base64
import json
import re
import shlex
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from cnnviz.attribution.registry import DEFAULT_REPORTED, select_methods
from cnnviz.imaging.recipe import read_recipe

NET = ("-m", "squeezenet1_1", "--size", "96")
ONE_LAYER = ("--layer", "fire9", "--channels-per-layer")
QUICK = (*NET, "--methods", "saliency", *ONE_LAYER, 2, "--top", 1, "--fool-into", "goldfish")


def pictures_in(page: str) -> list[tuple[dict, Image.Image]]:
    """The pictures shown with their recipes, in the page's order; those without a recipe are left out."""
    found = []
    for content in re.findall(r'<img src="data:image/\w+;base64,([^"]+)"', page):
        data = base64.b64decode(content)
        image = Image.open(BytesIO(data))
        if image.format == "PNG" and "cnnviz" not in image.info:
            continue
        if image.format == "WEBP" and not image.getexif():
            continue
        found.append((read_recipe(data), image.convert("RGB")))
    return found


@pytest.mark.slow
def test_the_methods_are_on_the_page_and_its_command_makes_the_picture(run_cnnviz, samples, tmp_path):
    """What ``compare`` draws is a sheet; all others are compared pixel by pixel, but for WebP's loss."""
    reported = list(select_methods(DEFAULT_REPORTED).values())
    (tmp_path / "chelsea.png").write_bytes((samples / "chelsea.png").read_bytes())
    made = run_cnnviz("report", "chelsea.png", *NET, "--top", 2, *ONE_LAYER, 3, "--json")
    record = json.loads(made.stdout)
    assert record["output"] == "chelsea.report.html"
    assert record["pictures"][0]["maps"] == [method.title for method in reported]
    page = (tmp_path / "chelsea.report.html").read_text(encoding="utf-8")
    assert record["bytes"] == len(page.encode())
    shown = [(recipe, image) for recipe, image in pictures_in(page) if recipe["command"] not in ("classify", "compare")]
    overlays = [method for method in reported if method.has_overlay]
    cams, fooled = 2, 1
    assert len(shown) == len(overlays) + cams + fooled
    for number, (recipe, image) in enumerate(shown):
        path = tmp_path / f"{number}.png"
        path.write_bytes(_png(image, recipe))
        line = json.loads(run_cnnviz("info", path).stdout)["command_line"]
        again = run_cnnviz(*shlex.split(line)[1:], "-o", f"again{number}.png")
        assert again.exit_code == 0, again.stderr
        true = np.asarray(Image.open(tmp_path / f"again{number}.png").convert("RGB"), dtype=float)
        loss = 0 if recipe["command"] == "fool" else 4
        assert np.abs(true - np.asarray(image, dtype=float)).mean() <= loss, line


def _png(image: Image.Image, recipe: dict) -> bytes:
    from cnnviz.imaging.encoding import encode

    return encode(image, "png", recipe)


def test_a_bad_picture_is_told_of_and_left_out(run_cnnviz, samples, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    made = run_cnnviz("report", samples / "coffee.png", "broken.png", *QUICK, "-o", "page.html")
    assert made.exit_code == 1
    assert "broken.png" in made.stderr
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<article") == 1 and "coffee.png" in page
    none = run_cnnviz("report", "broken.png", *QUICK, "-o", "none.html")
    assert none.exit_code == 1
    assert not (tmp_path / "none.html").exists()


def test_the_page_goes_where_outputs_go(run_cnnviz, samples, tmp_path):
    first = run_cnnviz("report", samples / "coffee.png", *QUICK, "-o", "-")
    assert first.stdout.startswith("<!doctype html>")
    refused = run_cnnviz("report", samples / "coffee.png", *QUICK, "-o", "page.png")
    assert refused.exit_code == 2
    assert ".html" in refused.stderr
    folder = run_cnnviz("report", samples / "coffee.png", *QUICK, "-o", "pages/", "--title", "My <page>")
    assert folder.stdout == "pages/coffee.report.html\n"
    assert "<h1>My &lt;page&gt;</h1>" in (tmp_path / "pages/coffee.report.html").read_text(encoding="utf-8")
    again = run_cnnviz("report", samples / "coffee.png", *QUICK, "-o", "pages/")
    assert again.exit_code == 2
    assert "--force" in again.stderr
    left = run_cnnviz("report", samples / "coffee.png", *QUICK, "-o", "pages/", "--skip-existing")
    assert left.exit_code == 0 and left.stdout == ""


def test_the_same_seed_gives_the_same_page(run_cnnviz, samples, tmp_path):
    one, two = (run_cnnviz("report", samples / "coffee.png", *QUICK, "-o", "-").stdout_bytes for _ in range(2))
    assert one == two


@pytest.mark.parametrize("wrong", [("--methods", "salience"), ("--layer", "fire99"), ("--target", "unicorn")])
def test_an_unknown_name_is_a_usage_error(run_cnnviz, samples, tmp_path, wrong):
    made = run_cnnviz("report", samples / "coffee.png", *QUICK, *wrong, "-o", "page.html")
    assert made.exit_code == 2
    assert wrong[1] in made.stderr
    assert not (tmp_path / "page.html").exists()


@pytest.mark.slow
def test_two_photos_at_full_size_stay_below_five_megabytes(run_cnnviz, samples, tmp_path):
    made = run_cnnviz(
        "report", samples / "chelsea.png", samples / "coffee.png", "-m", "squeezenet1_1", "-o", "report.html"
    )
    assert made.exit_code == 0, made.stderr
    assert 500_000 < (tmp_path / "report.html").stat().st_size < 5_000_000
