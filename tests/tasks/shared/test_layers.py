"""Lists of layers and channels as people type them."""

from __future__ import annotations

import pytest

from cnnviz.errors import UsageError
from cnnviz.tasks.shared.layers import channel_numbers, layer_names


def test_channels_are_numbers_and_ranges():
    assert channel_numbers(None) == []
    assert channel_numbers(["3, 17,40-43,17"]) == [3, 17, 40, 41, 42, 43]
    assert channel_numbers(["9", "3-4,9"]) == [9, 3, 4]


@pytest.mark.parametrize("text", ["", "1,,2", "-3", "2-", "x", "1_0", "5-4"])
def test_other_texts_are_no_channels(text):
    with pytest.raises(UsageError, match="Channels are numbers from 0"):
        channel_numbers(["1", text])


def test_no_layer_has_a_billion_channels():
    with pytest.raises(UsageError, match="more channels than a layer has"):
        channel_numbers(["0-99999999999"])


def test_layers_are_separated_by_commas_or_named_one_by_one():
    assert layer_names(None) == []
    assert layer_names("fire2, fire5") == ["fire2", "fire5"]
    assert layer_names(["fire2, fire5", "fire9,fire2,"]) == ["fire2", "fire5", "fire9"]
