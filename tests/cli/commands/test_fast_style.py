"""``cnnviz fast-style``: painting with a model, listing its styles, training one and going on after a kill."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cnnviz
from cnnviz.style.fast import FastStyleNetwork
from cnnviz.style.model_file import to_bytes
from cnnviz.style.settings import FastStyleConfig

TRAIN = (
    *("-m", "squeezenet1_1", "--batch", 1, "--crop", 48, "--style-size", 64),
    *("--widths", "4,4,4", "--blocks", 1),
)


@pytest.fixture
def model(tmp_path) -> Path:
    torch.manual_seed(2)
    place = tmp_path / "small.safetensors"
    network = FastStyleNetwork(["plain", "wild"], FastStyleConfig((4, 6, 8), blocks=1))
    with torch.no_grad():
        for part in network.style_parameters():
            part[1] += torch.randn_like(part[1])
    place.write_bytes(to_bytes(network))
    Image.new("RGB", (8, 8)).save(tmp_path / "small.wild.jpg")
    return place


def test_apply_paints_at_the_photos_own_size_and_the_recipe_makes_it_again(run_cnnviz, samples, model, tmp_path):
    command = ("fast-style", "apply", samples / "chelsea.png", "-m", model)
    run = run_cnnviz(*command, "--style", "wild:3,plain:1", "--json")
    record = json.loads(run.stdout)
    assert record["output"] == "chelsea.fast-style.png"
    assert record["style"] == {"wild": 0.75, "plain": 0.25}
    painted = Image.open(tmp_path / record["output"])
    assert painted.size == Image.open(samples / "chelsea.png").size
    pixels = cnnviz.read_image(samples / "chelsea.png")
    expected = cnnviz.apply_fast_style(cnnviz.load_fast_style(model), pixels, {"wild": 3, "plain": 1})
    shown = torch.from_numpy(np.array(painted)).permute(2, 0, 1)[None] / 255
    assert (shown - expected).abs().max() < 1 / 255
    again = run_cnnviz("info", "--command", record["output"]).stdout.strip()
    (tmp_path / "chelsea.png").write_bytes((samples / "chelsea.png").read_bytes())
    run_cnnviz(*shlex.split(again)[1:], "-o", "again.png")
    assert np.array_equal(np.array(Image.open(tmp_path / "again.png")), np.array(painted))


def test_apply_takes_standard_input_and_folders_and_sizes(run_cnnviz, samples, model, tmp_path):
    photo = (samples / "coffee.png").read_bytes()
    piped = run_cnnviz("fast-style", "apply", "-", "-m", model, "-s", 40, "-o", "-", stdin=photo)
    (tmp_path / "piped.png").write_bytes(piped.stdout_bytes)
    assert min(Image.open(tmp_path / "piped.png").size) == 40
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "good.png").write_bytes(photo)
    (tmp_path / "photos" / "bad.png").write_bytes(photo[:500])
    run = run_cnnviz("fast-style", "apply", "photos", "-m", model, "-s", 40, "-o", "painted/")
    assert run.exit_code == 1
    assert "bad.png" in run.stderr
    assert (tmp_path / "painted" / "good.fast-style.png").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--style", "monet"), 2, "no style 'monet'; there are plain, wild"),
        (("--style", "wild:x"), 2, "starry:0.7,ink:0.3"),
        (("--style", "wild:0"), 2, "zero"),
        (("--style", "./wild"), 2, "is an image"),
        (("--style-model", "gone.safetensors"), 3, "no fast style model 'gone.safetensors'"),
    ],
)
def test_apply_says_what_is_wrong(run_cnnviz, samples, model, arguments, code, words):
    run = run_cnnviz("fast-style", "apply", samples / "coffee.png", "-m", model, *arguments)
    assert run.exit_code == code
    assert words in " ".join(run.stderr.split())


def test_list_tells_styles_and_thumbnails(run_cnnviz, model):
    rows = [json.loads(line) for line in run_cnnviz("fast-style", "list", "-m", model, "--json").stdout.splitlines()]
    assert [(row["style"], row["thumbnail"]) for row in rows] == [
        ("plain", None),
        ("wild", str(model.with_name("small.wild.jpg"))),
    ]
    assert "small.wild.jpg" in "".join(run_cnnviz("fast-style", "list", "-m", model).stdout.split())


def test_list_has_every_built_in_style_with_a_line_about_it(run_cnnviz):
    rows = [json.loads(line) for line in run_cnnviz("fast-style", "list", "--json").stdout.splitlines()]
    assert len(rows) == 30 and all(row["about"] for row in rows)
    assert [row["style"] for row in rows[:3]] == ["starry", "mosaic", "ink"]
    assert "autumn" in run_cnnviz("fast-style", "list").stdout


def test_a_photo_alone_is_painted_in_any_image_and_its_recipe_makes_it_again(run_cnnviz, samples, tmp_path):
    for name in ("coffee.png", "ink.jpg"):
        (tmp_path / name).write_bytes((samples / name).read_bytes())
    run = run_cnnviz("fast-style", "coffee.png", "-s", 48, "--style", "ink.jpg", "--style-size", 64, "--json")
    record = json.loads(run.stdout)
    assert (record["style"], record["model"]) == ({"ink.jpg": 1.0}, "any")
    again = run_cnnviz("info", "--command", record["output"]).stdout.strip()
    assert run_cnnviz(*shlex.split(again)[1:], "-o", "again.png").exit_code == 0
    one, two = (np.array(Image.open(tmp_path / name)) for name in (record["output"], "again.png"))
    assert np.array_equal(one, two)
    plain = json.loads(run_cnnviz("fast-style", "coffee.png", "-s", 32, "-o", "plain.png", "--json").stdout)
    assert plain["style"] == {"autumn": 1.0}
    assert "--style autumn" in run_cnnviz("info", "--command", "plain.png").stdout
    assert "Did you mean 'apply'" in run_cnnviz("fast-style", "aply", "coffee.png").stderr


def test_each_style_is_an_output_of_its_own(run_cnnviz, samples, tmp_path):
    command = ("fast-style", "apply", samples / "coffee.png", "-s", 32, "--style", "ember,ink", "--each")
    run = run_cnnviz(*command)
    assert run.stdout.split() == ["coffee.fast-style.ember.png", "coffee.fast-style.ink.png"]
    alone = run_cnnviz("fast-style", "apply", samples / "coffee.png", "-s", 32, "--style", "ink", "-o", "{style}.png")
    one, two = (np.array(Image.open(tmp_path / n)) for n in (run.stdout.split()[1], alone.stdout.strip()))
    assert alone.stdout.strip() == "ink.png" and np.array_equal(one, two)
    (tmp_path / "coffee.fast-style.ember.png").unlink()
    assert run_cnnviz(*command).exit_code == 2, "the second is there, so that nothing is done"
    assert not (tmp_path / "coffee.fast-style.ember.png").exists()
    assert "template with {style}" in run_cnnviz(*command, "-o", "x.png").stderr
    assert run_cnnviz(*command, "-o", "-").exit_code == 2
    piped = ("fast-style", "-", "--style", "ember,ink", "--each")
    assert "read once" in run_cnnviz(*piped, stdin=(samples / "coffee.png").read_bytes()).stderr
    twice = run_cnnviz("fast-style", "apply", samples / "coffee.png", "--style", f"ink,{samples / 'ink.jpg'}", "--each")
    assert twice.exit_code == 2 and "called ink" in twice.stderr
    blend = run_cnnviz("fast-style", "apply", samples / "coffee.png", "--style", "ink,ember")
    assert blend.exit_code == 2 and "--each" in blend.stderr


def test_a_sheet_shows_the_photo_in_each_style(run_cnnviz, samples, tmp_path):
    styles = f"ember,ink,{samples / 'starry.jpg'}"
    run = run_cnnviz(
        *("fast-style", "sheet", samples / "coffee.png", "--style", styles, "-s", 32),
        *("--columns", 2, "--thumbnail", 60, "--json"),
    )
    record = json.loads(run.stdout)
    assert (record["output"], record["styles"]) == ("coffee.fast-style-sheet.png", ["ember", "ink", "starry.jpg"])
    width, height = Image.open(tmp_path / record["output"]).size
    assert 120 <= width < 180 and height > 80


def test_what_is_no_style_is_said(run_cnnviz, samples, tmp_path):
    Image.new("RGB", (64, 64), "red").save(tmp_path / "flat.png")
    Image.new("RGB", (8, 40)).save(tmp_path / "tiny.png")
    deep = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    Image.fromarray(deep).save(tmp_path / "deep.png")
    frames = [Image.open(samples / name).resize((48, 48)) for name in ("ink.jpg", "starry.jpg")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    command = ("fast-style", "apply", samples / "coffee.png", "-s", 32, "--style-size", 48, "-f")
    assert "of one color" in run_cnnviz(*command, "--style", "flat.png").stderr
    for name in ("deep.png", "moving.gif"):
        run = run_cnnviz(*command, "--style", name)
        assert run.exit_code == 0 and not run.stderr
    for arguments, code, words in (
        (("--style", "tiny.png"), 1, "8×40 pixels; both sides need 16"),
        (("--style", "embre"), 2, "the nearest are ember"),
        (("--strength", "5"), 2, "not between 0 and 1"),
        (("--strength", "nan"), 2, "not a number"),
        (("-m", "any"), 2, "--style FILE"),
    ):
        run = run_cnnviz(*command, *arguments)
        assert run.exit_code == code and words in " ".join(run.stderr.split()), run.stderr


def test_train_writes_a_model_that_apply_paints_with_and_extend_adds_to(run_cnnviz, samples, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes((samples / "coffee.png").read_bytes())
    (tmp_path / "photos" / "broken.png").write_bytes(b"no picture")
    common = ("--content", tmp_path / "photos", *TRAIN, "--save-every", 2)
    run = run_cnnviz("fast-style", "train", samples / "ink.jpg", *common, "--steps", 4, "-o", "m.safetensors", "--json")
    record = json.loads(run.stdout)
    assert (record["steps"], record["photos"], record["skipped"]) == (4, 2, ["broken.png"])
    assert "broken.png" in run.stderr
    assert Image.open(tmp_path / "m-0002.png").size == (4 * 48, 2 * 48)
    assert Image.open(tmp_path / "m.ink.jpg").size == (128, 128)
    again = run_cnnviz("info", "--command", "m.ink.jpg").stdout
    words = shlex.split(again)
    assert words[:3] == ["cnnviz", "fast-style", "train"] and Path(words[3]).name == "ink.jpg"
    assert Path(words[words.index("--content") + 1]).name == "photos"
    assert words[words.index("--batch") + 1] == "1"
    assert not (tmp_path / "m.state").exists()
    wider = ("--extend", "m.safetensors", "--steps", 2, "-o", "wide.safetensors")
    assert run_cnnviz("fast-style", "train", samples / "starry.jpg", *common, *wider).exit_code == 0
    paint = ("fast-style", "apply", samples / "coffee.png", "-s", 48, "--style", "ink")
    for name in ("m", "wide"):
        assert run_cnnviz(*paint, "-m", f"{name}.safetensors", "-o", f"{name}.png").exit_code == 0
    assert np.array_equal(np.array(Image.open(tmp_path / "m.png")), np.array(Image.open(tmp_path / "wide.png")))


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_end(cnnviz_command, run_cnnviz, samples, tmp_path):
    train = ("fast-style", "train", samples / "ink.jpg", "--content", samples / "coffee.png", *TRAIN, "--steps", 12)
    assert run_cnnviz(*train, "-o", "through.safetensors").exit_code == 0
    command = [*cnnviz_command, *map(str, train), "--save-every", "4", "-o", "killed.safetensors"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not (tmp_path / "killed.state").exists():
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (tmp_path / "killed.safetensors").exists()
    resumed = run_cnnviz(*train, "--save-every", 4, "-o", "killed.safetensors", "--resume", "-v")
    assert "Going on from" in resumed.stderr
    assert (tmp_path / "killed.safetensors").read_bytes() == (tmp_path / "through.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.needs("lightning_fabric")
def test_two_processes_train_what_one_does(run_cnnviz, samples, tmp_path):
    train = ("fast-style", "train", samples / "ink.jpg", samples / "starry.jpg", "--content", samples / "coffee.png")
    train = (*train, *TRAIN, "--batch", 2, "--steps", 3, "--save-every", 2, "--learning-rate", 0.1)
    assert run_cnnviz(*train, "-o", "one.safetensors").exit_code == 0
    launch = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "cnnviz")
    command = [*launch, *map(str, train), "--device", "cpu", "-o", "two.safetensors"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["two.safetensors", "two.ink.jpg", "two.starry.jpg"]
    one, two = (cnnviz.load_fast_style(tmp_path / f"{name}.safetensors") for name in ("one", "two"))
    torch.manual_seed(0)
    untrained = FastStyleNetwork(one.styles, one.config)
    ours, theirs, before = (torch.cat([p.flatten() for p in net.parameters()]) for net in (one, two, untrained))
    assert (ours - before).abs().mean() > 5e-3
    assert (ours - theirs).abs().mean() < 1e-4


def test_what_cannot_be_trained_is_refused_before_any_work(run_cnnviz, samples):
    train = ("fast-style", "train", samples / "ink.jpg", "--content", samples / "coffee.png", "-o", "m.safetensors")
    for wrong, words in (
        (("--crop", 50), "multiple of 4"),
        (("--widths", "4,4"), "three widths"),
        (("--output", "m.png"), "a model is written as"),
        (("--output", "-"), "several files"),
    ):
        run = run_cnnviz(*train, *wrong)
        assert run.exit_code == 2
        assert words in " ".join(run.stderr.split())


def test_a_video_is_painted_frame_by_frame_with_its_sound(run_cnnviz, samples, model, tmp_path):
    from imageio_ffmpeg import get_ffmpeg_exe, read_frames

    inputs = ("-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=0.6", "-f", "lavfi", "-i", "sine=duration=0.6")
    subprocess.run([get_ffmpeg_exe(), "-v", "error", *inputs, "-c:a", "aac", str(tmp_path / "clip.mp4")], check=True)
    (tmp_path / "photo.png").write_bytes((samples / "coffee.png").read_bytes())
    command = ("fast-style", "apply", "photo.png", "clip.mp4", "-m", model, "--style", "wild", "-s", 96, "--json")
    run = run_cnnviz(*command)
    photo, video = (json.loads(line) for line in run.stdout.splitlines())
    assert photo["output"] == "photo.fast-style.png"
    assert (video["output"], video["frames"], video["size"]) == ("clip.fast-style.mp4", 6, [128, 96])
    reader = read_frames(str(tmp_path / "clip.fast-style.mp4"))
    facts = next(reader)
    frames = [np.frombuffer(frame, np.uint8).reshape(96, 128, 3) for frame in reader]
    assert (facts["size"], facts["fps"], facts["audio_codec"], len(frames)) == ((128, 96), 10.0, "aac", 6)
    original = read_frames(str(tmp_path / "clip.mp4"))
    next(original)
    Image.frombytes("RGB", (64, 48), next(original)).save(tmp_path / "first.png")
    run_cnnviz("fast-style", "apply", "first.png", "-m", model, "--style", "wild", "-s", 96, "-o", "first-painted.png")
    painted = Image.open(tmp_path / "first-painted.png")
    seen, expected = (np.array(p.reduce(4).convert("L")).astype(int) for p in (Image.fromarray(frames[0]), painted))
    assert np.abs(seen - expected).mean() < 3, "H.264 loses little but colour"
    assert expected.std() > 10
    assert run_cnnviz(*command).exit_code == 2, "nothing is overwritten"


def test_videos_that_cannot_be_painted_are_told_of(run_cnnviz, model, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    run = run_cnnviz("fast-style", "apply", "broken.mp4", "-m", model)
    assert run.exit_code == 1
    assert "broken.mp4" in run.stderr
    assert [path.name for path in tmp_path.glob("*.mp4")] == ["broken.mp4"]
    assert run_cnnviz("fast-style", "apply", "broken.mp4", "-m", model, "-o", "-").exit_code == 2
    assert run_cnnviz("fast-style", "apply", "broken.mp4", "-m", model, "-o", "painted.gif").exit_code == 2
