"""``embed-index``: the store of features, whatever becomes of its folder."""

from __future__ import annotations

import json
import shutil

from PIL import Image

NET = ("-m", "squeezenet1_1", "--size", "96")


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
