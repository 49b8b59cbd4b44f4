"""Numbers in captions: short, and never rounded to certainty."""

from __future__ import annotations

import pytest

from cnnviz.figures.captions import percent, three_digits


@pytest.mark.parametrize(
    ("probability", "text"),
    [(1.0, "99.999 %"), (0.9962, "99.620 %"), (0.96, "96 %"), (0.004, "0.4 %"), (0.0004, "< 0.05 %"), (0, "< 0.05 %")],
)
def test_no_probability_is_rounded_to_certainty(probability, text):
    assert percent(probability) == text


def test_three_digits_need_no_powers_of_ten():
    assert [three_digits(value) for value in (1790.4, 16.93, 0.00421, -2.0)] == ["1790", "16.9", "0.00421", "-2"]
