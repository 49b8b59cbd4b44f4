"""``universal``: training on a folder, keeping the perturbation, applying it to images."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from cnnviz.imaging.image_io import read_pil_image
from cnnviz.imaging.pixels import to_pixels

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
    assert (one - two).abs().max() > 0.2 * one.abs().max()
    panel = run_cnnviz("universal", "--apply", "two.png", "photos/chelsea.png", *NET)
    assert panel.stdout.split() == ["chelsea.universal.png"]
    assert read_pil_image(tmp_path / "chelsea.universal.png").width > 500


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--apply", "none.safetensors", "photos/coffee.png"), 3, "does not exist"),
        (("--apply", "text.safetensors", "photos/coffee.png"), 3, "is not a perturbation"),
        (("photos", "--resume", "none.png"), 3, "does not exist"),
        (("photos", "--method", "magic", "--passes", "1"), 2, "magic"),
        (("photos", "--epsilon", "wide"), 2, "--epsilon takes a size"),
        ((), 2, "No image was given"),
    ],
)
def test_mistakes(run_cnnviz, photos, tmp_path, arguments, code, message):
    (tmp_path / "text.safetensors").write_text("words")
    before = sorted(tmp_path.rglob("*"))
    result = run_cnnviz("universal", *arguments, *NET)
    assert result.exit_code == code, result.stderr
    assert message in result.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_that_fools_nothing_says_why_and_what_to_raise(run_cnnviz, photos):
    options = ("--held-out", 0, "--passes", 1)
    short = run_cnnviz("universal", photos, *NET, *options, "-e", "0.2/255", "-o", "short.png", "--json")
    assert json.loads(short.stdout)["fooling_rate"] == 0
    assert "on none of the 4 training images" in short.stderr
    assert "of the 0.2/255 allowed" in short.stderr and "Raise --passes (1 now)" in short.stderr
    nothing = run_cnnviz("universal", photos, *NET, *options, "-e", 0, "-o", "nothing.png")
    assert "Raise --epsilon, to 10/255" in nothing.stderr
    assert short.exit_code == nothing.exit_code == 0


def test_the_figure_shows_only_what_is_fooled(run_cnnviz, photos, monkeypatch):
    from cnnviz.figures import fooling

    shown, draw = [], fooling.universal_panel

    def watched(perturbation, examples, captions, title):
        shown.extend(caption.split(" → ") for caption in captions)
        return draw(perturbation, examples, captions, title)

    monkeypatch.setattr(fooling, "universal_panel", watched)
    result = run_cnnviz("universal", photos, *NET, "--held-out", 0, "--passes", 5, "--rate", 0.4, "-e", 32, "--json")
    rate = json.loads(result.stdout)["fooling_rate"]
    assert len(shown) == min(3, round(4 * rate)) > 0
    assert all(before != after for before, after in shown)


def test_an_applied_perturbation_is_judged_by_its_file(run_cnnviz, samples, tmp_path):
    photo = read_pil_image(samples / "coffee.png").resize((144, 96))
    photo.save(tmp_path / "cup.png")
    signs = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)).sub(0.5).sign()
    save_file({"perturbation": signs * 12 / 255}, tmp_path / "p.safetensors")
    options = ("--apply", "p.safetensors", "--raw", "-o", "out.jpg", "--json")
    record = json.loads(run_cnnviz("universal", "cup.png", *NET, "-s", 96, *options).stdout)
    read_back = json.loads(run_cnnviz("classify", "out.jpg", *NET, "-s", 96, "-k", 1, "--json").stdout)
    assert record["after"] == read_back["predictions"][0]
    change = to_pixels(read_pil_image(tmp_path / "out.jpg")) - to_pixels(photo)
    assert record["linf"] == pytest.approx(float(change.abs().max()), abs=1e-6)
