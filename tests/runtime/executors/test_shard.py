"""Shards of a list."""

from __future__ import annotations

import pytest

from cnnviz.errors import UsageError
from cnnviz.runtime.executors.shard import WHOLE, Shard


@pytest.mark.parametrize("length", [0, 1, 2, 3, 7, 12, 100])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 13])
def test_shards_are_the_whole_without_overlap_or_gap(length, count):
    items = list(range(length))
    parts = [list(Shard(index, count).of(items)) for index in range(1, count + 1)]
    assert [item for part in parts for item in part] == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_shard_is_read_as_it_is_written():
    assert Shard.parse("2/4") == Shard(2, 4)
    assert Shard.parse(str(Shard(3, 7))) == Shard(3, 7)
    assert list(WHOLE.of([1, 2, 3])) == [1, 2, 3]


@pytest.mark.parametrize("text", ["", "0/4", "5/4", "-1/4", "1/0", "1", "a/b", "1.0/2", "1/4/2"])
def test_a_senseless_shard_is_a_usage_error(text):
    with pytest.raises(UsageError, match="I/N"):
        Shard.parse(text)
