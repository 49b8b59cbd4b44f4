"""The list of ImageNet's synsets: what the tool makes of timm's lists, and that the file is what it makes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "make_imagenet_synonyms.py"


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("make_imagenet_synonyms", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_lines_are_in_the_order_of_the_outputs(tool, tmp_path):
    (tmp_path / "imagenet_synsets.txt").write_text("n00000002\nn00000001\n")
    lemmas = "n00000001\tcat,  true cat\nn00000002\tdog\nn00000003\tno class\n"
    (tmp_path / "imagenet_synset_to_lemma.txt").write_text(lemmas)
    assert tool.synset_lines(tmp_path) == ["n00000002\tdog", "n00000001\tcat, true cat"]


def test_the_file_is_what_the_tool_makes(tool):
    pytest.importorskip("timm")
    assert tool.TARGET.read_text(encoding="utf-8").splitlines() == tool.synset_lines(tool.timm_lists())
