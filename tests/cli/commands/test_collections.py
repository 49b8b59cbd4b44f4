"""What the commands about collections of images share: bad files, copies, missing libraries."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

NET = ("-m", "squeezenet1_1", "--size", "96")


def test_copies_count_once_in_patches_and_one_by_one_elsewhere(run_cnnviz, photos):
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
    (folder / "text.png").write_text("no image")
    (folder / "zero.png").touch()
    (folder / "notes.txt").write_text("no image of that name")
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
def test_broken_files_are_reported_and_the_others_done(run_cnnviz, photos, samples, command):
    broken = spoil(photos, samples)
    result = run_cnnviz(*command, "-r", *NET, "--json")
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 4
    assert all(any(name in line for line in lines) for name in broken)
    record = json.loads(result.stdout)
    assert record.get("pictures", 15) == 15


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["embed", "photos", "-r", "--method", "umap"], "embed"),
        (["embed", "photos", "-r", "--parquet"], "embed"),
        (["neighbors", "photos/gravel/gravel1.png", "photos", "-r", "--index", "approximate"], "index"),
    ],
    ids=["umap", "pyarrow", "usearch"],
)
def test_a_missing_library_is_an_error_before_any_work(run_cnnviz, photos, tmp_path, monkeypatch, arguments, extra):
    from cnnviz.features import neighbors, projection, table

    for module in (table, neighbors, projection):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    result = run_cnnviz(*arguments, *NET)
    assert result.exit_code == 2
    assert f"pip install 'cnnviz[{extra}]'" in result.stderr
    assert not (tmp_path / "store").exists()
