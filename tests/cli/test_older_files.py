"""Files made at commit 421657b open and replay, or one sentence says how to make them again."""

from __future__ import annotations

import html
import json
import re
import shlex
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FILES = Path(__file__).parents[1] / "data" / "from_421657b"
NET = ("-m", "squeezenet1_1")
IMAGES = {"saliency.png": 8, "gradcam.jpg": 8, "fool.png": 2, "fast-style.png": 4, "style.png": None, "dream.gif": None}
"""Images with a recipe, and by how many gray levels their pixels may differ on average when made again.

None for optimizations of many steps, where rounding differs between machines and grows.
"""

TRAIN = "--batch 1 --crop 48 --style-size 64 --widths 4,4,4 --blocks 1 --steps 60 --save-every 4 --precision fp32"
UNFINISHED = {
    "texture.state": "texture mosaic.jpg -s 40 --sample-size 32 --steps 40 --save-every 4 --precision fp32 "
    "-o texture.png",
    "style-unfinished.state": "style cat.png mosaic.jpg -s 32 --steps 40 --save-every 4 --precision fp32 "
    "-o style-unfinished.png",
    "training.state": f"fast-style train mosaic.jpg --content photos {TRAIN} -o training.safetensors",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    """The working folder of ``run_cnnviz``, with copies of the old files and of the photos they were made from."""
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)
    shutil.copytree(FILES / "photos", tmp_path, dirs_exist_ok=True)
    return tmp_path


def average(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), dtype=float)


@pytest.mark.parametrize("name", IMAGES)
def test_the_recipe_is_printed_and_its_command_makes_the_image_again(run_cnnviz: Callable, folder: Path, name: str):
    recipe = json.loads(run_cnnviz("info", name).stdout)
    assert recipe["version"] == "0.1.0" and recipe["inputs"] and recipe["model"] and recipe["command"]

    line = run_cnnviz("info", name, "--command").stdout
    program, *words = shlex.split(line)
    run = run_cnnviz(*words)
    assert program == "cnnviz" and run.exit_code == 0, f"{line}\n{run.stderr}"
    (again,) = folder.glob("*.again.*")
    assert average(again).shape == average(folder / name).shape
    if IMAGES[name] is not None:
        assert np.abs(average(again) - average(folder / name)).mean() < IMAGES[name]


def test_the_commands_on_a_report_run(run_cnnviz: Callable, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CNNVIZ_FORCE", "1")
    page = (folder / "report.html").read_text()
    commands = [
        html.unescape(re.sub("<[^>]*>", "", code)) for code in re.findall("<code>(<span>cnnviz.*?)</code>", page)
    ]
    assert len(commands) >= 4
    for line in commands:
        run = run_cnnviz(*shlex.split(line)[1:])
        assert run.exit_code == 0, f"{line}\n{run.stderr}"


def test_a_style_model_is_listed_and_tells_how_it_was_trained(run_cnnviz: Callable):
    listed = run_cnnviz("fast-style", "list", "-m", "style-model.safetensors", "--json")
    (row,) = map(json.loads, listed.stdout.splitlines())
    assert row["style"] == "mosaic"
    assert "fast-style train" in run_cnnviz("info", "--command", "style-model.mosaic.jpg").stdout


def test_a_universal_perturbation_is_applied(run_cnnviz: Callable):
    run = run_cnnviz("universal", *NET, "--apply", "universal.safetensors", "cat.png", "-s", 64, "--json")
    assert run.exit_code == 0 and json.loads(run.stdout)["linf"] <= 10.5 / 255


@pytest.mark.parametrize("state", UNFINISHED)
def test_an_unfinished_run_goes_on_or_one_sentence_says_what_to_do(run_cnnviz: Callable, folder: Path, state: str):
    run = run_cnnviz(*UNFINISHED[state].split(), *NET, "--resume")
    assert run.exit_code in (0, 2)
    if run.exit_code == 2:
        (sentence,) = re.findall(r"error: (.*)", " ".join(run.stderr.split()))
        assert state in sentence and "remove it" in sentence and sentence.count(". ") == 0


def test_a_feature_store_is_used(run_cnnviz: Callable, folder: Path):
    options = (*NET, "-s", 64, "--store", "store", "--json")
    run = run_cnnviz("embed", "photos", *options, "--method", "pca")
    assert run.exit_code == 0 and json.loads(run.stdout)["computed"] == 0 and not run.stderr
    run = run_cnnviz("patches", "photos", *options, "--layer", "fire2")
    assert run.exit_code == 0 and not run.stderr
    count = "SELECT count(*) FROM entries"
    converted = [sqlite3.connect(path).execute(count).fetchone() for path in folder.glob("store/*/entries.sqlite")]
    assert converted == [(4,)] * 3 and not list(folder.glob("store/*/index.sqlite"))
