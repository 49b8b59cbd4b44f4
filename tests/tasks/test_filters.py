"""The sheet of a convolution's kernels."""

from __future__ import annotations

from cnnviz.tasks.filters import Filters


def test_the_first_convolution_is_shown_whole(squeezenet):
    result = Filters().run(squeezenet)
    assert result.metadata == {"layer": "features.0", "shape": (64, 3, 3, 3)}
    assert result.target == "features.0"
    assert result.unused == {"limit": "on features.0, which is shown whole"}


def test_of_a_deeper_one_no_more_than_the_limit_is_shown(squeezenet):
    few, more = (Filters("fire3/expand3x3", limit).run(squeezenet) for limit in (4, 8))
    assert few.image.width < more.image.width
    assert few.unused == {}
