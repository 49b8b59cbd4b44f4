"""The setting that names the objects that people have marked in images."""

from __future__ import annotations

from typing import Any

from cnnviz.settings import setting

_WHAT = "marked objects to measure maps by: VOC .xml, COCO .json, or a folder of .xml or masks."


def boxes_setting() -> Any:
    """Where objects are marked, ``str | None``, which ``pipeline.marked_objects`` reads."""
    return setting(None, f"With --check: {_WHAT}", metavar="FILE|FOLDER")


def rank_boxes_setting() -> Any:
    """Where objects are marked, for rankings, ``str | None``."""
    return setting(None, f"With --rank: {_WHAT}", metavar="FILE|FOLDER")
