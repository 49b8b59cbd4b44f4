"""Training in several processes."""

from __future__ import annotations

import sys

import pytest

from cnnviz.errors import UsageError
from cnnviz.runtime.distributed import launch_fabric, process_count, require_fabric


def test_one_process_needs_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    require_fabric()
    assert process_count() == 1
    assert launch_fabric("cpu") is None


def test_several_processes_need_fabric(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(UsageError, match=r"cnnviz\[train\]"):
        require_fabric()
