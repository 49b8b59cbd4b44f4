"""Which source a name belongs to, and what is said of one that nothing loads."""

from __future__ import annotations

import pytest

from cnnviz.errors import ModelError, UsageError
from cnnviz.network.sources import table
from cnnviz.network.sources.table import find_source, needs_trust, require_ready


@pytest.mark.parametrize(
    ("model", "form"),
    [
        ("timm/resnet18", "timm/NAME"),
        ("timm/resnet18.a1_in1k", "timm/NAME"),
        ("hf-hub:timm/resnet18", "hf-hub:ORG/NAME"),
        ("hf_hub:timm/resnet18", "hf-hub:ORG/NAME"),
        ("local-dir:models/mine", "local-dir:FOLDER"),
        ("my_net.py", "FILE.py:NAME"),
        ("a folder/my_net.PY:build(width=2)", "FILE.py:NAME"),
        ("my_net.py:build(path='b.pt2')", "FILE.py:NAME"),
        ("net.pt2", "FILE.pt2"),
    ],
)
def test_a_name_is_recognized_by_its_form(model, form):
    assert find_source(model).form == form


def test_names_of_the_catalogue_are_the_catalogues():
    assert find_source("resnet50") is None
    assert not needs_trust("resnet50")


def test_a_name_that_nothing_recognizes_names_the_nearest():
    with pytest.raises(UsageError, match="Did you mean resnet50"):
        find_source("resnet_50")


def test_weights_are_no_model():
    with pytest.raises(UsageError, match="holds weights, not a network"):
        find_source("mine.pth")


def test_what_is_missing_is_said_before_trust_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for model in ("none.pt2", "none.py:build"):
        with pytest.raises(ModelError, match="does not exist"):
            require_ready(model, trust=True)
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        require_ready(f"local-dir:{tmp_path}", trust=False)


def test_without_timm_the_message_names_the_extra(monkeypatch):
    monkeypatch.setattr(table, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"needs the package timm: pip install 'cnnviz\[timm\]'"):
        require_ready("timm/resnet18", trust=False)
