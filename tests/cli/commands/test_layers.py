"""``cnnviz layers``."""

from __future__ import annotations

import json


def test_layers_table_of_a_network_without_its_weights(run_cnnviz):
    result = run_cnnviz("layers", "-m", "vgg16", "-v")
    line = next(line for line in result.stdout.splitlines() if "conv5_3" in line)
    assert line.split() == [
        "features.28",
        "conv5_3",
        "Conv2d",
        "512×14×14",
        "2,359,808",
        "462,422,016",
        "196×196",
        "16",
    ]
    assert "138,357,544 parameters, 15.470 G multiply-adds" in result.stderr


def test_layers_as_json_found_by_alias_at_another_size(run_cnnviz):
    result = run_cnnviz("layers", "-m", "squeezenet1_1", "--find", "fire9", "--json", "--size", 320)
    rows = {row["layer"]: row for row in map(json.loads, result.stdout.splitlines())}
    assert rows["features.12.cat"]["shape"] == [512, 19, 19]
    assert rows["features.12.cat"]["aliases"][0] == "fire9"
    assert rows["features.12.cat"]["receptive_field"] == [207, 207]


def test_a_name_that_no_layer_has_is_said(run_cnnviz):
    result = run_cnnviz("layers", "-m", "squeezenet1_1", "--find", "fyre")
    assert result.exit_code == 0
    assert "No layer of squeezenet1_1 has 'fyre' in a name." in result.stderr
