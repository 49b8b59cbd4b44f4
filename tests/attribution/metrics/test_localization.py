"""The pointing game and its relatives on masks written out."""

from __future__ import annotations

import pytest
import torch

import cnnviz
from cnnviz.errors import UsageError


def test_numbers_of_a_map_written_out():
    found = torch.zeros(1, 1, 10, 20)
    found[0, 0, 2, 3], found[0, 0, 2, 4], found[0, 0, 9, 19] = 3.0, 1.0, 4.0
    mask = torch.zeros(10, 20, dtype=torch.bool)
    mask[2, 3:5] = True
    measured = cnnviz.localization(found, mask)
    assert not measured.hit
    assert measured.inside == pytest.approx(0.5)
    assert measured.overlap == pytest.approx(0.5)
    assert measured.area == pytest.approx(0.01)


def test_the_tolerance_is_a_part_of_the_shorter_side():
    found = torch.zeros(1, 1, 10, 20)
    found[0, 0, 2, 7] = 1.0
    mask = torch.zeros(10, 20, dtype=torch.bool)
    mask[2, 3:5] = True  # three pixels away
    assert not cnnviz.localization(found, mask, tolerance=0.29).hit
    assert cnnviz.localization(found, mask, tolerance=0.3).hit


def test_a_mask_without_an_object_or_of_another_size_is_refused():
    for mask in (torch.zeros(10, 20), torch.ones(5, 5)):
        with pytest.raises(UsageError, match="a mask of that size"):
            cnnviz.localization(torch.zeros(1, 1, 10, 20), mask)


def test_a_map_without_values_is_told_as_one_that_knows_nothing():
    mask = torch.zeros(40, 40, dtype=torch.bool)
    mask[:20] = True
    measured = cnnviz.localization(torch.zeros(1, 1, 40, 40), mask)
    assert measured.inside == 0
    assert measured.overlap == pytest.approx(0.5, abs=0.1)
