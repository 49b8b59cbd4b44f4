"""Sizes of perturbations as text: what is typed, and what is shown."""

from __future__ import annotations

import pytest

from cnnviz.adversarial.settings import Attack, UniversalSettings
from cnnviz.errors import UsageError
from cnnviz.tasks.fool import Fool
from cnnviz.tasks.shared.epsilon import epsilon_text, parse_epsilon
from cnnviz.tasks.universal import Universal


@pytest.mark.parametrize(
    ("text", "norm", "value"),
    [
        ("8/255", "linf", 8 / 255),
        ("8", "linf", 8 / 255),
        ("0.03", "linf", 0.03),
        ("1", "linf", 1 / 255),
        ("3", "l2", 3.0),
        ("0", "linf", 0),
    ],
)
def test_units_of_epsilon(text, norm, value):
    assert parse_epsilon(text, norm) == pytest.approx(value)


@pytest.mark.parametrize("text", ["nan", "eight", "8/0", "-1", "inf", ""])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError) as refused:
        parse_epsilon(text, "linf")
    assert refused.value.remedy == "epsilon"


def test_sizes_are_shown_in_gray_levels_or_as_lengths():
    assert [epsilon_text(size, "linf") for size in (2 / 255, 0.7 / 255)] == ["2/255", "0.7/255"]
    assert epsilon_text(40.0, "l2") == "40 in L2"


def test_the_defaults_are_those_of_the_library():
    assert Fool().largest_epsilon == Attack.epsilon
    assert Universal().settings == UniversalSettings()
