"""``cnnviz models``."""

from __future__ import annotations

import json

from cnnviz.network import catalogue


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


def test_models_alone_lists_all_and_says_what_else_there_is(run_cnnviz):
    done = run_cnnviz("models")
    assert len(done.stdout.splitlines()) > 70
    assert "--model also takes timm/NAME, hf-hub:ORG/NAME, local-dir:FOLDER" in done.stderr


def test_networks_of_installed_packages_are_listed(run_cnnviz, tmp_path, monkeypatch):
    info = tmp_path / "zoo_c-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo-c\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cnnviz.models]\nmy_net = zoo_c:build\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert run_cnnviz("models", "list", "--here").stdout.splitlines()[-1].split() == ["my_net", "zoo-c", "installed"]
    row = json.loads(run_cnnviz("models", "list", "--json").stdout.splitlines()[-1])
    assert row == {"model": "my_net", "weights": "zoo-c", "parameters": None, "mebibytes": None, "state": "installed"}


def test_a_group_runs_its_command_with_the_environment(run_cnnviz, monkeypatch):
    monkeypatch.setenv("CNNVIZ_JSON", "1")
    assert json.loads(run_cnnviz("models").stdout.splitlines()[0])["state"] == "embedded"


def test_an_unknown_command_of_a_group_is_a_usage_error(run_cnnviz):
    assert run_cnnviz("models", "nonsense").exit_code == 2
