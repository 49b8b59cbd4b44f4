"""``cnnviz invert`` as typed."""

from __future__ import annotations

import json

from PIL import Image

NET = ("-m", "squeezenet1_1")


def test_several_layers_make_a_strip(run_cnnviz, samples):
    common = ("invert", samples / "chelsea.png", *NET, "--size", 64, "--steps", 5, "--json")
    strip = json.loads(run_cnnviz(*common, "--layer", "fire2,fire9").stdout)
    assert [row["layer"] for row in strip["layers"]] == ["fire2", "fire9"]
    assert all(row["feature_error"] > 0 for row in strip["layers"])
    alone = json.loads(run_cnnviz(*common, "--layer", "fire2", "--raw", "-o", "one.png").stdout)
    assert Image.open(alone["output"]).size == (96, 64)
    unknown = run_cnnviz(*common, "--layer", "fire2,fire10", "-o", "none.png")
    assert unknown.exit_code == 2
    assert "fire10" in unknown.stderr


def test_layers_may_be_repeated_and_the_old_spelling_works_with_a_note(run_cnnviz, samples):
    common = ("invert", samples / "chelsea.png", *NET, "--size", 32, "--steps", 1)
    assert run_cnnviz(*common, "-l", "fire2", "--layer", "fire3,fire2", "-o", "a.png").stderr == ""
    old = run_cnnviz(*common, "--layers", "fire2,fire3", "-o", "b.png")
    assert "--layers is called --layer now" in old.stderr
    assert Image.open("a.png").tobytes() == Image.open("b.png").tobytes()
