"""Networks in files, as users have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

TINY = """
import torch
from torch import nn


class Tiny(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.head = nn.Linear(width, 5)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)))
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Writes a Python file with ``Tiny`` and more code; the working folder is its own. Gives its name."""
    monkeypatch.chdir(tmp_path)

    def written(code: str = "", name: str = "my_net.py", start: str = TINY) -> str:
        (tmp_path / name).write_text(start + code)
        return name

    return written
