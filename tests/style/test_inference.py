"""Painting photos of any size: tiles give the image that one pass gives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from cnnviz.errors import ImageError, UsageError
from cnnviz.style import inference
from cnnviz.style.fast import FastStyleConfig, FastStyleNetwork, noise_map
from cnnviz.style.inference import apply_fast_style


@pytest.fixture(scope="module")
def network() -> FastStyleNetwork:
    torch.manual_seed(1)
    return FastStyleNetwork(["a", "b"], FastStyleConfig((4, 6, 8), blocks=2, kernel=9)).eval().requires_grad_(False)


def photo(height: int, width: int, seed: int = 0) -> torch.Tensor:
    coarse = torch.rand(1, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("size", [(16, 16), (37, 50), (64, 101)])
def test_any_size_is_rendered_and_kept(network, size):
    pixels = photo(*size)
    before = pixels.clone()
    painted = apply_fast_style(network, pixels, "a")
    assert painted.shape == pixels.shape
    assert 0 <= painted.min() < painted.max() <= 1
    assert torch.equal(pixels, before)
    assert torch.equal(painted, apply_fast_style(network, pixels, {"a": 2.0}))
    assert (painted - apply_fast_style(network, pixels, "a", seed=1)).abs().max() > 0.01


def test_the_margin_is_cropped(network):
    """An image's borders look no different in the middle of a larger, mirrored one, but for the statistics."""
    pixels = photo(64, 64)
    margin = network.config.margin
    larger = F.pad(pixels, (margin,) * 4, mode="reflect")
    bare = network(larger, network.style_weights("a"), noise_map(*larger.shape[2:]))[
        ..., margin:-margin, margin:-margin
    ]
    assert torch.allclose(apply_fast_style(network, pixels, "a"), bare, atol=1e-6)


def test_tiles_are_the_whole_where_the_statistics_are_those_of_the_whole(network):
    pixels, told = photo(301, 418), []
    whole = apply_fast_style(network, pixels, "b")
    tiled = apply_fast_style(network, pixels, "b", tile=96, on_step=lambda step: told.append((step.step, step.total)))
    assert (tiled - whole).abs().max() < 1e-4
    assert told == [(i, 20) for i in range(1, 21)]


def test_statistics_of_a_small_version_change_little_and_leave_no_seam(network, monkeypatch):
    pixels = photo(304, 416)
    whole = apply_fast_style(network, pixels, "b")
    monkeypatch.setattr(inference, "OVERVIEW", 152 * 208)
    tiled = apply_fast_style(network, pixels, "b", tile=104)
    assert (tiled - whole).abs().mean() < 0.05
    across = (tiled[..., 1:] - tiled[..., :-1]).abs().amax((0, 1, 2))
    seams = torch.tensor([88 * k - 1 - network.config.margin for k in (1, 2, 3, 4)])  # of five tiles
    assert across[seams].max() <= across.max()
    assert across[seams].mean() < 1.5 * across.mean()


def test_images_beyond_a_bound_are_rendered_in_tiles(network, monkeypatch):
    told = []
    monkeypatch.setattr(inference, "LARGEST_WHOLE", 128 * 128)
    monkeypatch.setattr(inference, "TILE", 120)
    apply_fast_style(network, photo(96, 104), "a", on_step=lambda step: told.append(step.total))
    apply_fast_style(network, photo(160, 80), "a", on_step=lambda step: told.append(step.total))
    assert told == [1, 2, 2]


def test_invalid_images_and_styles_are_refused(network):
    with pytest.raises(ImageError, match="15×40 pixels is too small"):
        apply_fast_style(network, torch.rand(1, 3, 40, 15), "a")
    with pytest.raises(UsageError, match="Tiles need a side of at least 64"):
        apply_fast_style(network, photo(40, 40), "a", tile=32)
    with pytest.raises(UsageError, match="There is no style 'c'; there are a, b"):
        apply_fast_style(network, photo(40, 40), "c")
