"""Classes by index, name and part of a name, and labels from files."""

from __future__ import annotations

import json

import pytest

from cnnviz.errors import UsageError
from cnnviz.network.targets import find_class, imagenet_labels, read_labels


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("285", 285),
        (285, 285),
        ("Egyptian cat", 285),
        ("egyptian_CAT", 285),
        ("flaming", 130),
        ("tarantula", 76),
    ],
)
def test_finding_a_class(wanted, index):
    assert find_class(imagenet_labels(), wanted) == index


def test_a_whole_name_wins_over_a_part_and_a_word_over_a_syllable():
    labels = ("cat fish", "cat", "catalogue", "black swan", "swansong")
    assert find_class(labels, "cat") == 1
    assert find_class(labels, "swan") == 3


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("cat", r"fits 5 classes: tiger cat \(282\), Persian cat"),
        ("terrier", r"fits 18 classes: .* and 10 more"),
        ("espreso", "Did you mean espresso"),
        ("1000", "classes 0 to 999"),
        ("-1", "classes 0 to 999"),
        ("", "no class called ''"),
    ],
)
def test_not_finding_a_class(wanted, message):
    with pytest.raises(UsageError, match=message):
        find_class(imagenet_labels(), wanted)


def test_labels_files(tmp_path):
    lines, plain, keras = tmp_path / "a.txt", tmp_path / "b.json", tmp_path / "c.json"
    lines.write_text("\ufeffcat\n dog \r\nbird\n\n", encoding="utf-8")
    plain.write_text(json.dumps(["cat", "dog", "bird"]))
    keras.write_text(json.dumps({"1": ["n02", "dog"], "0": ["n01", "cat"], "2": ["n03", "bird"]}))
    assert read_labels(lines) == read_labels(plain) == read_labels(keras) == ("cat", "dog", "bird")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.txt", b"\n"),
        ("binary.txt", b"\xff\xfe\x00"),
        ("bad.json", b"{"),
        ("gap.json", b'{"0": "a", "2": "b"}'),
        ("number.json", b"3"),
    ],
)
def test_labels_files_that_are_none(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match=name):
        read_labels(path)


def test_labels_file_missing(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_labels(tmp_path / "none.txt")
