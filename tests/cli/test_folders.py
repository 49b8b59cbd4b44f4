"""``patches``, ``neighbors``, ``embed`` and ``embed-index`` through the command line, on good folders and bad ones."""

from __future__ import annotations

import csv
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

NET = ("-m", "squeezenet1_1", "--size", "96")


@pytest.fixture
def photos(samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three folders with five crops of one photo each; the store is empty."""
    monkeypatch.setenv("CNNVIZ_STORE", str(tmp_path / "store"))
    rng = random.Random(1)
    for name in ("chelsea.png", "coffee.png", "gravel.png"):
        photo = Image.open(samples / name).convert("RGB")
        home = tmp_path / "photos" / Path(name).stem
        home.mkdir(parents=True)
        for number in range(5):
            side = int(min(photo.size) * 0.7)
            left, top = rng.randint(0, photo.width - side), rng.randint(0, photo.height - side)
            photo.crop((left, top, left + side, top + side)).resize((96, 96)).save(home / f"{home.name}{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch):
    """From now on a network that is asked for features of pictures fails the test."""

    def forbid() -> None:
        from cnnviz.features import feature_index

        def refuse(*_: object) -> None:
            raise AssertionError("a picture was read again")

        monkeypatch.setattr(feature_index, "batches_of", lambda items, *_: refuse() if list(items) else [])

    return forbid


def test_embed_writes_map_page_and_coordinates(run_cnnviz, photos, tmp_path, no_network):
    first = run_cnnviz("embed", "photos", "-r", *NET, "--json")
    record = json.loads(first.stdout)
    assert record["output"] == "photos.embed.png"
    assert record["companions"] == ["photos.embed.html", "photos.embed.csv"]
    assert (record["pictures"], record["computed"]) == (15, 15)
    assert record["agreement"]["features"] == 1.0
    rows = list(csv.DictReader((tmp_path / "photos.embed.csv").open(encoding="utf-8")))
    assert len(rows) == 15
    assert {row["class"] for row in rows} == {"chelsea", "coffee", "gravel"}
    assert rows[0]["file"] == "photos/chelsea/chelsea0.png" and "cat" in rows[0]["predicted"]
    assert "photos/coffee/coffee3.png" in (tmp_path / "photos.embed.html").read_text(encoding="utf-8")
    assert Image.open(tmp_path / "photos.embed.png").width > 500
    no_network()
    again = run_cnnviz("embed", "photos", "-r", *NET, "--force", "--json")
    assert json.loads(again.stdout)["computed"] == 0
    assert list(csv.DictReader((tmp_path / "photos.embed.csv").open(encoding="utf-8"))) == rows


def test_every_output_of_embed_is_guarded(run_cnnviz, photos, tmp_path):
    (tmp_path / "map.csv").write_text("mine")
    refused = run_cnnviz("embed", "photos", "-r", *NET, "-o", "map.png", "--method", "pca")
    assert refused.exit_code == 2
    assert "'map.csv' exists already" in refused.stderr
    assert not (tmp_path / "map.png").exists()
    forced = run_cnnviz("embed", "photos", "-r", *NET, "-o", "map.png", "--method", "pca", "--force")
    assert forced.stdout.split() == ["map.png", "map.html", "map.csv"]
    shown = run_cnnviz("info", "--command", "map.png")
    assert shown.stdout.startswith(
        "cnnviz embed photos --model squeezenet1_1 --seed 0 --method pca --recursive --size 96"
    )


@pytest.mark.needs("pyarrow")
def test_layouts_classes_and_parquet(run_cnnviz, photos, tmp_path):
    import pyarrow.parquet

    options = ("--method", "pca", "--layout", "grid", "--classes", "predicted", "--parquet", "--half")
    result = run_cnnviz("embed", "photos", "-r", *NET, *options, "-o", "g.png")
    assert result.stdout.split() == ["g.png", "g.html", "g.parquet"]
    table = pyarrow.parquet.read_table(tmp_path / "g.parquet").to_pydict()
    assert table["class"] == table["predicted"]
    assert run_cnnviz("embed", "photos/chelsea", *NET, "-o", "c.png", "--classes", "none").exit_code == 0
    assert {row["class"] for row in csv.DictReader((tmp_path / "c.csv").open(encoding="utf-8"))} == {""}


def test_neighbors_finds_crops_of_the_same_photo(run_cnnviz, photos, tmp_path):
    queries = ("photos/chelsea/chelsea0.png", "photos/coffee/coffee1.png")
    result = run_cnnviz("neighbors", *queries, "photos", "-r", *NET, "-k", 4, "--json")
    assert result.exit_code == 0
    for line, name in zip(result.stdout.splitlines(), ("chelsea", "coffee"), strict=True):
        record = json.loads(line)
        files = [near["file"] for near in record["features"]]
        assert len(files) == len(record["pixels"]) == 4
        assert all(Path(file).parent.name == name for file in files)
        assert record["input"] not in files
        distances = [near["distance"] for near in record["features"]]
        assert distances == sorted(distances)
        assert (tmp_path / record["output"]).exists()
    shown = run_cnnviz("info", "--command", "coffee1.neighbors.png")
    assert shown.stdout.startswith("cnnviz neighbors photos/coffee/coffee1.png photos ")


def test_neighbors_by_cosine_and_approximately(run_cnnviz, photos):
    query = "photos/gravel/gravel2.png"
    found = []
    for number, index in enumerate(("exact", "approximate", "approximate")):
        options = ("--metric", "cosine", "--index", index, "-o", f"{number}.png", "--json", "-k", 3)
        found.append(json.loads(run_cnnviz("neighbors", query, "photos", "-r", *NET, *options).stdout)["features"])
    assert [n["file"] for n in found[0]] == [n["file"] for n in found[1]] == [n["file"] for n in found[2]]
    assert found[1] == found[2]
    assert 0 <= found[0][0]["distance"] < 0.5


def test_neighbors_needs_a_query_and_a_folder(run_cnnviz, photos):
    for arguments, sentence in (
        (["photos"], "Name the images to look for and then the folder"),
        (["photos/chelsea/chelsea0.png", "photos/chelsea/chelsea1.png"], "is a file"),
        (["photos/chelsea/chelsea0.png", "nowhere"], "there is no 'nowhere'"),
        (["photos/chelsea/chelsea0.png", "photos"], "no pictures in the folder 'photos'. -r looks"),
    ):
        result = run_cnnviz("neighbors", *arguments, *NET)
        assert result.exit_code == 2
        assert sentence in result.stderr


def test_patches_come_from_where_the_activation_is_greatest(run_cnnviz, squeezenet, photos, tmp_path, no_network):
    import cnnviz

    options = ("--layer", "fire4", "--channel", "7,200", "--top", 3, "--json")
    record = json.loads(run_cnnviz("patches", "photos", "-r", *NET, *options).stdout)
    assert [row["channel"] for row in record["channels"]] == [7, 200]
    for row in record["channels"]:
        strongest = {}
        for path in sorted((tmp_path / "photos").rglob("*.png")):
            maps = squeezenet.features(cnnviz.read_image(path, size=96), ["fire4"])["fire4"]
            strongest[path.name] = float(maps[0, row["channel"]].max())
        expected = sorted(strongest.items(), key=lambda pair: -pair[1])[:3]
        assert [Path(patch["file"]).name for patch in row["patches"]] == [name for name, _ in expected]
        assert [patch["activation"] for patch in row["patches"]] == pytest.approx([v for _, v in expected], rel=1e-3)
    assert Image.open(tmp_path / "photos.patches.png").width > 500
    no_network()
    other = run_cnnviz("patches", "photos", "-r", *NET, "--layer", "features.6", "-o", "other.png", "--json")
    assert len(json.loads(other.stdout)["channels"]) == 6  # another channel of the same layer is known already


def test_copies_of_a_picture_count_once_in_patches_and_everywhere_else_as_they_are(run_cnnviz, photos):
    shutil.copy("photos/chelsea/chelsea0.png", "photos/chelsea/copy.png")
    patches = run_cnnviz("patches", "photos/chelsea", *NET, "--layer", "fire3", "-c", 5, "--top", 9, "--json")
    record = json.loads(patches.stdout)
    assert record["pictures"] == 6
    assert len(record["channels"][0]["patches"]) == 5
    near = run_cnnviz("neighbors", "photos/chelsea/copy.png", "photos/chelsea", *NET, "-k", 1, "--json")
    nearest = json.loads(near.stdout)["features"][0]
    assert nearest["file"] == "photos/chelsea/chelsea0.png"
    assert nearest["distance"] == pytest.approx(0, abs=0.05)


def spoil(folder: Path, samples: Path) -> list[str]:
    whole = (samples / "rocket.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.png").write_text("not a picture")
    (folder / "zero.png").touch()
    (folder / "notes.txt").write_text("no picture's name")
    Image.new("RGB", (5, 900), "teal").save(folder / "thin.png")
    return ["cut.jpg", "text.png", "zero.png", "thin.png"]


@pytest.mark.parametrize(
    "command",
    [
        ["embed", "photos"],
        ["patches", "photos", "--layer", "fire3", "-c", "5"],
        ["neighbors", "photos/gravel/gravel1.png", "photos"],
        ["embed-index", "photos"],
    ],
    ids=lambda command: command[0],
)
def test_broken_files_are_told_of_and_the_rest_is_done(run_cnnviz, photos, samples, command):
    broken = spoil(photos, samples)
    result = run_cnnviz(*command, "-r", *NET, "--json")
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 4
    assert all(any(name in line for line in lines) for name in broken)
    record = json.loads(result.stdout)
    assert record.get("pictures", 15) == 15


def test_a_folder_of_nothing_but_broken_files(run_cnnviz, photos, samples, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "text.png").write_text("not a picture")
    result = run_cnnviz("embed", "bad", *NET)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "error: None of the 1 images could be read."
    (tmp_path / "nothing").mkdir()
    none = run_cnnviz("embed", "nothing", *NET)
    assert (none.exit_code, none.stderr.count("\n")) == (2, 1)
    assert "no pictures in the folder 'nothing'" in none.stderr


@pytest.mark.parametrize("method", ["pca", "tsne", pytest.param("umap", marks=pytest.mark.needs("umap"))])
def test_a_map_of_one_picture(run_cnnviz, photos, tmp_path, method):
    result = run_cnnviz("embed", "photos/coffee/coffee0.png", *NET, "--method", method)
    assert result.stdout.split() == ["coffee0.embed.png", "coffee0.embed.html", "coffee0.embed.csv"]
    assert (np.asarray(Image.open(tmp_path / "coffee0.embed.png")) < 250).mean() > 0.01


def test_standard_input_cannot_be_read_twice(run_cnnviz, photos):
    result = run_cnnviz("embed", "-", *NET, stdin=b"picture")
    assert result.exit_code == 2
    assert "give files, not '-'" in result.stderr


def test_the_index_notices_what_changed(run_cnnviz, photos, tmp_path):
    def index() -> dict:
        return json.loads(run_cnnviz("embed-index", "photos", "-r", *NET, "--json").stdout)

    def counts() -> tuple[int, ...]:
        record = index()
        return tuple(record[name] for name in ("pictures", "computed", "kept", "gone"))

    assert counts() == (15, 15, 0, 0)
    assert counts() == (15, 0, 15, 0)
    Image.new("RGB", (96, 96), "navy").save("photos/coffee/coffee0.png")
    (tmp_path / "photos" / "gravel" / "gravel0.png").unlink()
    shutil.copy("photos/chelsea/chelsea1.png", "photos/another.png")
    assert counts() == (15, 1, 13, 1)


def test_a_damaged_store_is_built_again(run_cnnviz, photos, tmp_path):
    run_cnnviz("embed-index", "photos", "-r", *NET)
    (index,) = (tmp_path / "store").glob("features-*/entries.sqlite")
    index.write_bytes(b"damage" * 1000)
    result = run_cnnviz("embed-index", "photos", "-r", *NET, "--json")
    assert result.exit_code == 0
    assert "was damaged; it is built again" in result.stderr
    assert json.loads(result.stdout)["computed"] == 15


def test_a_store_that_cannot_be_written_is_one_sentence(run_cnnviz, photos, tmp_path):
    (tmp_path / "file").touch()
    result = run_cnnviz("embed-index", "photos", "-r", *NET, "--store", tmp_path / "file" / "x")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "The feature store" in result.stderr


def test_guided_rows_stand_under_the_patches(run_cnnviz, photos, tmp_path):
    options = ("--layer", "fire4", "--channel", "7,200", "--top", 3, "--json")
    plain = json.loads(run_cnnviz("patches", "photos", "-r", *NET, *options, "-o", "plain.png").stdout)
    guided = json.loads(run_cnnviz("patches", "photos", "-r", *NET, *options, "-o", "guided.png", "--guided").stdout)
    assert guided["channels"] == plain["channels"]
    one, two = (np.asarray(Image.open(tmp_path / name), dtype=int) for name in ("plain.png", "guided.png"))
    assert two.shape[0] > 1.6 * one.shape[0] and two.shape[1] == one.shape[1]
    mid_grey = (abs(two - 128) <= 1).all(axis=2)
    assert 0.1 < mid_grey.mean() < 0.6  # what does not matter to the channel, in the gradients only
    assert (abs(one - 128) <= 1).all(axis=2).mean() < 0.01


def test_what_lies_outside_a_patch_does_not_matter_to_it(squeezenet, chelsea):
    """The guided gradient of an activation is zero beyond the window that is cut out."""
    from cnnviz.attribution.guided_backprop import rectified_gradient
    from cnnviz.features.maps import map_layer
    from cnnviz.features.top_activations import channel_maxima

    peaks = channel_maxima(squeezenet, chelsea, "fire4")
    row, column = int(peaks.rows[0, 7]), int(peaks.columns[0, 7])
    gradient = rectified_gradient(squeezenet, chelsea, lambda maps: maps[0, 7, row, column], "guided", "fire4")[0]
    top, left, bottom, right = (max(side, 0) for side in map_layer(squeezenet, "fire4").field.window(row, column))
    assert gradient[:, top:bottom, left:right].abs().max() > 0
    gradient[:, top:bottom, left:right] = 0
    assert gradient.abs().max() == 0


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["embed", "photos", "-r", "--method", "umap"], "embed"),
        (["embed", "photos", "-r", "--parquet"], "embed"),
        (["neighbors", "photos/gravel/gravel1.png", "photos", "-r", "--index", "approximate"], "index"),
    ],
    ids=["umap", "pyarrow", "usearch"],
)
def test_a_missing_library_is_told_of_before_any_work(run_cnnviz, photos, tmp_path, monkeypatch, arguments, extra):
    from cnnviz.features import neighbors, projection, table

    for module in (table, neighbors, projection):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    result = run_cnnviz(*arguments, *NET)
    assert result.exit_code == 2
    assert f"pip install 'cnnviz[{extra}]'" in result.stderr
    assert not (tmp_path / "store").exists()


def test_lists_globs_and_standard_output(run_cnnviz, photos, tmp_path):
    (tmp_path / "list.txt").write_text("\n".join(str(p) for p in sorted((photos / "chelsea").iterdir())))
    options = (*NET, "--method", "pca")
    assert run_cnnviz("embed", "--files-from", "list.txt", *options).stdout.split()[0] == "list.embed.png"
    assert run_cnnviz("embed", "photos/coffee/*.png", *options).stdout.split()[0] == "coffee.embed.png"
    bytes_out = run_cnnviz("embed", "photos/coffee", *options, "-o", "-")
    assert bytes_out.stdout_bytes.startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.glob("*.csv")) == ["coffee.embed.csv", "list.embed.csv"]
    done = run_cnnviz("embed", "photos/coffee", *options, "--skip-existing")
    assert (done.exit_code, done.stdout) == (0, "")
