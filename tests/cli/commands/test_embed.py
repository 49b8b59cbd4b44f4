"""``embed``: the map of a folder as an image, a page and a table."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

NET = ("-m", "squeezenet1_1", "--size", "96")


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


def test_a_folder_of_nothing_but_broken_files(run_cnnviz, photos, samples, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "text.png").write_text("no image")
    result = run_cnnviz("embed", "bad", *NET)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "error: No image could be read."
    (tmp_path / "nothing").mkdir()
    none = run_cnnviz("embed", "nothing", *NET)
    assert (none.exit_code, none.stderr.count("\n")) == (2, 1)
    assert "no images in the folder 'nothing'" in none.stderr


@pytest.mark.parametrize("method", ["pca", "tsne", pytest.param("umap", marks=pytest.mark.needs("umap"))])
def test_a_map_of_one_image(run_cnnviz, photos, tmp_path, method):
    result = run_cnnviz("embed", "photos/coffee/coffee0.png", *NET, "--method", method)
    assert result.stdout.split() == ["coffee0.embed.png", "coffee0.embed.html", "coffee0.embed.csv"]
    assert (np.asarray(Image.open(tmp_path / "coffee0.embed.png")) < 250).mean() > 0.01


def test_standard_input_cannot_be_read_twice(run_cnnviz, photos):
    result = run_cnnviz("embed", "-", *NET, stdin=b"image")
    assert result.exit_code == 2
    assert "give files, not '-'" in result.stderr


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
