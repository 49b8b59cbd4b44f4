"""Accuracy, confusion matrix and mistakes of judgments."""

from __future__ import annotations

from cnnviz.features.evaluation import Evaluation, judged

LABELS = ("cat", "dog", "bird", "fish", "frog", "cow", "pig")


def judgment(name, true, *scores):
    ranked = sorted(((n, LABELS[n], score) for n, score in enumerate(scores)), key=lambda each: -each[2])
    return judged(name, ranked, true)


def test_counts_and_order():
    found = Evaluation(
        [
            judgment("a", 0, 0.7, 0.2, 0.1),
            judgment("b", 0, 0.3, 0.6, 0.1),
            judgment("c", 2, 0.9, 0.06, 0.04),
            judgment("d", 2, 0.1, 0.2, 0.7),
            judgment("e", 6, 0.6, 0.1, 0.08, 0.07, 0.06, 0.05, 0.04),
        ],
        classes=7,
    )
    assert (found.accuracy, found.top5, found.top(3)) == (0.4, 0.8, 4)
    assert [(each.name, each.predicted[1], each.true[1], each.rank) for each in found.mistakes] == [
        ("c", "cat", "bird", 3),
        ("b", "dog", "cat", 2),
        ("e", "cat", "pig", 7),
    ]
    assert found.matrix.rows == (0, 2, 6) and found.matrix.columns == (0, 1, 2, 6)
    assert found.matrix.counts.tolist() == [[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0]]
    assert found.labels == {0: "cat", 1: "dog", 2: "bird", 6: "pig"}


def test_the_best_five_of_few_classes_say_nothing():
    assert Evaluation([judgment("a", 0, 0.7, 0.3)], classes=2).top5 is None
    assert Evaluation([judgment("a", 0, 0.7, 0.3)], classes=6).top5 == 1.0
