"""Classes by index, name and part of a name, and labels from files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from cnnviz.adversarial.fgsm import fgsm
from cnnviz.attribution.gradients import saliency
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
        ("word.json", b'"cat"'),
        ("nothing.json", b"[null]"),
        ("truth.json", b'{"0": true}'),
        ("objects.json", b'[{"name": "cat"}]'),
        ("lists.json", b'[["n01", ["cat"]]]'),
        ("deep.json", b"[" * 100_000 + b"]" * 100_000),
        ("deep_object.json", b'{"0":' * 100_000 + b"1" + b"}" * 100_000),
        ("digits.json", b"[" + b"1" * 10_000 + b"]"),
        ("half_a_character.json", b'["\\ud800"]'),
        ("escape.json", b'["\\u001b[31mred"]'),
        ("two_lines.json", b'["cat\\ndog"]'),
        ("escape.txt", b"\x1b[31mred\n"),
        ("nul.txt", b"cat\0\ndog"),
        ("form_feed.txt", b"cat\x0cdog"),
        ("next_line.txt", "cat\x85dog".encode()),
        ("latin.txt", b"caf\xe9"),
        ("cut16.txt", "cat".encode("utf-16")[:-1]),
        ("long.txt", b"x" * 501),
        ("large.txt", b"cat\n" * (5 << 20)),
    ],
)
def test_labels_files_that_are_none(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match=name) as caught:
        read_labels(path)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300 + len(str(path))


def test_tabs_and_ends_of_lines_of_any_kind(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("n01\tcat\rn02\tdog\r\nn03\tchien\u00a0noir\n".encode())
    assert read_labels(path) == ("n01 cat", "n02 dog", "n03 chien\u00a0noir")


def test_the_nearest_of_very_many_names_is_not_looked_for(monkeypatch):
    monkeypatch.setattr("difflib.get_close_matches", None)
    with pytest.raises(UsageError, match=r"no class called 'cta'\.$"):
        find_class(("cat",) * 60_000, "cta")


def test_labels_file_missing(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_labels(tmp_path / "none.txt")


@pytest.mark.parametrize(
    "wanted",
    [
        np.int64(281),
        np.uint16(281),
        np.array(281),
        np.array([281]),
        torch.tensor(281),
        torch.tensor([281], dtype=torch.int32),
        [281],
        ["tabby"],
        [np.int64(281)],
        [torch.tensor(281)],
        "281",
    ],
)
def test_indices_of_any_kind(squeezenet, wanted):
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert squeezenet.find_class(wanted) == 281
    assert torch.equal(saliency(squeezenet, pixels, wanted), saliency(squeezenet, pixels, 281))
    assert torch.equal(fgsm(squeezenet, pixels, target=wanted), fgsm(squeezenet, pixels, target=281))


def test_what_the_network_says_is_a_target(squeezenet):
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    likeliest = squeezenet(pixels).argmax(1)
    for target in (likeliest, likeliest.numpy(), likeliest.tolist(), tuple(likeliest)):
        assert torch.equal(saliency(squeezenet, pixels, target), saliency(squeezenet, pixels))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (2.0, "by its index or its name, not by 2.0"),
        (True, "not by True"),
        (torch.tensor([1.5, 2.0]), "not by 1.5"),
        ([1, 2, 3], "3 classes were given for 2 images"),
        (torch.tensor([[1, 2], [3, 4]]), r"not by \[1, 2\]"),
        (b"cat", "not by b'cat'"),
        (torch.tensor([5, 1000]), "Class index 1000 is out of range"),
        (object, "not by <class 'object'>"),
    ],
)
def test_what_names_no_class(squeezenet, wanted, message):
    pixels = torch.zeros(2, 3, 64, 64)
    for technique in (saliency, lambda network, x, target: fgsm(network, x, target=target)):
        with pytest.raises(UsageError, match=message):
            technique(squeezenet, pixels, wanted)
