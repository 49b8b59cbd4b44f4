"""``cnnviz visualize``, ``dream`` and ``invert`` as typed, and what long jobs leave behind."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from cnnviz.imaging.recipe import read_recipe

NET = ("-m", "squeezenet1_1")


def test_visualize_judges_the_written_picture(run_cnnviz, squeezenet):
    import cnnviz

    outcome = run_cnnviz("visualize", "--class", "flamingo", *NET, "--size", 64, "--steps", 6, "--raw", "--json")
    fact = json.loads(outcome.stdout)
    assert fact["output"] == "flamingo.visualize.png"
    assert Image.open(fact["output"]).size == (64, 64)
    [told] = fact["pictures"]
    seen = squeezenet(cnnviz.read_image(fact["output"])).softmax(1)[0, 130]
    assert (told["index"], told["label"]) == (130, "flamingo")
    assert told["probability"] == pytest.approx(float(seen), abs=1e-4)


def test_several_classes_and_channels_make_sheets(run_cnnviz):
    two = run_cnnviz("visualize", "--target", "flamingo", "-t", "7", *NET, "--size", 48, "--steps", 2, "--json")
    assert [picture["index"] for picture in json.loads(two.stdout)["pictures"]] == [130, 7]
    sheet = run_cnnviz(
        *(
            "visualize",
            "--layer",
            "fire2",
            "--channel",
            "0-15,16",
            "--channel",
            "17",
            *NET,
            "--size",
            32,
            "--steps",
            1,
            "--json",
        ),
        *("-o", "{stem}.png"),
    )
    fact = json.loads(sheet.stdout)
    assert fact["output"] == "fire2-0-15,16,17.png"
    assert [picture["channel"] for picture in fact["pictures"]] == list(range(18))


def test_a_visualisation_is_made_again_by_its_recipe(run_cnnviz):
    made = ("visualize", "--layer", "fire5", "--channel", "3,4", "--at", "center", *NET)
    assert run_cnnviz(*made, "--size", 48, "--steps", 3, "--seed", 5, "-o", "a.png").exit_code == 0
    line = json.loads(run_cnnviz("info", "a.png").stdout)["command_line"].split()
    assert run_cnnviz(*line[1:], "-o", "b.png").exit_code == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_facets_start_from_photos(run_cnnviz, samples):
    outcome = run_cnnviz(
        *("visualize", "--target", "Egyptian cat", "--facets", 2, "--from", samples, *NET),
        *("--size", 64, "--steps", 1, "--json", "-o", "facets.png"),
    )
    assert [picture["index"] for picture in json.loads(outcome.stdout)["pictures"]] == [285, 285]


class _Painter(nn.Module):
    def __init__(self):
        super().__init__()
        self.color = nn.Linear(5, 3)

    def forward(self, code):
        return torch.tanh(self.color(code)).view(-1, 3, 1, 1).expand(-1, 3, 64, 64)


def test_a_users_generator_paints(run_cnnviz):
    torch.jit.trace(_Painter().eval(), torch.zeros(1, 5)).save("painter.pt")
    common = ("visualize", "--class", "flamingo", "--generator", "painter.pt", *NET, "--steps", 2)
    assert run_cnnviz(*common, "--latent", "5").exit_code == 0
    wrong = run_cnnviz(*common, "--latent", "6", "-o", "wrong.png")
    assert wrong.exit_code == 2
    assert "latent code of the shape (6,)" in wrong.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Name what to show"),
        (("--class", "flamingo", "--layer", "fire5"), "not both"),
        (("--class", "flamingo", "--channel", "3"), "Name it with --layer"),
        (("--layer", "fire5", "--facets", "3"), "one channel"),
        (("--class", "7", "--from", "."), "--facets 4 --from photos/"),
        (("--layer", "fire5", "--channel", "256", "--size", "48"), "channels 0 to 255"),
        (("--layer", "fire5", "--channel", "1", "--at", "up"), "row and a column"),
        (("--class", "7", "--generator", "none.pt"), "no generator"),
        (("--class", "martian"), "no class"),
    ],
)
def test_senseless_wishes_are_one_sentence(run_cnnviz, arguments, message):
    outcome = run_cnnviz("visualize", *arguments, *NET)
    assert outcome.exit_code == 2
    assert message in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_dream_paints_at_the_photos_size_and_tells_its_gain(run_cnnviz, samples):
    outcome = run_cnnviz(
        *("dream", samples / "rocket.jpg", *NET, "--size", 96, "--steps", 4, "--json", "--gif", "--save-every", 6)
    )
    fact = json.loads(outcome.stdout)
    assert fact["layers"] == ["fire7"]
    assert fact["activation_gain"] > 1
    assert fact["companions"] == ["rocket.dream.gif"]
    width, height = Image.open(fact["output"]).size
    assert height == 96
    film = Image.open("rocket.dream.gif")
    assert film.n_frames > 12
    assert abs(film.width / film.height - width / height) < 0.02
    assert read_recipe("rocket.dream-0006.png")["unfinished_at_step"] == 6


def test_a_film_falls_into_the_dream(run_cnnviz, samples):
    common = ("dream", samples / "rocket.jpg", *NET, "--size", 64, "--steps", 2, "--zoom", 3)
    assert run_cnnviz(*common).stdout.strip() == "rocket.dream.gif"
    assert Image.open("rocket.dream.gif").n_frames == 3
    assert run_cnnviz(*common, "-o", "fall.mp4").exit_code == 0
    import cv2

    video = cv2.VideoCapture("fall.mp4")
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    still = run_cnnviz(*common, "-o", "fall.png")
    assert still.exit_code == 2
    assert "a film is written as" in still.stderr


def test_a_dream_in_pieces_and_one_with_a_guide(run_cnnviz, samples):
    tiled = run_cnnviz(*("dream", samples / "chelsea.png", *NET, "--tile", 128, "--steps", 1, "--octaves", 1, "--json"))
    assert Image.open(json.loads(tiled.stdout)["output"]).size == Image.open(samples / "chelsea.png").size
    guided = run_cnnviz(
        *("dream", samples / "coffee.png", *NET, "--guide", samples / "starry.jpg", "--size", 64, "--steps", 1)
    )
    assert guided.exit_code == 0
    missing = run_cnnviz("dream", samples / "coffee.png", *NET, "--guide", "none.jpg", "-o", "x.png")
    assert missing.exit_code == 1
    assert "none.jpg" in missing.stderr


def test_invert_makes_a_strip_or_one_picture(run_cnnviz, samples):
    common = ("invert", samples / "chelsea.png", *NET, "--size", 64, "--steps", 5, "--json")
    strip = json.loads(run_cnnviz(*common, "--layer", "fire2,fire9").stdout)
    assert [row["layer"] for row in strip["layers"]] == ["fire2", "fire9"]
    assert all(row["feature_error"] > 0 for row in strip["layers"])
    alone = json.loads(run_cnnviz(*common, "--layer", "fire2", "--raw", "-o", "one.png").stdout)
    assert Image.open(alone["output"]).size == (96, 64)
    unknown = run_cnnviz(*common, "--layer", "fire2,fire10", "-o", "none.png")
    assert unknown.exit_code == 2
    assert "fire10" in unknown.stderr


def test_an_old_snapshot_is_found_before_the_work(run_cnnviz, samples):
    common = ("dream", samples / "rocket.jpg", *NET, "--size", 48, "--steps", 1, "--octaves", 2, "--save-every", 1)
    assert run_cnnviz(*common).exit_code == 0
    again = run_cnnviz(*common, "--skip-existing")
    assert again.exit_code == 0
    image = Path("rocket.dream.png")
    image.unlink()
    refused = run_cnnviz(*common)
    assert refused.exit_code == 1
    assert "snapshot of an earlier run" in refused.stderr
    assert not image.exists()


@pytest.mark.needs("posix")
@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_job_leaves_its_picture_and_is_done_again(cnnviz_command, samples, tmp_path, how, code):
    # A shell's background jobs ignore SIGINT and hand that on; what is tested here is a job in the foreground.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    line = [*cnnviz_command, "dream", str(samples / "rocket.jpg"), *NET, "--size", "64", "--save-every", "1", "-v"]
    process = subprocess.Popen([*line, "--steps", "2000"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    for told in process.stderr:
        if "holds step 3" in told:
            break
    process.send_signal(how)
    complaint = process.communicate(timeout=240)[1]
    assert process.returncode == code
    assert "rocket.dream.png holds the picture so far" in complaint
    left = read_recipe(tmp_path / "rocket.dream.png")
    assert left["unfinished_at_step"] >= 3
    assert not list(tmp_path.glob(".cnnviz-*"))
    line = [part for part in line if part not in {"--save-every", "1"}]
    subprocess.run([*line, "--steps", "1", "--skip-existing"], cwd=tmp_path, check=True, capture_output=True)
    assert "unfinished_at_step" not in read_recipe(tmp_path / "rocket.dream.png")


def test_a_strip_keeps_its_shape(run_cnnviz, samples):
    Image.open(samples / "rocket.jpg").resize((500, 37)).save("strip.png")
    assert run_cnnviz("dream", "strip.png", *NET, "--steps", 1).exit_code == 0
    assert Image.open("strip.dream.png").size == (500, 37)


@pytest.mark.parametrize(
    "command", [("visualize", "--class", "flamingo"), ("dream", "photo.jpg"), ("texture", "photo.jpg")]
)
def test_what_cannot_fit_is_refused_with_a_size_that_does(run_cnnviz, samples, command):
    Path("photo.jpg").write_bytes((samples / "rocket.jpg").read_bytes())
    outcome = run_cnnviz(*command, *NET, "--size", 300_000)
    assert outcome.exit_code == 4
    assert "--size" in outcome.stderr
    assert "would fit" in outcome.stderr
