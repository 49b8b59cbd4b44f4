"""``cnnviz texture`` as typed."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from cnnviz.cli.options.images import parse_size
from cnnviz.errors import UsageError

NET = ("-m", "squeezenet1_1")


def test_texture_of_another_size_and_shape(run_cnnviz, samples):
    common = (*NET, "--sample-size", 48, "--steps", 4)
    assert run_cnnviz("texture", samples / "brick.png", *common, "--size", "80x56", "-o", "a.png").exit_code == 0
    assert Image.open("a.png").size == (80, 56)
    assert run_cnnviz("texture", samples / "brick.png", *common, "--size", "big").exit_code == 2


def test_texture_strip_and_baseline(run_cnnviz, samples):
    common = (*NET, "--sample-size", 32)
    strip = run_cnnviz("texture", samples / "gravel.png", *common, "--steps", 2, "--strip", "--json", "-o", "s.png")
    assert len(json.loads(strip.stdout)["layers"]) == 7
    baseline = ("texture", samples / "gravel.png", *common, "--method", "efros-leung", "--size", 40, "-o", "e.png")
    assert run_cnnviz(*baseline).exit_code == 0
    assert Image.open("e.png").size == (40, 40)
    assert run_cnnviz(*baseline, "--force", "--strip").exit_code == 2


def test_layers_may_be_repeated_or_listed(run_cnnviz, samples, tmp_path):
    common = ("texture", samples / "brick.png", *NET, "--sample-size", 40, "--steps", 2)
    assert run_cnnviz(*common, "-l", "fire2,fire4", "-o", "listed.png").exit_code == 0
    assert run_cnnviz(*common, "-l", "fire2", "-l", "fire4", "-o", "repeated.png").exit_code == 0
    listed, repeated = (Image.open(tmp_path / name).tobytes() for name in ("listed.png", "repeated.png"))
    assert listed == repeated


def test_parsing_of_sizes():
    assert parse_size("768x512") == (512, 768)
    assert parse_size("64") == (64, 64)
    for wrong in ("0", "12x", "x"):
        with pytest.raises(UsageError):
            parse_size(wrong)
