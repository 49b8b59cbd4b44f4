"""Whether an image is computed whole or in tiles, by the memory available, and the size that would fit."""

from __future__ import annotations

import re

import pytest

import cnnviz
from cnnviz.errors import MemoryShortError, UsageError
from cnnviz.network.default_layers import style_layers
from cnnviz.style.settings import StyleSettings
from cnnviz.style.transfer import StyleTransfer
from cnnviz.synthesis import estimate
from cnnviz.synthesis.estimate import choose_tile, held_bytes, needs_tiles, pass_bytes

BIG = (1024, 1536)


@pytest.fixture(scope="module")
def layers(squeezenet):
    return list(style_layers(squeezenet).style)


def test_tiles_are_as_large_as_fit_and_used_only_where_the_whole_does_not(squeezenet, layers):
    whole = held_bytes(BIG) + pass_bytes(squeezenet, layers, BIG)
    assert choose_tile(squeezenet, layers, BIG, free=round(2 * whole)) == 0
    free = round(held_bytes(BIG) / 0.85 + 0.3 * pass_bytes(squeezenet, layers, BIG))
    tile = choose_tile(squeezenet, layers, BIG, free=free)
    assert 192 <= tile < 1024
    assert held_bytes(BIG) + pass_bytes(squeezenet, layers, BIG, tile) <= free
    assert needs_tiles(BIG, tile)
    assert not needs_tiles((tile, tile), tile)


def test_the_suggested_size_fits_and_a_larger_one_does_not(squeezenet, layers):
    free = 200 << 20
    with pytest.raises(MemoryShortError, match="GiB") as told:
        choose_tile(squeezenet, layers, BIG, free=free)
    side = int(re.search(r"shorter side of (\d+)", str(told.value))[1])
    assert choose_tile(squeezenet, layers, (side, side * 3 // 2), free=free) >= 0
    with pytest.raises(MemoryShortError):
        choose_tile(squeezenet, layers, (round(side * 1.2), round(side * 1.8)), free=free)


def test_a_size_that_fits_is_found_however_large_the_image_is(squeezenet, layers):
    with pytest.raises(MemoryShortError, match=r"shorter side of (\d+) would fit") as told:
        choose_tile(squeezenet, layers, (300_000, 450_000), free=400 << 20)
    side = int(re.search(r"shorter side of (\d+)", str(told.value))[1])
    with pytest.raises(MemoryShortError):
        choose_tile(squeezenet, layers, (side + 8, (side + 8) * 3 // 2), free=400 << 20)
    assert choose_tile(squeezenet, layers, (side, side * 3 // 2), free=400 << 20) >= 0


def test_a_given_tile_is_used_or_refused(squeezenet, layers):
    assert choose_tile(squeezenet, layers, BIG, 256, free=1) == 256
    with pytest.raises(UsageError, match="192"):
        choose_tile(squeezenet, layers, BIG, 100)
    with pytest.raises(MemoryShortError):
        choose_tile(squeezenet, layers, BIG, 0, free=1 << 20)


@pytest.mark.slow
def test_a_painting_in_tiles_is_the_same_and_its_estimate_tells_of_them(squeezenet, samples):
    content = cnnviz.read_image(samples / "chelsea.png", size=(220, 330))
    style = cnnviz.read_image(samples / "starry.jpg", size=128)
    made = []
    for tile in (0, 208):
        settings = StyleSettings(steps=3, scales=1, adam_fraction=0.0, fixed_fraction=0.0, optimizer="adam", tile=tile)
        transfer = StyleTransfer(squeezenet, content, [style], settings=settings)
        made.append(transfer.run())
    assert float((made[0] - made[1]).abs().mean()) < 2e-3
    told = transfer.estimate()
    assert told.tile == 208
    assert "tiles of 208 px" in str(told)
    assert told.bytes < held_bytes((220, 330)) + pass_bytes(squeezenet, transfer.layers, (220, 330))


def test_free_memory_is_asked_of_the_device_by_default(squeezenet, layers, monkeypatch):
    monkeypatch.setattr(estimate, "available_memory", lambda device: 1800 << 20)
    assert 0 < choose_tile(squeezenet, layers, (1024, 1024)) < 1024
    monkeypatch.setattr(estimate, "available_memory", lambda device: None)
    assert choose_tile(squeezenet, layers, (1 << 14, 1 << 14)) == 0
