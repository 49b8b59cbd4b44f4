"""A small folder of pictures of known classes: crops of sample photos."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from PIL import Image

PHOTOS = ("chelsea.png", "coffee.png", "gravel.png", "rocket.jpg")


@pytest.fixture(scope="session")
def crops(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a folder for each of four photos, and six square crops of it in each, 96 pixels wide."""
    folder = tmp_path_factory.mktemp("pictures") / "crops"
    rng = random.Random(0)
    for name in PHOTOS:
        photo = Image.open(samples / name).convert("RGB")
        home = folder / Path(name).stem
        home.mkdir(parents=True)
        for number in range(6):
            side = int(min(photo.size) * rng.uniform(0.6, 0.9))
            left, top = rng.randint(0, photo.width - side), rng.randint(0, photo.height - side)
            crop = photo.crop((left, top, left + side, top + side)).resize((96, 96))
            crop.save(home / f"{home.name}_{number}.png")
    return folder
