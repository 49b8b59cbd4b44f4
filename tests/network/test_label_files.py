"""Class names from files of every form that people have, and what is said of files that are none."""

from __future__ import annotations

import json

import pytest

from cnnviz.errors import UsageError
from cnnviz.network.imagenet import imagenet_labels, imagenet_synsets
from cnnviz.network.label_files import read_labels
from cnnviz.network.label_lists import LabelsError, class_names, labels_of

NAMES = ("cat", "guide dog", "bird")

FORMS = {
    "lines.txt": b"cat\nguide dog\nbird\n",
    "coco.names": b"cat\nguide dog\nbird",
    "mark.txt": "\ufeffcat\n guide dog \r\nbird\n\n".encode(),
    "wide.txt": "cat\nguide dog\nbird\n".encode("utf-16"),
    "wide_without_mark.txt": "cat\nguide dog\nbird\n".encode("utf-16-le"),
    "synsets.txt": b"n02121808 cat\nn02109961 guide dog\nn01503061 bird\n",
    "synsets_tab.txt": b"n02121808\tcat\nn02109961\tguide dog\nn01503061\tbird\n",
    "classes.txt": b"0 cat\n1 guide dog\n2 bird\n",
    "colons.txt": b"2: bird\n0: cat\n1: guide dog\n",
    "behind.txt": b"bird 2\ncat 0\nguide dog 1\n",
    "from_one.txt": b"1 cat\n2 guide dog\n3 bird\n",
    "plain.csv": b"cat\nguide dog\nbird\n",
    "index.csv": b"1,guide dog\n0,cat\n2,bird\n",
    "index_last.csv": b"guide dog,1\ncat,0\nbird,2\n",
    "header.csv": b"index,label\r\n1,guide dog\r\n0,cat\r\n2,bird\r\n",
    "header_last.csv": b"name,class_id\nguide dog,1\ncat,0\nbird,2\n",
    "only_names.csv": b"name\ncat\nguide dog\nbird\n",
    "semicolons.csv": b"id;name\n1;guide dog\n0;cat\n2;bird\n",
    "own_header.csv": b"nr,wort\n1,guide dog\n0,cat\n2,bird\n",
    "synsets.csv": b"0,n02121808,cat\n1,n02109961,guide dog\n2,n01503061,bird\n",
    "quoted.csv": b'0,"cat"\n1,"guide dog"\n2,"bird"\n',
    "tabs.tsv": b"1\tguide dog\n0\tcat\n2\tbird\n",
    "list.json": json.dumps(NAMES).encode(),
    "by_index.json": b'{"1": "guide dog", "0": "cat", "2": "bird"}',
    "by_name.json": b'{"guide dog": 1, "cat": 0, "bird": 2}',
    "keras.json": b'{"1": ["n02", "guide dog"], "0": ["n01", "cat"], "2": ["n03", "bird"]}',
    "config.json": b'{"model_type": "vit", "id2label": {"0": "cat", "1": "guide dog", "2": "bird"}}',
    "label2id.json": b'{"label2id": {"cat": 0, "guide dog": 1, "bird": 2}, "hidden": 3}',
    "names.json": b'{"nc": 3, "names": ["cat", "guide dog", "bird"]}',
    "json_in.txt": b'["cat", "guide dog", "bird"]',
    "python.txt": b"{0: 'cat',\n 1: 'guide dog',\n 2: \"bird\"}\n",
    "yolo.yaml": b"path: ../coco  # x\nnc: 3\nnames:\n  0: cat\n  1: guide dog  # a dog\n  2: bird\ntrain: a\n",
    "list.yml": b"names:\n- cat\n- 'guide dog'\n- \"bird\"\nnc: 3\n",
    "flow.yaml": b"train: x\nnames: ['cat', guide dog,\n        \"bird\"]  # class names\n",
    "flow_object.yaml": b"names: {0: cat, 1: 'guide dog', 2: bird}",
    "only.yaml": b"---\n- cat\n- guide dog\n- bird\n",
}


@pytest.mark.parametrize("name", FORMS)
def test_labels_files(tmp_path, name):
    (tmp_path / name).write_bytes(FORMS[name])
    assert read_labels(tmp_path / name) == NAMES


@pytest.mark.parametrize(
    ("name", "content", "labels"),
    [
        ("tench.txt", b"n01440764 tench, Tinca tinca\nn01443537 goldfish\n", ("tench, Tinca tinca", "goldfish")),
        ("ids.txt", b"n01440764\nn01443537\n", ("n01440764", "n01443537")),
        ("coins.txt", b"1 euro\n2 euro\n", ("1 euro", "2 euro")),
        ("numbered.txt", b"class 0\nclass 1\nclass 2\n", ("class 0", "class 1", "class 2")),
        ("planes.txt", b"Boeing 737\nBoeing 747\n", ("Boeing 737", "Boeing 747")),
        ("birds.txt", b"1 001.Albatross\n2 002.Gull\n", ("001.Albatross", "002.Gull")),
        ("cars.txt", b"2012 Audi\n1967 Ford\n", ("2012 Audi", "1967 Ford")),
        ("commas.csv", b"0,tench, Tinca tinca\n1,goldfish\n", ("tench, Tinca tinca", "goldfish")),
        ("quotes.csv", b'1,"goldfish"\n0,"tench, Tinca tinca"\n', ("tench, Tinca tinca", "goldfish")),
        ("digits.json", b'{"3": 0, "7": 1}', ("3", "7")),
        ("digits_by_index.json", b'{"0": 3, "1": 7}', ("3", "7")),
        ("digits.csv", b"index,name\n0,5\n1,6\n", ("5", "6")),
        (
            "hash.yaml",
            b'names:\n  0: C#\n  1: \'a # b\'\n  2: it\'s\n  3: "say \\"hi\\""\n',
            ("C#", "a # b", "it's", 'say "hi"'),
        ),
        (
            "tabs.txt",
            "n01\tcat\rn02\tdog\r\nn03\tchien\u00a0noir\n".encode(),
            ("n01 cat", "n02 dog", "n03 chien\u00a0noir"),
        ),
    ],
)
def test_numbers_commas_and_signs_in_names(tmp_path, name, content, labels):
    (tmp_path / name).write_bytes(content)
    assert read_labels(tmp_path / name) == labels


WRONG = {
    "empty.txt": (b"\n", "holds no class names"),
    "binary.txt": (b"\xff\xfe\x00", "not text"),
    "bad.json": (b"{", "not JSON"),
    "gap.json": (b'{"0": "a", "2": "b"}', "has no class 1, but 2 classes up to 2"),
    "gap.txt": (b"0 cat\n1 dog\n3 bird\n", "has no class 2, but 3 classes up to 3"),
    "gap.csv": (b"id,name\n0,cat\n2,dog\n", "has no class 1"),
    "gap.yaml": (b"names:\n  0: cat\n  2: dog\n", "has no class 1"),
    "twice.json": (b'{"cat": 0, "dog": 0}', "gives class 0 to 'cat' and to 'dog'"),
    "twice.csv": (b"0,cat\n1,dog\n1,bird\n", "gives class 1 to 'dog' and to 'bird'"),
    "twice.yaml": (b"names:\n  0: cat\n  0: dog\n", "has '0' twice"),
    "keys.json": (b'{"0": "cat", "0": "dog"}', "has '0' twice"),
    "alike.txt": (b"cat\ndog\ncat\n", "calls class 0 and class 2 alike: 'cat'"),
    "number.json": (b"3", "is no list of names"),
    "word.json": (b'"cat"', "is no list of names"),
    "nothing.json": (b"[null]", "something else than a name: None"),
    "truth.json": (b'{"0": true}', "something else than a name: True"),
    "objects.json": (b'[{"name": "cat"}]', "something else than a name"),
    "lists.json": (b'[["n01", ["cat"]]]', "something else than a name"),
    "config.json": (b'{"hidden": 3, "type": "vit"}', "from index to name or from name to index: see 'hidden'"),
    "deep.json": (b"[" * 100_000 + b"]" * 100_000, "not JSON"),
    "deep_object.json": (b'{"0":' * 100_000 + b"1" + b"}" * 100_000, "not JSON"),
    "deep.txt": (b"[" * 100_000 + b"]" * 100_000, "neither JSON nor"),
    "call.txt": (b"{0: __import__('os')}", "neither JSON nor"),
    "digits.json": (b"[" + b"1" * 10_000 + b"]", "not JSON"),
    "half_a_character.json": (b'["\\ud800"]', "control characters"),
    "escape.json": (b'["\\u001b[31mred"]', "control characters"),
    "two_lines.json": (b'["cat\\ndog"]', "control characters"),
    "blank.json": (b'["cat", " "]', "empty name for class 1"),
    "escape.txt": (b"\x1b[31mred\n", "control characters"),
    "nul.txt": (b"cat\0\ndog", "control characters"),
    "form_feed.txt": (b"cat\x0cdog", "control characters"),
    "next_line.txt": ("cat\x85dog".encode(), "control characters"),
    "latin.txt": (b"caf\xe9", "not text"),
    "cut16.txt": ("cat".encode("utf-16")[:-1], "not text"),
    "long.txt": (b"x" * 501, "501 characters"),
    "large.txt": (b"cat\n" * (5 << 20), "larger than 16 MiB"),
    "words.csv": (b"a cat,meows\na dog,barks\n", "no header says which column has the names"),
    "short.csv": (b"id,name\n0,cat\n1\n", "nothing but '1' in row 3"),
    "letters.csv": (b"id,name\n0,cat\nb,dog\n", "has 'b' where an index is due"),
    "no_names.yaml": (b"train: a\nval: b\n", "has no 'names:'"),
    "count.yaml": (b"nc: 3\nnames: [cat, dog]\n", "says nc: 3, but names 2 classes"),
    "nested.yaml": (b"names:\n  - [cat]\n", "has '- [cat]' where"),
    "anchor.yaml": (b"names: *others\n", "has '*others' where"),
    "open.yaml": (b"names: [cat, dog\n", "or ']' is due"),
    "nothing.yaml": (b"names:\n", "holds no class names"),
}


@pytest.mark.parametrize("name", WRONG)
def test_labels_files_that_are_none(tmp_path, name):
    content, message = WRONG[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_labels(path)
    assert message in str(caught.value) and str(caught.value).startswith(f"The labels file '{path}' ")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300 + len(str(path))


def test_labels_file_missing(tmp_path):
    with pytest.raises(UsageError, match=r"cannot be read: No such file"):
        read_labels(tmp_path / "none.txt")


def test_imagenets_own_lists_name_two_classes_alike(tmp_path):
    """Keras' index and the lists of WordNet's first names have two cranes and two maillots."""
    synsets = imagenet_synsets()
    first = [synset.names[0] for synset in synsets]
    assert len(set(first)) < 1000
    (tmp_path / "keras.json").write_text(json.dumps({n: [s.id, s.names[0]] for n, s in enumerate(synsets)}))
    (tmp_path / "names.txt").write_text("\n".join(first))
    assert read_labels(tmp_path / "keras.json") == read_labels(tmp_path / "names.txt") == tuple(first)
    (tmp_path / "names.txt").write_text("\n".join(imagenet_labels()[:999]) + "\ntench")
    with pytest.raises(UsageError, match="calls class 0 and class 999 alike"):
        read_labels(tmp_path / "names.txt")


def test_the_content_of_checkpoints():
    assert labels_of({"dog": 1, "cat": 0}) == labels_of({0: "cat", 1: "dog"}) == labels_of(["cat", "dog"])
    assert labels_of({"class_to_idx": {"cat": 0, "dog": 1}}) == ("cat", "dog")
    for content in ({"a": 0.5}, None, "cat", {1: {}}, {"names": "cat"}):
        with pytest.raises(LabelsError):
            labels_of(content)


@pytest.mark.parametrize(
    "value", [{"cat": 0, "dog": 1}, {0: "cat", 1: "dog"}, {"1": "cat", "2": "dog"}, ("cat", "dog"), '["cat", "dog"]']
)
def test_class_names_in_checkpoints(value):
    assert class_names(value) == ("cat", "dog")


@pytest.mark.parametrize("value", [[0, 1], [], {}, "cat", None, ["cat", ""], ["cat", "a\x1bb"], {"cat": 0, "dog": 5}])
def test_what_holds_no_class_names_is_passed_over(value):
    assert class_names(value) is None
