"""``cnnviz filters``."""

from __future__ import annotations

import json
from io import BytesIO

import numpy as np
from PIL import Image

NET = ("-m", "squeezenet1_1")


def test_filters_are_named_after_the_network_and_carry_their_recipe(run_cnnviz, tmp_path):
    result = run_cnnviz("filters", *NET, "--json")
    record = json.loads(result.stdout)
    assert (record["output"], record["layer"], record["shape"]) == (
        "squeezenet1_1.filters.png",
        "features.0",
        [64, 3, 3, 3],
    )
    shown = run_cnnviz("info", "--command", "squeezenet1_1.filters.png")
    assert shown.stdout == "cnnviz filters --model squeezenet1_1 --seed 0 -o squeezenet1_1.filters.again.png\n"
    picture = np.asarray(Image.open(tmp_path / "squeezenet1_1.filters.png"))
    assert (np.ptp(picture.astype(int), axis=2) > 60).mean() > 0.2  # in color
    again = run_cnnviz("filters", *NET)
    assert (again.exit_code, again.stdout) == (2, "")
    assert "--force overwrites" in again.stderr


def test_deeper_filters_are_gray_and_limited(run_cnnviz, tmp_path):
    run_cnnviz("filters", *NET, "--layer", "fire3/expand3x3", "--limit", 4, "-o", "a.png")
    run_cnnviz("filters", *NET, "--layer", "fire3/expand3x3", "--limit", 8, "-o", "{model}-{target}.png")
    small = Image.open(tmp_path / "a.png")
    large = Image.open(tmp_path / "squeezenet1_1-features.4.expand3x3.png")
    assert small.width < large.width and small.height < large.height
    assert np.ptp(np.asarray(large).astype(int), axis=2).max() <= 2
    wrong = run_cnnviz("filters", *NET, "--layer", "fire4", "-o", "b.png")
    assert wrong.exit_code == 2
    assert "'fire4' is no convolution" in wrong.stderr


def test_filters_to_standard_output(run_cnnviz):
    result = run_cnnviz("filters", *NET, "-o", "-")
    assert Image.open(BytesIO(result.stdout_bytes)).format == "PNG"
