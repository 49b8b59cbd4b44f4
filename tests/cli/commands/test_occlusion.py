"""``cnnviz occlusion``."""

from __future__ import annotations

import json

NET = ("-m", "squeezenet1_1")
SMALL = ("-s", 64, "--stride", 32)


def test_gray_is_spelled_either_way(run_cnnviz, samples):
    runs = [
        run_cnnviz("occlusion", samples / "coffee.png", *NET, *SMALL, "--fill", fill, "-o", f"{fill}.png", "--json")
        for fill in ("gray", "grey")
    ]
    assert [run.stderr for run in runs] == ["", ""]
    american, british = (json.loads(run.stdout) for run in runs)
    assert american["drops"] == british["drops"]
    assert american["parameters"] == british["parameters"] == {"size": 64, "stride": 32, "fill": "gray"}


def test_the_check_needs_a_place_beside_the_map(run_cnnviz, samples):
    run = run_cnnviz("occlusion", samples / "coffee.png", *NET, *SMALL, "--check", "-o", "-")
    assert run.exit_code == 2
    assert "--check" in run.stderr
