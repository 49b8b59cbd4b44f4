"""``neighbors``: the images of a folder that are nearest to an image."""

from __future__ import annotations

import json
from pathlib import Path

NET = ("-m", "squeezenet1_1", "--size", "96")


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


def test_a_shard_is_one_of_the_images_looked_for_not_of_the_folder(run_cnnviz, photos):
    common = ("neighbors", "photos/chelsea/chelsea0.png", "photos/coffee/coffee1.png", "photos", "-r", *NET, "--json")
    whole = [json.loads(line) for line in run_cnnviz(*common).stdout.splitlines()]
    (part,) = [json.loads(line) for line in run_cnnviz(*common, "--shard", "2/2", "-f").stdout.splitlines()]
    assert part["input"] == whole[1]["input"]
    assert part["features"] == whole[1]["features"]


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
        (["photos/chelsea/chelsea0.png", "photos"], "no images in the folder 'photos'. -r looks"),
    ):
        result = run_cnnviz("neighbors", *arguments, *NET)
        assert result.exit_code == 2
        assert sentence in result.stderr
