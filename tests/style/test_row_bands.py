"""A pass in bands of rows computes what one over whole maps does."""

from __future__ import annotations

import pytest
import torch

from cnnviz.style import fast, row_bands
from cnnviz.style.any_style import PAINTER_CONFIG
from cnnviz.style.fast import FastStyleNetwork, NormStatistics, noise_map
from cnnviz.style.inference import apply_fast_style
from cnnviz.style.row_bands import BandStatistics, bands, suits_bands
from cnnviz.style.settings import FastStyleConfig


@pytest.fixture
def few_rows(monkeypatch):
    """Bands of eight rows, so that small maps have several."""
    monkeypatch.setattr(row_bands, "_BAND", 1)


def both_ways(network, pixels, monkeypatch, **options):
    """In bands and as a whole, in float64: there rounding hides no mistake."""
    noise = noise_map(*pixels.shape[2:])
    weights = torch.rand(len(pixels), len(network.styles), dtype=torch.float64)
    found = []
    for is_banded in (True, False):
        monkeypatch.setattr(fast, "suits_bands", lambda pixels, is_banded=is_banded: is_banded)
        given = {name: make() for name, make in options.items()}
        with torch.inference_mode():
            found.append(network.double()(pixels.double(), weights, noise, **given))
    return found


@pytest.mark.parametrize("config", [FastStyleConfig((4, 6, 8), blocks=3), PAINTER_CONFIG, FastStyleConfig((4, 4, 4))])
@pytest.mark.parametrize("size", [(16, 16), (20, 36), (132, 28)])
def test_bands_compute_what_the_whole_does(config, size, few_rows, monkeypatch):
    torch.manual_seed(0)
    banded, whole = both_ways(FastStyleNetwork(["one", "two"], config), torch.rand(2, 3, *size), monkeypatch)
    torch.testing.assert_close(banded, whole, rtol=0, atol=2e-7)


def test_bands_record_and_use_statistics(few_rows, monkeypatch):
    torch.manual_seed(0)
    network = FastStyleNetwork(["one"], FastStyleConfig((4, 6, 8), blocks=2)).double()
    weights = torch.ones(1, 1, dtype=torch.float64)
    monkeypatch.setattr(fast, "suits_bands", lambda pixels: False)
    whole, banded = NormStatistics(), NormStatistics()
    with torch.inference_mode():
        network(torch.rand(1, 3, 32, 32).double(), weights, None, whole)
    found = both_ways(network, torch.rand(1, 3, 40, 24), monkeypatch, statistics=lambda: whole)
    torch.testing.assert_close(*found, rtol=0, atol=2e-7)
    found = both_ways(network, torch.rand(1, 3, 40, 24), monkeypatch, statistics=lambda: banded)
    assert banded.get(network.last.norm) is not None
    torch.testing.assert_close(*found, rtol=0, atol=2e-7)


def test_an_image_in_bands_is_the_one_of_before_within_rounding(few_rows, monkeypatch):
    import cnnviz

    model, pixels = cnnviz.load_fast_style(), cnnviz.read_image("sample_images/chelsea.png", size=96)
    banded = apply_fast_style(model, pixels, "starry")
    monkeypatch.setattr(fast, "suits_bands", lambda pixels: False)
    torch.testing.assert_close(banded, apply_fast_style(model, pixels, "starry"), rtol=0, atol=2e-4)


def test_statistics_of_bands_are_those_of_the_map():
    torch.manual_seed(0)
    values = torch.randn(2, 3, 21, 5) * 0.01 + torch.tensor([0.0, 5.0, -300.0])[:, None, None]
    taken = BandStatistics()
    for top, bottom in ((0, 8), (8, 20), (20, 21)):
        taken.take(values[:, :, top:bottom])
    mean, inverse = taken.result(1e-5)
    exact = values.double()
    torch.testing.assert_close(mean.double(), exact.mean((2, 3)), rtol=1e-6, atol=1e-6)
    expected = (exact.var((2, 3), correction=0) + 1e-5).rsqrt()
    torch.testing.assert_close(inverse.double(), expected, rtol=1e-3, atol=0)


def test_bands_cover_all_rows_once_and_are_even():
    for height, row_bytes in ((7, 100), (8, 1 << 22), (1057, 67_584)):
        found = list(bands(height, row_bytes))
        assert [top for top, _ in found] == [0, *(bottom for _, bottom in found[:-1])]
        assert found[-1][1] == height and all((bottom - top) % 2 == 0 for top, bottom in found[:-1])


def test_training_takes_whole_maps():
    pixels = torch.rand(1, 3, 16, 16)
    assert not suits_bands(pixels)
    with torch.no_grad():
        assert suits_bands(pixels)
        with torch.autocast("cpu", torch.bfloat16):
            assert not suits_bands(pixels)


def test_the_photo_is_left_as_it_was(few_rows):
    network = FastStyleNetwork(["one"], PAINTER_CONFIG)
    pixels = torch.rand(1, 3, 16, 16)
    before = pixels.clone()
    with torch.no_grad():
        network(pixels, torch.ones(1, 1))
    assert torch.equal(pixels, before)
