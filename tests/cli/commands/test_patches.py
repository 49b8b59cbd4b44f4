"""``patches``: what excites channels of a layer most."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

NET = ("-m", "squeezenet1_1", "--size", "96")


def test_patches_come_from_where_the_activation_is_greatest(run_cnnviz, squeezenet, photos, tmp_path, no_network):
    import cnnviz

    options = ("--layer", "fire4", "--channel", "7,200", "--top", 3, "--json")
    record = json.loads(run_cnnviz("patches", "photos", "-r", *NET, *options).stdout)
    assert [row["channel"] for row in record["channels"]] == [7, 200]
    for row in record["channels"]:
        strongest = {}
        for path in sorted((tmp_path / "photos").rglob("*.png")):
            maps = squeezenet.features(cnnviz.read_image(path, size=96), ["fire4"])["fire4"]
            strongest[path.name] = float(maps[0, row["channel"]].max())
        expected = sorted(strongest.items(), key=lambda pair: -pair[1])[:3]
        assert [Path(patch["file"]).name for patch in row["patches"]] == [name for name, _ in expected]
        assert [patch["activation"] for patch in row["patches"]] == pytest.approx([v for _, v in expected], rel=1e-3)
    assert Image.open(tmp_path / "photos.patches.png").width > 500
    no_network()
    other = run_cnnviz("patches", "photos", "-r", *NET, "--layer", "features.6", "-o", "other.png", "--json")
    assert len(json.loads(other.stdout)["channels"]) == 6  # another channel of the same layer is known already


def test_guided_rows_stand_under_the_patches(run_cnnviz, photos, tmp_path):
    options = ("--layer", "fire4", "--channel", "7,200", "--top", 3, "--json")
    plain = json.loads(run_cnnviz("patches", "photos", "-r", *NET, *options, "-o", "plain.png").stdout)
    guided = json.loads(run_cnnviz("patches", "photos", "-r", *NET, *options, "-o", "guided.png", "--guided").stdout)
    assert guided["channels"] == plain["channels"]
    one, two = (np.asarray(Image.open(tmp_path / name), dtype=int) for name in ("plain.png", "guided.png"))
    assert two.shape[0] > 1.6 * one.shape[0] and two.shape[1] == one.shape[1]
    mid_gray = (abs(two - 128) <= 1).all(axis=2)
    assert 0.1 < mid_gray.mean() < 0.6  # what does not matter to the channel, in the gradients only
    assert (abs(one - 128) <= 1).all(axis=2).mean() < 0.01


def test_what_lies_outside_a_patch_does_not_matter_to_it(squeezenet, chelsea):
    """The guided gradient of an activation is zero beyond the window that is cut out."""
    from cnnviz.attribution.guided_backprop import rectified_gradient
    from cnnviz.features.maps import map_layer
    from cnnviz.features.top_activations import channel_maxima

    peaks = channel_maxima(squeezenet, chelsea, "fire4")
    row, column = int(peaks.rows[0, 7]), int(peaks.columns[0, 7])
    gradient = rectified_gradient(squeezenet, chelsea, lambda maps: maps[0, 7, row, column], "guided", "fire4")[0]
    top, left, bottom, right = (max(side, 0) for side in map_layer(squeezenet, "fire4").field.window(row, column))
    assert gradient[:, top:bottom, left:right].abs().max() > 0
    gradient[:, top:bottom, left:right] = 0
    assert gradient.abs().max() == 0
