"""Classes by index, name and part of a name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cnnviz.adversarial.fgsm import fgsm
from cnnviz.attribution.gradients import saliency
from cnnviz.errors import UsageError
from cnnviz.network.class_names import classes_of_folders
from cnnviz.network.imagenet import has_imagenet_order, imagenet_labels, imagenet_synsets
from cnnviz.network.targets import find_class


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
        ("cat", r"fits 7 classes: tiger cat \(282\), Persian cat .*, tabby \(281: tabby cat\), lesser panda"),
        ("terrier", r"fits \d\d classes: .* and \d\d more"),
        ("espreso", "Did you mean espresso"),
        ("shepard", "Did you mean .*German shepherd"),
        ("1000", "classes 0 to 999"),
        ("-1", "classes 0 to 999"),
        ("", "no class called ''"),
    ],
)
def test_not_finding_a_class(wanted, message):
    with pytest.raises(UsageError, match=message):
        find_class(imagenet_labels(), wanted)


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("kangaroo", 104),
        ("brush kangaroo", 104),
        ("Tinca_tinca", 0),
        ("n02123045", 281),
        ("N02123045", 281),
        ("tabby cat", 281),
        ("crane", 517),
        ("Cardigan", 264),
        ("cardigan", 474),
        ("crane bird", 134),
        ("killer_whale", 148),
        ("orca", 148),
        ("jack o lantern", 607),
        ("yellow ladys slipper", 986),
    ],
)
def test_imagenets_synonyms(wanted, index):
    assert find_class(imagenet_labels(), wanted) == index


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("kangaro", r"fits 2 classes: wallaby \(104: brush kangaroo\), koala \(105: kangaroo bear\)"),
        ("tinka tinca", r"no class called 'tinka tinca'\. Did you mean tench \(Tinca tinca\)"),
        ("bear", r"fits \d classes: brown bear \(294\), .*koala \(105: koala bear\)"),
        ("n00000000", "no class called 'n00000000'"),
        ("n0212", "no class called 'n0212'"),
    ],
)
def test_what_no_synonym_or_several_fit(wanted, message):
    with pytest.raises(UsageError, match=message):
        find_class(imagenet_labels(), wanted)


def test_synonyms_are_those_of_imagenets_classes_only():
    known = imagenet_labels()
    for labels in (known[1:], (*known, "one more"), ("wallaby", "tabby", "tench"), known[::-1]):
        with pytest.raises(UsageError, match="no class called 'brush kangaroo'"):
            find_class(labels, "brush kangaroo")
    lemmas = tuple(", ".join(synset.names) for synset in imagenet_synsets())
    ids = tuple(synset.id for synset in imagenet_synsets())
    for labels in (lemmas, ids, tuple(synset.names[0] for synset in imagenet_synsets()), ("house", *known[1:])):
        assert find_class(labels, "brush kangaroo") == find_class(labels, "n01877812") == 104
    some = (lemmas[5], ids[104], "house")
    assert find_class(some, "kangaroo") == find_class(some, "n01877812") == 1
    assert find_class(some, ids[5]) == find_class(some, "numbfish") == 0


def indices(labels, folders, *known):
    return [found and found.index for found in classes_of_folders(labels, folders, *known).values()]


def test_every_synset_is_found_by_its_id_and_its_label():
    known, synsets = imagenet_labels(), imagenet_synsets()
    assert [synset.id for synset in synsets] == sorted({synset.id for synset in synsets})
    assert len(synsets) == 1000 and has_imagenet_order(known)
    assert indices(known, [synset.id for synset in synsets]) == list(range(1000))
    assert indices(known, known) == list(range(1000))


def test_folders_of_classes():
    labels = ("tabby cat", "dog", "5", "tench, Tinca tinca", "bird", "bird, fowl")
    folders = ["Tabby_Cat", "DOG", "5", "0", "03", "n01440764", "tinca-tinca", "fowl", "bird"]
    assert indices(labels, folders) == [0, 1, 2, 0, 3, 3, 3, 5, 4]
    assert indices(labels, ["tabby", "cat", "9", ""]) == [None] * 4
    assert indices(labels, ["hund", "dog"], {"hund": 1, "dog": 4}) == [1, 1]
    assert classes_of_folders(labels, ["0"], has_indices=False) == {"0": None}
    with pytest.raises(UsageError, match=r"'x' fits 2 classes: a, x \(0\) and b, x \(1\)"):
        classes_of_folders(("a, x", "b, x"), ["x"])


def test_the_nearest_of_very_many_names_is_not_looked_for(monkeypatch):
    monkeypatch.setattr("difflib.get_close_matches", None)
    with pytest.raises(UsageError, match=r"no class called 'cta'\.$"):
        find_class(("cat",) * 60_000, "cta")


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
