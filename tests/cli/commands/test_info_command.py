"""``info --command``: what it prints is run by a shell, where the first command ran, and makes the same picture."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

NET = ("-m", "squeezenet1_1")
SMALL = (*NET, "-s", 64)
ODD = "a 'odd' $HOME \"name\" [1].png"


@pytest.fixture
def place(tmp_path, samples):
    """A folder with photos below it, of plain names and one that a shell would take apart."""
    (tmp_path / "in here").mkdir()
    for name, place in (("chelsea.png", "cat.png"), ("coffee.png", ODD), ("rocket.jpg", "-r.png")):
        photo = Image.open(samples / name).convert("RGB")
        photo.thumbnail((150, 150))
        photo.save(tmp_path / "in here" / place)
    shutil.copy(tmp_path / "in here" / "-r.png", tmp_path / "-r.png")
    shutil.copy(samples / "ink.jpg", tmp_path / "in here" / "ink.jpg")
    return tmp_path


def run_in_shell(line: str, place) -> None:
    """What is printed, as a user would paste it: the shell alone takes it apart."""
    beside = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{beside}{os.pathsep}{os.environ['PATH']}", "HOME": str(place)}
    done = subprocess.run(["bash", "-c", line], check=False, cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}\n{done.stderr}"


def split_in_shell(line: str, place) -> list[str]:
    """The words that the shell makes of the line."""
    script = f'cnnviz() {{ printf "%s\\0" "$@"; }}; {line}'
    done = subprocess.run(["bash", "-c", script], cwd=place, capture_output=True, check=True)
    return [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]


def pixels(path) -> np.ndarray:
    picture = Image.open(path)
    frames = []
    for number in range(getattr(picture, "n_frames", 1)):
        picture.seek(number)
        frames.append(np.asarray(picture.convert("RGB")))
    return np.stack(frames)


def check_again(run_cnnviz, place, arguments, output, through=None):
    """Run, ask for the command, run that, compare."""
    first = run_cnnviz(*arguments, "-o", output)
    assert first.exit_code == 0, first.stderr
    line = run_cnnviz("info", "--command", output).stdout.rstrip("\n")
    before = pixels(place / output)
    words = split_in_shell(line, place)
    written = words[words.index("-o") + 1]
    assert written != str(output)
    if through:
        through(line, place)
    else:
        result = run_cnnviz(*words)
        assert result.exit_code == 0, result.stderr
    assert np.array_equal(pixels(place / written), before)
    return line


QUICK = [
    (("saliency", "in here/cat.png", *SMALL, "--view", "overlay"), "a.png"),
    (("saliency", f"in here/{ODD}", *SMALL, "-t", "espresso"), "out/b b.png"),
    (("occlusion", "./-r.png", *SMALL), "c.png"),
    (("fool", "in here/cat.png", *SMALL, "--small", "--raw", "-t", "flamingo"), "d.png"),
    (("patches", "in here", *SMALL, "--layer", "fire3", "--channel", "3", "--top", "2"), "e.png"),
    (("neighbors", "in here/cat.png", "in here", *SMALL, "--metric", "cosine"), "f.png"),
    (("visualize", *NET, "--class", "flamingo", "--steps", "2", "-s", "64"), "g.png"),
]

MORE = [
    (("style", "in here/cat.png", "in here/ink.jpg:2", *SMALL, "--steps", "3", "--scales", "1"), "a.png"),
    (("style", "in here/cat.png", "--style", f"in here/{ODD}", *SMALL, "--steps", "2", "--init", "noise"), "b.png"),
    (("texture", "in here/ink.jpg", *NET, "--sample-size", "48", "--steps", "3", "--no-seamless"), "c.png"),
    (("invert", "in here/cat.png", *SMALL, "--layer", "fire2,fire9", "--steps", "3"), "d.png"),
    (("dream", "in here/cat.png", *SMALL, "--guide", "in here/ink.jpg", "--octaves", "1", "--steps", "2"), "e.png"),
    (("filters", *NET), "f.png"),
    (("activations", "in here/cat.png", *SMALL, "--layer", "fire5", "--top", "3"), "g.png"),
    (("gradcam", "in here/cat.png", *SMALL, "--guided"), "h.png"),
    (("guided", "in here/cat.png", *SMALL, "--layer", "fire5", "--channel", "3"), "i.png"),
    (("compare", "in here/cat.png", *SMALL, "--methods", "saliency,gradcam", "-m", "squeezenet1_1"), "j.png"),
    (("universal", "in here", "in here/cat.png", *NET, "--passes", "1", "--held-out", "0"), "k.png"),
    (("embed", "in here", *SMALL, "--method", "pca", "--layout", "grid"), "l.png"),
    (("fast-style", "apply", "in here/cat.png", "--style", "mosaic", "-s", "64"), "m.png"),
    (("saliency", "in here/cat.png", *SMALL, "--method", "smoothgrad", "--seed", "3", "-t", "tabby"), "n.webp"),
    (("dream", "in here/cat.png", *SMALL, "--octaves", "1", "--steps", "1", "--zoom", "2"), "o.gif"),
    (("occlusion", "in here/cat.png", *SMALL, "--class-map"), "p.png"),
    (("fool", "in here/cat.png", *SMALL, "--small", "--norm", "l2", "-e", "3"), "q.png"),
]


@pytest.mark.parametrize(("arguments", "output"), QUICK, ids=[case[1] for case in QUICK])
def test_the_command_makes_the_same_picture(run_cnnviz, place, arguments, output):
    check_again(run_cnnviz, place, arguments, output)


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "output"), MORE, ids=[f"{case[0][0]}-{case[1]}" for case in MORE])
def test_so_do_the_others(run_cnnviz, place, arguments, output):
    check_again(run_cnnviz, place, arguments, output)


def test_a_shell_runs_it_as_it_is_printed(run_cnnviz, place, cnnviz_command):
    check_again(run_cnnviz, place, ("saliency", f"in here/{ODD}", *SMALL), "a $1.png", through=run_in_shell)


def test_a_second_time_another_name_is_free(run_cnnviz, place):
    run_cnnviz("saliency", "in here/cat.png", *SMALL, "-o", "a.png")
    (place / "a.again.png").touch()
    line = run_cnnviz("info", "--command", "a.png").stdout
    assert line.rstrip().endswith("-o a.again-2.png")


def test_a_companion_is_made_again_under_its_own_suffix(run_cnnviz, place):
    options = ("--octaves", 1, "--steps", 2, "--gif")
    assert run_cnnviz("dream", "in here/cat.png", *SMALL, *options, "-o", "a.png").exit_code == 0
    words = split_in_shell(run_cnnviz("info", "--command", "a.gif").stdout, place)
    assert run_cnnviz(*words).exit_code == 0
    assert np.array_equal(pixels(place / "a.again.gif"), pixels(place / "a.gif"))
    assert np.array_equal(pixels(place / "a.again.png"), pixels(place / "a.png"))


def test_files_of_options_are_told_by_the_path_given(run_cnnviz, place):
    labels = place / "in here" / "my labels.txt"
    labels.write_text("\n".join(f"class {n}" for n in range(1000)))
    run_cnnviz("saliency", "in here/cat.png", *SMALL, "--labels", "in here/my labels.txt", "-o", "a.png")
    recipe = json.loads(run_cnnviz("info", "a.png").stdout)
    assert recipe["inputs"] == ["in here/cat.png"]
    assert recipe["parameters"]["labels"] == "in here/my labels.txt"
    assert "--labels 'in here/my labels.txt'" in recipe["command_line"]


def test_commands_of_a_report_run_as_printed(run_cnnviz, place):
    from html import unescape
    from re import DOTALL, findall, sub

    options = ("--methods", "saliency,guided,occlusion", "--layer", "fire5", "--channels-per-layer", 2, "--top", 2)
    assert run_cnnviz("report", f"in here/{ODD}", *SMALL, *options, "-o", "page.html").exit_code == 0
    page = (place / "page.html").read_text(encoding="utf-8")
    lines = [unescape(sub("<[^>]*>", "", code)) for code in findall(r"<code>(.*?)</code>", page, DOTALL)]
    lines = [line for line in lines if line.startswith("cnnviz ") and line != "cnnviz info"]
    assert len(lines) >= 8
    outputs = set()
    for line in lines:
        words = split_in_shell(line, place)
        result = run_cnnviz(*words)
        assert result.exit_code == 0, f"{line}: {result.stderr}"
        outputs |= {words[words.index("-o") + 1]} if "-o" in words else set()
    assert len(outputs) == len(lines) - 1  # all but classify's
    assert all((place / output).exists() for output in outputs)
