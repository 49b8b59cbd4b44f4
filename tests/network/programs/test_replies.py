"""What a program prints: the shapes that are read, and all that is refused."""

from __future__ import annotations

import json

import pytest

from cnnviz.network.programs.replies import Classes, ReplyError, rows_of

NAMES = ["0001.png", "0002.png"]
PAIR = Classes(("cat", "dog"))


def printed(*lines) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def scores_of(*lines, classes=PAIR, names=NAMES):
    return [classes.scores(row) for row in rows_of(printed(*lines), names)]


@pytest.mark.parametrize(
    "first",
    [
        {"scores": {"cat": 0.9, "dog": 0.1}},
        {"scores": {"dog": 0.1, "cat": 0.9}},
        {"scores": [0.9, 0.1]},
        {"classes": [{"label": "cat", "probability": 0.9}, {"label": "dog", "score": 0.1}]},
        {"predictions": [{"index": 1, "label": "dog", "probability": 0.1}, {"index": 0, "value": 0.9}]},
        {"scores": {"cat": 0.9, "dog": 0.1}, "seconds": 3, "model": "phone"},
    ],
)
def test_each_shape_gives_the_scores_in_the_order_of_the_classes(first):
    assert scores_of(first, {"scores": {"cat": 0, "dog": 1}}) == [[0.9, 0.1], [0, 1]]


def test_rows_are_found_by_the_name_of_the_image_or_else_by_their_order():
    one, other = {"scores": [0.9, 0.1]}, {"scores": [0.2, 0.8]}
    assert scores_of(one, other) == [[0.9, 0.1], [0.2, 0.8]]
    swapped = {"input": "/there/0002.png", **one}, {"input": "0001.png", **other}
    assert scores_of(*swapped) == [[0.2, 0.8], [0.9, 0.1]]


def test_of_one_image_the_name_does_not_matter():
    assert scores_of({"input": "elsewhere.png", "scores": [1, 0]}, names=["0001.png"]) == [[1, 0]]


def test_blank_lines_and_windows_line_ends_do_not_matter():
    text = b'\r\n{"scores": [1, 0]}\r\n\r\n{"scores": [0, 1]}\r\n'
    assert [PAIR.scores(row) for row in rows_of(text, NAMES)] == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("row", "labels"),
    [
        ({"scores": {"cat": 0.9, "dog": 0.1}}, ("cat", "dog")),
        ({"scores": [0.9, 0.1, 0]}, ("class 0", "class 1", "class 2")),
        ({"predictions": [{"index": 1, "label": "b", "score": 1}, {"index": 0, "label": "a", "score": 0}]}, ("a", "b")),
        ({"predictions": [{"index": i, "label": "crane", "score": 0} for i in (1, 0)]}, ("crane", "crane")),
    ],
)
def test_the_first_reply_names_the_classes(row, labels):
    (first,) = rows_of(printed(row), ["0001.png"])
    assert Classes.of_first(first, None).labels == labels
    assert len(Classes.of_first(first, None).scores(first)) == len(labels)


def test_labels_that_are_given_are_found_by_index_in_any_language():
    given = Classes.of_first([], ["Katze", "Hund"])
    (row,) = rows_of(printed({"predictions": [{"index": i, "label": "x", "score": i} for i in (1, 0)]}), ["0001.png"])
    assert given.scores(row) == [0, 1]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([b'{"scores": [1, 0]}\n{"scores": [0, '], "no JSON"),
        ([b"\xff\xfe\n"], "UTF-8"),
        ([b"[" * 100_000 + b"\n"], "no JSON"),
        ([{"scores": [1, 0]}], "1 line for 2 images"),
        ([{"scores": [1, 0]}] * 3, "3 lines for 2 images"),
        ([{"scores": [1, 0]}, {"answer": 42}], "without 'scores'"),
        ([{"scores": [1, 0]}, [1, 0]], "without 'scores'"),
        ([{"scores": [1, 0]}, {"scores": [1]}], "no score for 'dog'"),
        ([{"scores": [1, 0]}, {"scores": [1, 0, 0]}], "class 2"),
        ([{"scores": [1, 0]}, {"scores": {"cat": 1, "lynx": 0}}], "no score for 'dog'"),
        ([{"scores": [1, 0]}, {"scores": {"cat": 1, "dog": 0, "lynx": 0}}], "'lynx'"),
        ([{"scores": [1, 0]}, {"scores": {"cat": float("nan"), "dog": 0}}], "NaN for 'cat'"),
        ([{"scores": [1, 0]}, {"scores": [10**400, 0]}], "an infinite number for 'class 0'"),
        ([{"scores": [1, 0]}, {"scores": [True, 0]}], "no number"),
        ([{"scores": [1, 0]}, {"scores": ["1", 0]}], "no number"),
        ([{"scores": [1, 0]}, {"classes": [{"label": "cat"}]}], "no 'probability'"),
        ([{"scores": [1, 0]}, {"classes": [{"score": 1}]}], "neither 'label' nor 'index'"),
        ([{"scores": [1, 0]}, {"classes": ["cat"]}], "no list of objects"),
        ([{"scores": [1, 0]}, {"classes": [{"label": 3, "score": 1}]}], "no text"),
        ([{"scores": [1, 0]}, {"classes": [{"index": -1, "score": 1}]}], "no whole number"),
        ([{"scores": [1, 0]}, {"classes": [{"label": "cat", "score": 1}] * 2}], "two classes 'cat'"),
        ([{"scores": [1, 0]}, {"classes": [{"index": 0, "label": "dog", "score": 1}]}], "'dog', and 'cat' at first"),
        ([{"input": "0001.png", "scores": [1, 0]}] * 2, "no line for the image 0002.png"),
        ([{"input": "0001.png", "scores": [1, 0]}, {"scores": [1, 0]}], "no line for the image 0002.png"),
    ],
)
def test_anything_else_is_refused_in_words(lines, said):
    text = b"".join(line if isinstance(line, bytes) else printed(line) for line in lines)
    with pytest.raises(ReplyError) as caught:
        [PAIR.scores(row) for row in rows_of(text, NAMES)]
    assert said in str(caught.value)


def test_a_first_reply_with_the_likeliest_classes_only_is_incomplete():
    (row,) = rows_of(printed({"predictions": [{"index": i, "label": "x", "score": 0} for i in (281, 3)]}), ["0001.png"])
    with pytest.raises(ReplyError, match="class 281") as caught:
        Classes.of_first(row, None)
    assert caught.value.is_incomplete
