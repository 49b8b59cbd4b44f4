"""The true class of images: by folder, by a table, and what is said where there is none, or two."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnviz.errors import UsageError
from cnnviz.network.imagenet import imagenet_labels
from cnnviz.pipeline.class_table import read_class_table
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.true_classes import TrueClasses, folders_of

LABELS = ("cat", "guide dog", "bird")


def below(path: str, root: str = "photos") -> ImageSource:
    """An image below a folder that was searched."""
    return ImageSource(Path(root, path), Path(path).parent)


def test_folders_between_an_image_and_the_folder_searched():
    assert folders_of(below("cat/a.png")) == ("cat",)
    assert folders_of(below("val/cat/more/a.png")) == ("val", "cat", "more")
    assert folders_of(ImageSource(Path("photos/cat/a.png"))) == ("cat",)
    assert folders_of(below("a.png")) == ("photos",)
    assert folders_of(ImageSource(None)) == ()


def test_classes_of_folders():
    names = ("cat/a.png", "CAT/b.png", "guide_dog/a.png", "2/a.png", "val/guide-dog/0/a.png", "1/bird/a.png")
    sources = [below(name) for name in names]
    found = TrueClasses.of("folder").among(sources).bound(LABELS)
    assert [found.index(source) for source in sources] == [0, 0, 1, 2, 1, 2]


def test_the_folders_it_was_trained_on():
    sources = [below("katze/a.png"), below("hund/a.png")]
    found = TrueClasses().among(sources).bound(LABELS, {"hund": 1, "katze": 0})
    assert [found.index(source) for source in sources] == [0, 1]
    with pytest.raises(UsageError, match="'katze' and 'hund' name no class"):
        TrueClasses().among(sources).bound(LABELS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("horse/a.png", r"The folder 'horse' names no class of this network; the nearest are"),
        ("gide_dog/a.png", r"The folder 'gide_dog' names no class of this network; the nearest are guide dog"),
        ("3/a.png", r"The folder '3' names no class"),
        ("a.png", r"The folder 'photos' names no class"),
        ("cat/bird/a.png", r"'photos/cat/bird/a.png' lies in the folders of 2 classes: cat and bird"),
    ],
)
def test_a_folder_that_fits_none_or_two(name, message):
    with pytest.raises(UsageError, match=message):
        TrueClasses().among([below("cat/a.png"), below(name)]).bound(LABELS)


def test_several_folders_that_fit_none():
    sources = [below(f"{name}/a.png") for name in ("cat", "horse", "bird ", "cow", "pig", "gide dog")]
    with pytest.raises(UsageError) as caught:
        TrueClasses().among(sources).bound(LABELS)
    expected = "The folders 'horse', 'cow', 'pig' and 1 more name no class of this network; the nearest to 'horse' are "
    assert str(caught.value).startswith(expected)


def test_the_nearest_of_imagenets_names():
    with pytest.raises(UsageError, match=r"nearest are .*killer whale"):
        TrueClasses().among([below("kiler_whale/a.png")]).bound(imagenet_labels())


def test_standard_input_lies_in_no_folder():
    with pytest.raises(UsageError, match="'<stdin>' lies in no folder"):
        TrueClasses().among([ImageSource(None)])


TABLES = {
    "headers.csv": "file,class\ncat/a.png,cat\nb.png,bird\n",
    "other_order.csv": "label;image\ncat;cat/a.png\nbird;b.png\n",
    "plain.csv": "cat/a.png,cat\nb.png,bird\n",
    "class_first.csv": "cat,cat/a.png\nbird,b.png\n",
    "stems.csv": "id,breed\ncat/a,cat\nb,bird\n",
    "indices.csv": "file,class\n./cat/a.png,0\nb.png,2\n",
    "more.csv": "file,x,class\nphotos/cat/a.png,1,cat\nphotos/b.png,1,bird\nnone.png,1,horse\n",
    "tabs.tsv": "\ufefffile\tclass\ncat/a.png\tcat\nb.png\tbird\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(tmp_path, name):
    path = tmp_path / name
    path.write_text(TABLES[name], encoding="utf-8")
    sources = [below("cat/a.png"), below("b.png"), below("c.png")]
    found = TrueClasses.of(str(path)).among(sources)
    assert found.missing(sources) == sources[2:]
    bound = found.bound(LABELS)
    assert [bound.index(source) for source in sources] == [0, 2, None]


def test_paths_in_tables_from_their_own_folder(tmp_path, monkeypatch):
    (tmp_path / "tables").mkdir()
    table = tmp_path / "tables" / "t.csv"
    table.write_text(f"../photos/a.png,cat\n{tmp_path}/photos/b.png,bird\n")
    monkeypatch.chdir(tmp_path)
    sources = [below("a.png"), below("b.png")]
    found = TrueClasses.of(str(table)).among(sources).bound(LABELS)
    assert [found.index(source) for source in sources] == [0, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"a.png\n", "has one column in row 1"),
        (b"\xff\xfe\x00", "no table in UTF-8"),
        (b"a.png,cat\na.png,bird\n", "has 'a.png' as 'cat' and as 'bird'"),
        (b"u,v,w\n1,2,3\n", "has the columns 'u', 'v', 'w': name those of images and classes"),
        (b"elsewhere.png,cat\n", "has none of the images, as 'photos/x/a.png'"),
        (b"a.png,cat\n", "'a.png' in .* may be any of 2 images"),
        (b"x/a.png,cat\ny/a.png,horse\n", "'horse' in .* names no class of this network"),
    ],
)
def test_tables_that_are_none(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        TrueClasses.of(str(path)).among([below("x/a.png"), below("y/a.png")]).bound(LABELS)


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="'folder', or by a CSV file: there is no file 'folders'"):
        TrueClasses.of("folders")
    with pytest.raises(UsageError, match="is a folder"):
        read_class_table(tmp_path)
