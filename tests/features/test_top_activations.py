"""TopActivations positions: found where they are, kept over any number of pictures, and caused by the patch shown."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from torch import nn

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.features.maps import map_layer, patch_window
from cnnviz.features.top_activations import ChannelMaxima, TopActivations, channel_maxima
from cnnviz.network.geometry import ReceptiveField
from cnnviz.network.network import Network
from cnnviz.network.spec import InputSpec


def tiny(*layers: nn.Module, dtype: torch.dtype = torch.float64) -> Network:
    torch.manual_seed(0)
    spec = InputSpec(size=48, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25))
    return Network(nn.Sequential(*layers), labels=("a",), spec=spec).to(dtype)


def test_peaks_are_the_largest_values_and_where_they_stand(squeezenet, chelsea):
    peaks = channel_maxima(squeezenet, chelsea, "fire5")
    maps = squeezenet.features(chelsea, ["fire5"])["fire5"][0].numpy()
    assert peaks.values.shape == (1, 256)
    for channel in range(0, 256, 31):
        place = np.unravel_index(maps[channel].argmax(), maps[channel].shape)
        assert (peaks.rows[0, channel], peaks.columns[0, channel]) == place
        assert peaks.values[0, channel] == maps[channel].max()


def test_packing_loses_nothing():
    peaks = ChannelMaxima(*(np.arange(12).reshape(3, 4).astype(kind) * 7 for kind in (np.float32, np.int32, np.int32)))
    again = ChannelMaxima.unpack(peaks.packed())
    for name in ("values", "rows", "columns"):
        np.testing.assert_array_equal(getattr(again, name), getattr(peaks, name))


def test_streaming_finds_what_sorting_all_would():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 5)).astype(np.float32)
    rows = rng.integers(0, 9, (200, 5)).astype(np.int32)
    names = [f"picture {n}" for n in range(200)]
    strongest = TopActivations([4, 1], top=7)
    for start in range(0, 200, 13):
        part = slice(start, start + 13)
        strongest.update(names[part], ChannelMaxima(values[part], rows[part], rows[part]))
    for channel in (1, 4):
        order = np.argsort(-values[:, channel])[:7]
        assert [found.image for found in strongest[channel]] == [names[n] for n in order]
        assert [found.value for found in strongest[channel]] == values[order, channel].tolist()
        assert [found.row for found in strongest[channel]] == rows[order, channel].tolist()


def test_channels_that_few_pictures_excite_come_first():
    values = np.ones((50, 3), dtype=np.float32)
    values[:, 1] = np.linspace(0, 100, 50)  # everything excites it somewhat
    values[7, 2] = 2.0  # one picture alone
    strongest = TopActivations([0, 1, 2], top=3)
    zeros = np.zeros((50, 3), dtype=np.int32)
    strongest.update([str(n) for n in range(50)], ChannelMaxima(values, zeros, zeros))
    assert strongest.most_selective(3) == [2, 1, 0]


def run_alone(network: Network, layer: str, field: ReceptiveField, pixels, place: tuple[int, int]) -> torch.Tensor:
    """The layer's values at a position, from nothing but the patch it sees.

    The cut begins at a multiple of the stride, so that the patch's windows fall as they fell in the whole picture;
    what that adds above and left of the patch is noise, and so is what makes it large enough for the network.
    """
    top, left, bottom, right = field.window(*place)
    begin, own = [], []
    for axis, low in enumerate(field.low):
        before = max(0, math.ceil(-low / field.stride[axis]))
        begin.append(field.stride[axis] * (place[axis] - before))
        own.append(before)
    first = [max(start, 0) for start in begin]
    place_in_cut = [own[axis] + min(begin[axis], 0) // field.stride[axis] for axis in range(2)]
    height, width = max(bottom - first[0], 20), max(right - first[1], 20)
    cut = torch.rand(1, 3, height, width, dtype=pixels.dtype)
    patch = pixels[..., top:bottom, left:right]
    cut[..., top - first[0] : bottom - first[0], left - first[1] : right - first[1]] = patch
    with torch.no_grad():
        return network.features(cut, [layer])[layer][0, :, place_in_cut[0], place_in_cut[1]]


@pytest.mark.parametrize("layer", ["conv1", "fire2", "fire4", "fire5", "fire7"])
def test_a_patch_alone_makes_its_activation(squeezenet, samples, layer):
    """For positions whose patch lies within the picture; fire7's, of 143×143 pixels, too."""
    pixels = cnnviz.read_image(samples / "astronaut.png", size=320)
    field = map_layer(squeezenet, layer).field
    assert field is not None
    peaks = channel_maxima(squeezenet, pixels, layer)
    checked = 0
    for channel in range(peaks.values.shape[1]):
        place = (int(peaks.rows[0, channel]), int(peaks.columns[0, channel]))
        top, left, bottom, right = patch_window(field, *place, tuple(pixels.shape[2:]))
        if top < 0 or left < 0 or bottom > 320 or right > pixels.shape[3] or peaks.values[0, channel] <= 0:
            continue
        alone = run_alone(squeezenet, layer, field, pixels, place)[channel]
        assert float(alone) == pytest.approx(float(peaks.values[0, channel]), rel=1e-4, abs=1e-4)
        checked += 1
        if checked == 12:
            break
    assert checked >= 5


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), nn.Conv2d(4, 5, 3, padding=1)),
        (nn.Conv2d(3, 4, 7, stride=2, padding=3), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 6, 3, padding=1, stride=2)),
        (
            nn.Conv2d(3, 4, 3, padding=4, dilation=4),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(4, 3, (1, 5), padding=(0, 2)),
        ),
    ],
)
def test_patches_of_any_geometry(layers):
    network = tiny(*layers)
    last = str(len(layers) - 1)
    random.seed(1)
    pixels = torch.rand(1, 3, 61, 70, dtype=torch.float64)
    field = map_layer(network, last).field
    whole = network.features(pixels, [last])[last][0]
    inner = [
        (row, column)
        for row in range(whole.shape[1])
        for column in range(whole.shape[2])
        if (window := field.window(row, column))[0] >= 0 and window[1] >= 0 and window[2] <= 61 and window[3] <= 70
    ]
    for place in random.sample(inner, 6):
        alone = run_alone(network, last, field, pixels, place)
        torch.testing.assert_close(alone, whole[:, place[0], place[1]], rtol=1e-10, atol=1e-10)


def test_layers_without_positions_are_refused(squeezenet):
    with pytest.raises(UsageError, match=r"'flatten' is no map \(1000\)"):
        map_layer(squeezenet, "flatten")
    assert map_layer(squeezenet, "pool10").field is None
    assert map_layer(squeezenet, "fire5").channels == 256
    assert map_layer(squeezenet, "fire5").field == next(
        row.receptive_field for row in squeezenet.layer_table() if "fire5" in row.aliases
    )


def test_top_patches_over_pictures_of_different_sizes(squeezenet, samples):
    pictures = [
        (name, cnnviz.read_image(samples / name, size=96)) for name in ("chelsea.png", "coffee.png", "brick.png")
    ]
    found = cnnviz.top_patches(squeezenet, iter(pictures), "fire3", [5, 90], top=2)
    for channel in (5, 90):
        best = {name: float(squeezenet.features(p, ["fire3"])["fire3"][0, channel].max()) for name, p in pictures}
        assert [f.image for f in found[channel]] == sorted(best, key=best.__getitem__, reverse=True)[:2]
    with pytest.raises(UsageError, match="no channel 128: it has channels 0 to 127"):
        cnnviz.top_patches(squeezenet, pictures, "fire3", [128])


def test_without_a_field_the_window_is_the_whole_image():
    assert patch_window(None, 3, 3, (40, 60)) == (0, 0, 40, 60)
