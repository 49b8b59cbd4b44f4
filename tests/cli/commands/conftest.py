"""A folder of images for the commands about collections."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def photos(samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three folders with five crops of one photo each; the store is empty."""
    monkeypatch.setenv("CNNVIZ_STORE", str(tmp_path / "store"))
    rng = random.Random(1)
    for name in ("chelsea.png", "coffee.png", "gravel.png"):
        photo = Image.open(samples / name).convert("RGB")
        home = tmp_path / "photos" / Path(name).stem
        home.mkdir(parents=True)
        for number in range(5):
            side = int(min(photo.size) * 0.7)
            left, top = rng.randint(0, photo.width - side), rng.randint(0, photo.height - side)
            photo.crop((left, top, left + side, top + side)).resize((96, 96)).save(home / f"{home.name}{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch):
    """From now on a network that is asked for features of images fails the test."""

    def forbid() -> None:
        from cnnviz.features import feature_index

        def refuse(*_: object) -> None:
            raise AssertionError("an image was read again")

        monkeypatch.setattr(feature_index, "batches_of", lambda items, *_: refuse() if list(items) else [])

    return forbid
