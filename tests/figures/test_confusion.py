"""The confusion matrix as an image: colors, the column of other classes, and any number of classes."""

from __future__ import annotations

import numpy as np
import pytest

from cnnviz.figures.confusion import confusion_figure

RIGHT, WRONG = (0x00, 0x55, 0x8F), (0xC2, 0x4D, 0x00)


def pixels_of(color, figure):
    return int((np.asarray(figure) == color).all(axis=2).sum())


def test_right_is_blue_and_wrong_is_orange():
    right = confusion_figure(np.array([[5, 0], [0, 1]]), ["cat", "dog"], "title")
    wrong = confusion_figure(np.array([[0, 5], [1, 0]]), ["cat", "dog"], "title")
    assert right.mode == "RGB" and right.size == wrong.size
    assert pixels_of(RIGHT, right) == pixels_of(WRONG, wrong) > 15_000
    assert pixels_of(WRONG, right) == pixels_of(RIGHT, wrong) == 0


def test_other_classes_are_a_column_of_mistakes():
    counts = np.array([[5, 0], [0, 0]])
    plain, other = (confusion_figure(counts, ["cat", "dog"], "title", other=o) for o in (None, np.array([0, 3])))
    assert pixels_of(WRONG, other) > 7_000 and pixels_of(WRONG, plain) == 0


@pytest.mark.parametrize("classes", [1, 2, 7, 40, 100, 700])
def test_any_number_of_classes(classes):
    counts = np.diag(np.full(classes, 12345))
    figure = confusion_figure(counts, [f"class number {n}" for n in range(classes)], "title" * 40)
    assert max(figure.size) < 2_000 and min(figure.size) > 250
    assert pixels_of(RIGHT, figure) > 1_000


def test_names_of_any_length_and_script():
    labels = ["x" * 300, "кошка", "犬", ""]
    assert confusion_figure(np.eye(4, dtype=int), labels, "").width < 1_000
