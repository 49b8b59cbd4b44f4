"""The gallery is what its tool makes: no picture without its command, no command without its picture."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def gallery():
    spec = importlib.util.spec_from_file_location("make_gallery", ROOT / "tools" / "make_gallery.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_gallery"] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(gallery):
    assert gallery.PAGE.read_text(encoding="utf-8") == gallery.page(), "run python tools/make_gallery.py"
    shown = {f"gallery.{exhibit.name}.jpg" for exhibit in gallery.EXHIBITS}
    assert {path.name for path in gallery.IMAGES.glob("gallery.*")} == shown


def test_an_exhibit_is_made_by_its_command(gallery, tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "IMAGES", tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    gallery.make(gallery.Exhibit("first", "", "filters"))
    made = (tmp_path / "gallery.first.jpg").read_bytes()
    assert made[:2] == b"\xff\xd8"
