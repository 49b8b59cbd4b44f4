"""Networks that installed packages offer under ``cnnviz.models``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import cnnviz
from cnnviz.errors import ModelError, UsageError
from cnnviz.network.sources import installed

CODE = """
from torch import nn


def build(width=2):
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, width))
    return net, {"size": 32, "mean": (0.5,) * 3, "std": (0.5,) * 3}


def fail():
    raise OSError("no such file")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Installs a package with these entry points, as pip lays it out; its module is called as the package."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def installed(package: str, **points: str) -> None:
        (tmp_path / f"{package}.py").write_text(CODE)
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package.replace('_', '-')}\nVersion: 1.0\n")
        lines = [f"{name} = {target}" for name, target in points.items()]
        (info / "entry_points.txt").write_text("\n".join(["[cnnviz.models]", *lines, ""]))

    yield installed
    for name in ("zoo_a", "zoo_b"):
        sys.modules.pop(name, None)


def test_an_installed_network_is_known_by_its_name(install):
    install("zoo_a", tiny_net="zoo_a:build", broken="zoo_a:fail", gone="zoo_a:none")
    network = cnnviz.load_network("tiny_net", device="cpu")
    assert (network.name, network.classes, network.spec.size, network.spec.assumed) == ("tiny_net", 2, 32, ())
    assert cnnviz.load_network("tiny_net(width=4)", device="cpu").classes == 4
    assert cnnviz.load_network("tiny_net@zoo-a(width=3)", device="cpu").classes == 3
    with pytest.raises(ModelError, match=r"'broken' failed at line 11 of 'zoo_a.py': OSError: no such file\."):
        cnnviz.load_network("broken")
    with pytest.raises(ModelError, match="'gone' failed"):
        cnnviz.load_network("gone")
    with pytest.raises(UsageError, match="Did you mean tiny_net"):
        cnnviz.load_network("tinynet")
    with pytest.raises(UsageError, match="There is no model called 'tiny_net@other'"):
        cnnviz.load_network("tiny_net@other")


def test_a_name_of_two_packages_must_name_one(install):
    install("zoo_a", tiny_net="zoo_a:build")
    install("zoo_b", tiny_net="zoo_b:build")
    with pytest.raises(UsageError, match="name one, as tiny_net@zoo-a or tiny_net@zoo-b"):
        cnnviz.load_network("tiny_net")
    assert cnnviz.load_network("tiny_net@zoo_b", device="cpu").classes == 2


def test_the_catalogues_names_go_first(install):
    install("zoo_a", squeezenet1_1="zoo_a:build")
    assert cnnviz.load_network("squeezenet1_1", device="cpu").classes == 1000
    assert cnnviz.load_network("squeezenet1_1@zoo-a", device="cpu").classes == 2
    assert [point.name for point in installed.offered()] == ["squeezenet1_1"]
