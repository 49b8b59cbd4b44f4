"""The sheet of ``compare``: a row for each network, one network's maps nearly square."""

from __future__ import annotations

import torch
from PIL import Image

from cnnviz.figures.comparison import NetworkMaps, comparison_sheet
from cnnviz.figures.maps import MapStyle

PHOTO = Image.new("RGB", (300, 300), "gray")


def network(count: int) -> NetworkMaps:
    attribution = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return NetworkMaps(PHOTO, "title", [(f"method {n}", attribution, MapStyle("overlay")) for n in range(count)])


def test_up_to_four_tiles_of_a_network_make_one_row():
    three, eight = comparison_sheet([network(3)]), comparison_sheet([network(8)])
    assert three.width > 4 * 260 > three.height * 2
    assert 3 * 260 < eight.width < 4 * 260
    assert 3 * 260 < eight.height < 4 * 260 + 200


def test_each_network_has_one_row():
    two = comparison_sheet([network(5), network(5)])
    assert two.width > 6 * 260
    assert 2 * 260 < two.height < 3 * 260
