"""The script for a machine with a GPU: what it says of itself, and that it does without the large libraries."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "check_cuda.sh"


@pytest.mark.needs("bash")
@pytest.mark.parametrize("words", [[], ["--nonsense", "x"], ["one", "two"]])
def test_a_wrong_call_shows_how_it_is_called(words):
    run = subprocess.run(["bash", str(SCRIPT), *words], capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 2
    assert "tools/check_cuda.sh FOLDER" in run.stderr


def test_each_wheel_comes_with_those_that_it_requires():
    wheels = set(SCRIPT.read_text(encoding="utf-8").split('wheels="')[1].split('"')[0].split())
    there = {"numpy", "pillow", "torch", "torchvision"}
    assert {name for wheel in wheels for name in _required(wheel)} <= wheels | there


def _required(package: str) -> set[str]:
    """The names that ``package``, as it is installed here, requires on this Python; none if it is not installed."""
    try:
        lines = [Requirement(line) for line in requires(package) or ()]
    except PackageNotFoundError:
        return set()
    return {
        str(canonicalize_name(line.name)) for line in lines if not line.marker or line.marker.evaluate({"extra": ""})
    }


@pytest.mark.slow
def test_what_it_runs_needs_neither_opencv_nor_scipy_nor_scikit_learn(tmp_path):
    """Nor the tests' other libraries: pytest is all that tests/cuda take."""
    script = f"""
import importlib, pathlib, runpy, sys
for name in ("cv2", "scipy", "sklearn", "skimage", "hypothesis", "xdist", "umap", "pyarrow", "ray"):
    sys.modules[name] = None
sys.path.insert(0, {str(ROOT)!r})
for name in ("occlusion", "style", "synthesis", "batch", "fast_style_speed"):
    importlib.import_module(f"benchmarks.{{name}}")
for file in pathlib.Path({str(ROOT / "tests" / "cuda")!r}).glob("*.py"):
    runpy.run_path(str(file))
from typer.testing import CliRunner
from cnnviz.cli.app import app
photo = {str(ROOT / "sample_images" / "rocket.jpg")!r}
for line in ("saliency PHOTO", "occlusion PHOTO --stride 32", "visualize --class flamingo --steps 1",
             "style PHOTO PHOTO --steps 1", "dream PHOTO --steps 1 --octaves 1", "doctor"):
    words = line.replace("PHOTO", photo).split()
    sized = ["-m", "squeezenet1_1", "--size", "64", "-o", f"{{words[0]}}.png"] if words[0] != "doctor" else []
    run = CliRunner().invoke(app, words + sized)
    assert run.exit_code == 0, (line, run.output, run.exception)
"""
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240
    )
    assert run.returncode == 0, run.stderr
