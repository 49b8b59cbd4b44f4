"""What jobs of many steps leave behind, and what they refuse."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from cnnviz.imaging.recipe import read_recipe

NET = ("-m", "squeezenet1_1")


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
    line = [*cnnviz_command, "dream", str(samples / "rocket.jpg"), *NET, "--size", "64", "--save-every", "1", "-v"]
    process = subprocess.Popen([*line, "--steps", "2000"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    for told in process.stderr:
        if "holds step 3" in told:
            break
    process.send_signal(how)
    complaint = process.communicate(timeout=240)[1]
    assert process.returncode == code
    assert "rocket.dream.png holds the image so far" in complaint
    left = read_recipe(tmp_path / "rocket.dream.png")
    assert left["unfinished_at_step"] >= 3
    assert not list(tmp_path.glob(".cnnviz-*"))
    line = [part for part in line if part not in {"--save-every", "1"}]
    subprocess.run([*line, "--steps", "1", "--skip-existing"], cwd=tmp_path, check=True, capture_output=True)
    assert "unfinished_at_step" not in read_recipe(tmp_path / "rocket.dream.png")


@pytest.mark.parametrize(
    "command", [("visualize", "--class", "flamingo"), ("dream", "photo.jpg"), ("texture", "photo.jpg")]
)
def test_what_cannot_fit_is_refused_with_a_size_that_does(run_cnnviz, samples, command):
    Path("photo.jpg").write_bytes((samples / "rocket.jpg").read_bytes())
    outcome = run_cnnviz(*command, *NET, "--size", 300_000)
    assert outcome.exit_code == 4
    assert "--size" in outcome.stderr
    assert "would fit" in outcome.stderr
