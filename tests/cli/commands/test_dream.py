"""``cnnviz dream`` as typed."""

from __future__ import annotations

import json

from PIL import Image

from cnnviz.imaging.recipe import read_recipe

NET = ("-m", "squeezenet1_1")


def test_the_dream_has_the_size_of_the_photo_and_more_activation(run_cnnviz, samples):
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


def test_a_zoom_is_an_animation(run_cnnviz, samples):
    common = ("dream", samples / "rocket.jpg", *NET, "--size", 64, "--steps", 2, "--zoom", 3)
    assert run_cnnviz(*common).stdout.strip() == "rocket.dream.gif"
    assert Image.open("rocket.dream.gif").n_frames == 3
    assert run_cnnviz(*common, "-o", "fall.mp4").exit_code == 0
    import cv2

    video = cv2.VideoCapture("fall.mp4")
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    still = run_cnnviz(*common, "-o", "fall.png")
    assert still.exit_code == 2
    assert "an animation is written as" in still.stderr


def test_a_dream_in_tiles_and_one_with_a_guide(run_cnnviz, samples):
    tiled = run_cnnviz(*("dream", samples / "chelsea.png", *NET, "--tile", 128, "--steps", 1, "--octaves", 1, "--json"))
    assert Image.open(json.loads(tiled.stdout)["output"]).size == Image.open(samples / "chelsea.png").size
    guided = run_cnnviz(
        *("dream", samples / "coffee.png", *NET, "--guide", samples / "starry.jpg", "--size", 64, "--steps", 1)
    )
    assert guided.exit_code == 0
    missing = run_cnnviz("dream", samples / "coffee.png", *NET, "--guide", "none.jpg", "-o", "x.png")
    assert missing.exit_code == 1
    assert "none.jpg" in missing.stderr


def test_a_strip_keeps_its_shape(run_cnnviz, samples):
    Image.open(samples / "rocket.jpg").resize((500, 37)).save("strip.png")
    assert run_cnnviz("dream", "strip.png", *NET, "--steps", 1).exit_code == 0
    assert Image.open("strip.dream.png").size == (500, 37)


def test_old_spellings_work_with_a_note(run_cnnviz, samples, file_content):
    common = ("dream", samples / "rocket.jpg", *NET, "--size", 48, "--steps", 1, "--octaves", 1)
    old = run_cnnviz(*common, "--strength", 2, "--keep-color", 0.5, "--channels", "3", "-l", "fire5", "-o", "a.png")
    new = run_cnnviz(*common, "--step-size", 2, "--color-share", 0.5, "-c", "3", "-l", "fire5", "-o", "b.png")
    assert old.exit_code == new.exit_code == 0
    assert file_content("a.png") == file_content("b.png")
    notes = old.stderr.splitlines()
    assert [note.split()[1] for note in notes] == ["--strength", "--keep-color", "--channels"]
