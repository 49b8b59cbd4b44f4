"""``universal``: learning from a folder, keeping the perturbation, laying it over pictures."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from cnnviz.imaging import read_photo

NET = ("-m", "squeezenet1_1")


@pytest.fixture
def photos(tmp_path, samples):
    (tmp_path / "photos").mkdir()
    for name in ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png"):
        shutil.copy(samples / name, tmp_path / "photos")
    return "photos"


@pytest.mark.slow
def test_learned_on_crops_it_fools_on_crops_it_never_saw(run_cnnviz, photos, tmp_path, samples):
    """Sixteen random squares of each of four photos; a fifth of them held out."""
    options = ("--crops", 16, "--epsilon", "10/255", "-o", "uap.png", "--json")
    record = json.loads(run_cnnviz("universal", photos, *NET, *options).stdout)
    assert (record["pictures"], record["held_out"]) == (52, 12)
    assert record["held_out_fooling_rate"] >= 0.6
    kept = load_file(tmp_path / "uap.safetensors")["perturbation"]
    assert float(kept.abs().max()) <= 10 / 255 + 1e-6
    for name in ("uap.png", "uap.safetensors"):
        applied = run_cnnviz(
            "universal", "--apply", name, samples / "coffee.png", *NET, "--raw", "-o", "a.png", "-f", "--json"
        )
        told = json.loads(applied.stdout)
        classified = json.loads(run_cnnviz("classify", "a.png", *NET, "-k", 1, "--json").stdout)["predictions"][0]
        assert told["after"] == classified
        assert told["success"] == (classified["label"] != "espresso")


def test_bad_files_are_left_out_and_resuming_goes_on(run_cnnviz, photos, tmp_path):
    (tmp_path / "photos" / "broken.png").write_bytes(b"no picture")
    first = run_cnnviz("universal", photos, *NET, "--passes", 1, "--held-out", 0, "-o", "one.png")
    assert first.exit_code == 1
    assert "broken.png" in first.stderr
    assert first.stdout.split() == ["one.png", "one.safetensors"]
    (tmp_path / "photos" / "broken.png").unlink()
    second = run_cnnviz(
        "universal", photos, *NET, "--passes", 1, "--held-out", 0, "--resume", "one.png", "-o", "two.png"
    )
    assert second.exit_code == 0
    one, two = (load_file(tmp_path / f"{n}.safetensors")["perturbation"] for n in ("one", "two"))
    assert float(two.abs().mean()) > float(one.abs().mean()) > 0
    assert not torch.equal(one, two)
    panel = run_cnnviz("universal", "--apply", "two.png", "photos/chelsea.png", *NET)
    assert panel.stdout.split() == ["chelsea.universal.png"]
    assert read_photo(tmp_path / "chelsea.universal.png").width > 500


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--apply", "none.safetensors", "photos/coffee.png"), 3, "does not exist"),
        (("--apply", "text.safetensors", "photos/coffee.png"), 3, "is not a perturbation"),
        (("photos", "--resume", "none.png"), 3, "does not exist"),
        (("photos", "--method", "magic", "--passes", "1"), 2, "no method 'magic'"),
        (("photos", "--epsilon", "wide"), 2, "--epsilon takes a size"),
        ((), 2, "No picture was given"),
    ],
)
def test_mistakes(run_cnnviz, photos, tmp_path, arguments, code, message):
    (tmp_path / "text.safetensors").write_text("words")
    before = sorted(tmp_path.rglob("*"))
    result = run_cnnviz("universal", *arguments, *NET)
    assert result.exit_code == code, result.stderr
    assert message in result.stderr
    assert sorted(tmp_path.rglob("*")) == before
