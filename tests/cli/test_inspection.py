"""``layers``, ``models`` and ``doctor``."""

from __future__ import annotations

import json

from cnnviz.network import catalogue


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


def test_models_list_states(run_cnnviz, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    path = catalogue.entry("resnet18").default.path
    path.parent.mkdir(parents=True)
    path.touch()
    rows = [json.loads(line) for line in run_cnnviz("models", "list", "--json").stdout.splitlines()]
    states = {(row["model"], row["weights"]): row["state"] for row in rows}
    assert states["squeezenet1_1", "embedded"] == "embedded"
    assert states["resnet18", "IMAGENET1K_V1"] == "on disk"
    assert states["vgg19", "IMAGENET1K_V1"] == "to download"
    here = run_cnnviz("models", "list", "--here").stdout
    assert len(here.splitlines()) == 3
    assert run_cnnviz("models", "path", "resnet18").stdout.strip() == str(path)
    assert run_cnnviz("models", "fetch", "resnet18").exit_code == 3  # offline, even though it is there


def test_models_alone_lists_all(run_cnnviz):
    assert len(run_cnnviz("models").stdout.splitlines()) > 70


def test_doctor_finds_the_embedded_network(run_cnnviz):
    facts = json.loads(run_cnnviz("doctor", "--json").stdout)
    assert facts["embedded network"].startswith("squeezenet1_1, ")
    assert facts["weights on disk"] == "none"
    assert "embedded network" in run_cnnviz("doctor").stdout
