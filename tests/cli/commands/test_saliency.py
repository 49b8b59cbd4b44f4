"""The main job through the command line: outputs, formats, pipes, JSON, batches, recipes."""

from __future__ import annotations

import json
import shlex
import shutil
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

import cnnviz
from cnnviz.network import architecture

NET = ("-m", "squeezenet1_1")


def test_default_output_is_a_panel_beside_where_one_stands(run_cnnviz, samples, tmp_path):
    result = run_cnnviz("saliency", samples / "chelsea.png", *NET)
    assert result.exit_code == 0
    assert result.stdout == "chelsea.saliency.png\n"
    assert result.stderr == ""
    panel = Image.open(tmp_path / "chelsea.saliency.png")
    photo = Image.open(samples / "chelsea.png")
    assert panel.width > 3 * photo.width
    assert panel.height > photo.height


def test_the_cats_face_is_lit(run_cnnviz, samples, tmp_path):
    """More than twice as bright over eyes, nose and brow than over the blurred background at the right."""
    run_cnnviz("saliency", samples / "chelsea.png", *NET, "--view", "raw", "-o", "map.png")
    found = np.asarray(Image.open(tmp_path / "map.png"), dtype=float)
    assert found.shape == (224, 336)
    assert found[60:210, 90:240].mean() > 2 * found[110:, 280:].mean()


@pytest.mark.parametrize(("view", "size"), [("overlay", (451, 300)), ("heat", (451, 300)), ("raw", (336, 224))])
def test_views(run_cnnviz, samples, tmp_path, view, size):
    run_cnnviz("saliency", samples / "chelsea.png", *NET, "--view", view, "-o", f"{view}.webp")
    assert Image.open(tmp_path / f"{view}.webp").size == size


def test_crop_and_size_frame_what_the_network_sees(run_cnnviz, samples, tmp_path):
    run_cnnviz("saliency", samples / "chelsea.png", *NET, "--view", "raw", "--crop", "--size", 96, "-o", "a.png")
    assert Image.open(tmp_path / "a.png").size == (96, 96)
    run_cnnviz("saliency", samples / "chelsea.png", *NET, "--view", "overlay", "--crop", "-o", "b.png")
    assert Image.open(tmp_path / "b.png").size == (262, 262)


def test_map_written_is_the_librarys_map(run_cnnviz, squeezenet, samples, tmp_path, chelsea):
    run_cnnviz("saliency", samples / "chelsea.png", *NET, "--view", "raw", "-o", "a.png", "--target", "lynx")
    expected = cnnviz.saliency(squeezenet, chelsea, "lynx")[0, 0].numpy()
    written = np.asarray(Image.open(tmp_path / "a.png"), dtype=float)
    np.testing.assert_allclose(written, expected / expected.max() * 255, atol=0.51)


def test_standard_input_to_standard_output(run_cnnviz, samples):
    result = run_cnnviz("saliency", "-", "-o", "-", *NET, stdin=(samples / "coffee.png").read_bytes())
    assert result.exit_code == 0
    assert Image.open(BytesIO(result.stdout_bytes)).format == "PNG"


def test_json_tells_what_was_done(run_cnnviz, samples, tmp_path):
    result = run_cnnviz("saliency", samples / "coffee.png", *NET, "--json", "--target", "soup bowl", "--seed", 7)
    record = json.loads(result.stdout)
    assert record["output"] == "coffee.saliency.png"
    assert record["target"]["label"] == "soup bowl"
    assert record["predicted"] == pytest.approx({"index": 967, "label": "espresso", "probability": 0.9885}, abs=1e-3)
    assert (record["model"], record["weights"], record["seed"]) == ("squeezenet1_1", "embedded", 7)
    assert record["seconds"] > 0
    assert (tmp_path / record["output"]).exists()


def test_lists_of_files_from_standard_input(run_cnnviz, samples):
    names = [str(samples / name) for name in ("coffee.png", "rocket.jpg")]
    for separator in ("\n", "\r\n", "\0"):
        result = run_cnnviz("saliency", "--files-from", "-", *NET, "--force", stdin=separator.join(names) + separator)
        assert result.stdout.split() == ["coffee.saliency.png", "rocket.saliency.png"]


def test_templates_folders_and_trees(run_cnnviz, samples, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("a.png", "deep/a.png", "deep/b.jpg"):
        Image.open(samples / "chelsea.png").resize((60, 40)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("not a picture")
    flat = run_cnnviz("saliency", "in", *NET)
    assert flat.stdout.split() == ["a.saliency.png"]
    tree = run_cnnviz("saliency", "in", "-r", *NET, "-o", "out/")
    assert sorted(tree.stdout.split()) == [
        "out/a.saliency.png",
        "out/deep/a.saliency.png",
        "out/deep/b.saliency.png",
    ]
    clash = run_cnnviz("saliency", "in", "-r", *NET, "--force")
    assert clash.exit_code == 2
    assert "would both be written to" in clash.stderr
    template = run_cnnviz(
        "saliency", "in/a.png", "in/deep/b.jpg", *NET, "-o", "{name}-{model}-{target}.jpg", "-t", "tabby"
    )
    assert template.stdout.split() == ["a.png-squeezenet1_1-tabby.jpg", "b.jpg-squeezenet1_1-tabby.jpg"]
    globbed = run_cnnviz("saliency", "in/**/*.jpg", *NET, "-o", "g/")
    assert globbed.stdout.split() == ["g/b.saliency.png"]


def test_three_bad_files_among_ten(run_cnnviz, samples, tmp_path):
    """Seven are written, three reported; the second run does nothing; without --force it refuses."""
    photo = Image.open(samples / "chelsea.png").resize((64, 64))
    for i in range(7):
        photo.save(tmp_path / f"good{i}.png")
    whole = (samples / "rocket.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    inputs = [*sorted(tmp_path.glob("*.png")), tmp_path / "cut.jpg"]
    first = run_cnnviz("saliency", *inputs, *NET, "-o", "out/")
    assert first.exit_code == 1
    assert len(first.stdout.split()) == len(list((tmp_path / "out").iterdir())) == 7
    assert len(first.stderr.splitlines()) == 3
    assert all(name in first.stderr for name in ("cut.jpg", "text.png", "empty.png"))
    again = run_cnnviz("saliency", *inputs[:-1], *NET, "-o", "out/")
    assert (again.exit_code, again.stdout) == (2, "")
    assert "--force overwrites, --skip-existing leaves it out" in again.stderr
    good = [path for path in inputs if path.name.startswith("good")]
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    resumed = run_cnnviz("saliency", *good, *NET, "-o", "out/", "--skip-existing")
    assert (resumed.exit_code, resumed.stdout, resumed.stderr) == (0, "", "")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == written
    forced = run_cnnviz("saliency", *good, *NET, "-o", "out/", "--force")
    assert len(forced.stdout.split()) == 7


def test_inputs_are_never_written_to(run_cnnviz, samples, tmp_path):
    shutil.copy(samples / "chelsea.png", tmp_path / "cat.png")
    before = (tmp_path / "cat.png").read_bytes()
    for output in ("cat.png", "./cat.png", "{stem}.png"):
        result = run_cnnviz("saliency", "cat.png", *NET, "-o", output, "--force")
        assert result.exit_code == 2
        assert "is an input" in result.stderr
    (tmp_path / "tabby.png").write_bytes(before)
    result = run_cnnviz("saliency", "tabby.png", *NET, "-o", "{target}.png", "-t", "tabby", "--force")
    assert result.exit_code == 1
    assert "is the input itself" in result.stderr
    assert (tmp_path / "cat.png").read_bytes() == (tmp_path / "tabby.png").read_bytes() == before


def test_same_seed_same_image_and_the_recipe_makes_it_again(run_cnnviz, samples, tmp_path, file_content):
    shutil.copy(samples / "coffee.png", tmp_path)
    run_cnnviz("saliency", "coffee.png", *NET, "--view", "overlay", "--blur", 1, "-t", "espresso")
    first = file_content("coffee.saliency.png")
    recipe = json.loads(run_cnnviz("info", "coffee.saliency.png").stdout)
    assert recipe["parameters"] == {"view": "overlay", "blur": 1.0}
    assert recipe["target"]["label"] == "espresso"
    assert str(tmp_path) not in json.dumps(recipe)
    line = run_cnnviz("info", "--command", "coffee.saliency.png").stdout
    assert line.strip() == recipe["command_line"]
    again = run_cnnviz(*shlex.split(line)[1:])
    assert again.exit_code == 0
    assert file_content("coffee.saliency.again.png") == first


def test_own_checkpoint_with_prefixes_and_labels(run_cnnviz, samples, tmp_path):
    state = architecture.build_random("resnet18", 7, seed=1).state_dict()
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 9}, tmp_path / "my.pth")
    (tmp_path / "classes.txt").write_text("\n".join(f"kind {i}" for i in range(7)))
    options = ("-m", "resnet18", "--weights", "my.pth", "--labels", "classes.txt", "--size", 64)
    result = run_cnnviz("saliency", samples / "chelsea.png", *options, "--json", "-t", "kind 6")
    record = json.loads(result.stdout)
    assert record["target"]["index"] == 6
    assert record["weights"] == "my.pth"
    classified = run_cnnviz("classify", samples / "chelsea.png", *options)
    assert classified.exit_code == 0
    assert "kind" in classified.stdout


def test_grey_lenet_and_its_fixed_size(run_cnnviz, samples, tmp_path):
    result = run_cnnviz(
        "saliency", samples / "chelsea.png", "-m", "lenet5", "-w", "random", "--view", "raw", "-o", "a.png"
    )
    assert result.exit_code == 0
    assert Image.open(tmp_path / "a.png").size == (32, 32)


def test_a_narrow_strip_and_a_single_row(run_cnnviz, tmp_path):
    Image.new("RGB", (900, 37), "teal").save(tmp_path / "strip.png")
    assert run_cnnviz("saliency", "strip.png", *NET).exit_code == 0
    Image.new("RGB", (900, 1), "teal").save(tmp_path / "row.png")
    result = run_cnnviz("saliency", "row.png", *NET)
    assert result.exit_code == 1
    assert "row.png: An image of 896×1 pixels is too small" in result.stderr


def test_environment_defaults(run_cnnviz, samples, tmp_path, monkeypatch):
    monkeypatch.setenv("CNNVIZ_MODEL", "squeezenet1_1")
    monkeypatch.setenv("CNNVIZ_SEED", "11")
    monkeypatch.setenv("CNNVIZ_SIZE", "64")
    monkeypatch.setenv("CNNVIZ_JSON", "1")
    record = json.loads(run_cnnviz("saliency", samples / "chelsea.png").stdout)
    assert (record["model"], record["seed"]) == ("squeezenet1_1", 11)
    assert record["parameters"] == {"size": 64}


def test_auto_says_what_it_settled_for(run_cnnviz, samples):
    result = run_cnnviz("classify", samples / "coffee.png")
    assert result.exit_code == 0
    assert "espresso" in result.stdout.splitlines()[1]
    assert result.stderr.count("\n") == 1
    assert "models fetch resnet50" in result.stderr
    assert run_cnnviz("classify", samples / "coffee.png", "-q").stderr == ""


def test_verbose_says_where_it_computes(run_cnnviz, samples):
    result = run_cnnviz("classify", samples / "coffee.png", *NET, "-v", "--device", "cpu")
    assert "squeezenet1_1 (embedded), 1000 classes, on cpu in fp32" in result.stderr


def test_classify_lists_as_many_as_asked(run_cnnviz, samples):
    result = run_cnnviz("classify", samples / "coffee.png", samples / "chelsea.png", *NET, "-k", 2, "--json")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [len(r["predictions"]) for r in records] == [2, 2]
    assert records[0]["predictions"][0]["label"] == "espresso"
    assert records[0]["output"] is None


@pytest.mark.parametrize("command", [("saliency",), ("gradcam", "--guided")])
def test_a_gradient_over_the_photo_is_smoothed_in_every_view(run_cnnviz, samples, tmp_path, command):
    """The overlay view is the panel's overlay; --blur 0 shows the dots."""
    name, *options = command
    arguments = (name, samples / "coffee.png", *NET, "--size", 96, *options, "-f", "--view", "overlay", "-o")
    images = {}
    for label, more in (("usual", ()), ("two", ("--blur", 2)), ("none", ("--blur", 0))):
        run_cnnviz(*arguments, f"{label}.png", *more)
        images[label] = np.asarray(Image.open(tmp_path / f"{label}.png")).astype(int)
    assert np.array_equal(images["usual"], images["two"])
    assert np.abs(images["usual"] - images["none"]).max() > 40


def test_guided_grad_cam_is_in_color_about_gray(run_cnnviz, samples, tmp_path):
    run_cnnviz("gradcam", samples / "coffee.png", *NET, "--size", 96, "--guided", "--view", "heat", "-f", "-o", "a.png")
    shown = np.asarray(Image.open(tmp_path / "a.png")).astype(int)
    assert np.abs(np.median(shown) - 128) <= 1
    assert (shown.max(2) - shown.min(2)).max() > 40
    assert shown.min() < 80
    assert shown.max() > 175


@pytest.mark.parametrize(
    "target", [(), pytest.param(("--target", "tabby"), marks=pytest.mark.slow)], ids=["likeliest", "named"]
)
def test_a_cutout_is_made_again_of_the_classes_it_was_made_of(run_cnnviz, samples, tmp_path, file_content, target):
    run_cnnviz("saliency", samples / "chelsea.png", *NET, "-s", 64, "--grabcut", *target, "-o", "cut.png")
    line = run_cnnviz("info", "--command", "cut.mask.png").stdout
    assert ("--target" in line) is bool(target)
    run_cnnviz(*shlex.split(line)[1:])
    for end in ("png", "mask.png", "cutout.png"):
        assert file_content(f"cut.again.{end}") == file_content(f"cut.{end}")
