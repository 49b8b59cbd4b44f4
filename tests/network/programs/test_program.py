"""A program as a network: its scores, how it fails, and that nothing of it stays."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import tempfile
import threading
import time
from pathlib import Path

import pytest
import torch

import cnnviz
from cnnviz.attribution.occlusion import occlusion_grids
from cnnviz.attribution.settings import OcclusionSettings
from cnnviz.errors import ImageError, ModelError, UsageError

pytestmark = pytest.mark.needs("posix")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder for temporary files, of which none stays."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def pixels():
    return torch.rand(5, 3, 6, 8, generator=torch.Generator().manual_seed(1))


def means(pixels: torch.Tensor) -> torch.Tensor:
    return ((pixels.clamp(0, 1) * 255).round() / 255).mean((2, 3))


def assert_ended(counter: Path) -> None:
    """The processes that a classifier wrote down have ended: the program, and what it started."""
    pids = [int(pid) for pid in Path(f"{counter}.pids").read_text().split()]
    assert pids
    deadline = time.monotonic() + 20
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)  # whoever adopted a grandchild has to take note of its end
    assert not any(map(is_running, pids))


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    if status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("frames", ["{}", "{frames}", "-"])
@pytest.mark.parametrize("jobs", [1, 3])
def test_scores_are_those_of_the_program_for_pixels_of_eight_bits(frames, jobs, classifier, pixels, tmp_path):
    counter = tmp_path / "calls"
    network = cnnviz.load_program(classifier(frames, counter), size=6, jobs=jobs)
    assert network.labels == ("red", "green", "blue")
    assert torch.allclose(network(pixels), means(pixels), atol=1e-6)
    calls = {"{}": 5}.get(frames, 1 if jobs == 1 else 3)
    assert counter.stat().st_size == 1 + calls


def test_rows_in_another_order_are_told_apart_by_their_names(classifier, pixels, tmp_path):
    network = cnnviz.load_program(classifier("{frames}", tmp_path / "calls", 2, "shuffle"), size=6)
    assert torch.allclose(network(pixels), means(pixels), atol=1e-6)


def test_predictions_are_the_scores_as_they_are(classifier, pixels):
    network = cnnviz.load_program(classifier("{frames}"), size=6)
    (first, *_), *_ = network.predict(pixels)
    assert first.score == pytest.approx(float(means(pixels)[0].max()), abs=1e-6)
    assert network.probabilities(network(pixels)).sum(1).max() < 2


def test_occlusion_is_that_of_the_same_frames_in_eight_bits(classifier, pixels):
    class Means(torch.nn.Module):
        def forward(self, x):
            return means(x) + 0 * x.mean((2, 3))

    spec = cnnviz.InputSpec(6, mean=(0.0,) * 3, std=(1.0,) * 3)
    local = cnnviz.Network(Means(), spec=spec, activation="none", labels=("red", "green", "blue"))
    settings = OcclusionSettings(patch=3, stride=2, algorithm="full")
    program = cnnviz.load_program(classifier("{frames}"), size=6, jobs=2)
    expected, found = (occlusion_grids(network, pixels[:1], "green", settings)[0] for network in (local, program))
    assert torch.allclose(expected.score_drops, found.score_drops, atol=1e-6)


def test_it_can_be_copied_and_pickled(classifier, pixels):
    network = cnnviz.load_program(classifier("{frames}"), size=6, jobs=2)
    for again in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(again(pixels[:1]), network(pixels[:1]))


BAD = {
    "fail": "exits with the code 1; it says: reading the weights",
    "half": "no JSON",
    "rows": "6 lines for 5 images",
    "nan": "NaN for 'green'",
    "labels": "no score for 'green'",
    "top": "no score for 'green'",
}


@pytest.mark.parametrize("mode", BAD)
def test_a_bad_call_is_the_image_s_error_and_a_bad_first_call_the_network_s(mode, classifier, pixels, tmp_path):
    network = cnnviz.load_program(classifier("{frames}", tmp_path / "calls", 3, mode), size=6)
    network(pixels)
    with pytest.raises(ImageError, match="mean_color") as caught:
        network(pixels)
    assert BAD[mode] in str(caught.value)
    assert "\x1b" not in str(caught.value)
    if mode not in ("labels", "top"):  # which are then its classes
        with pytest.raises(ModelError, match="mean_color"):
            cnnviz.load_program(classifier("{frames}", tmp_path / "calls", 1, mode), size=6)


def test_a_program_that_sleeps_for_ever_is_ended_with_all_that_it_started(classifier, pixels, tmp_path):
    counter = tmp_path / "calls"
    network = cnnviz.load_program(classifier("{frames}", counter, 2, "sleep"), size=6, timeout=1.5)
    with pytest.raises(ImageError, match=r"takes longer than 1\.5 seconds") as caught:
        network(pixels)
    assert caught.value.remedy == "longer_calls"
    assert_ended(counter)


def test_what_a_program_leaves_running_is_ended(classifier, pixels, tmp_path):
    counter = tmp_path / "calls"
    network = cnnviz.load_program(classifier("{frames}", counter, 1, "orphan"), size=6)
    assert torch.allclose(network(pixels), means(pixels), atol=1e-6)
    assert_ended(counter)


def test_an_interruption_ends_all_programs(classifier, pixels, tmp_path):
    counter = tmp_path / "calls"
    network = cnnviz.load_program(classifier("{}", counter, 2, "sleep"), size=6, jobs=2)
    pids = Path(f"{counter}.pids")

    def interrupt() -> None:
        while not pids.exists() or len(pids.read_text().split()) < 4:
            time.sleep(0.02)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        network(pixels)
    assert_ended(counter)


def test_one_call_that_fails_ends_those_beside_it(classifier, pixels, tmp_path):
    counter = tmp_path / "calls"
    network = cnnviz.load_program(classifier("{}", counter, 2, "nan"), size=6, jobs=5)
    with pytest.raises(ImageError, match="NaN"):
        network(pixels)


@pytest.mark.parametrize(
    ("command", "error", "said"),
    [
        ("no-such-program {}", ModelError, "cannot be started: No such file"),
        ("~/classify {}", ModelError, "mean nothing here"),
        ("/ {}", ModelError, "cannot be started"),
        ("true {}", ModelError, "0 lines for 1 image"),
        ("false {}", ModelError, "exits with the code 1"),
        ("sh -c 'kill -9 $$' {}", ModelError, "ended by SIGKILL"),
        ("true", UsageError, "no place for images"),
    ],
)
def test_a_program_that_cannot_be_started_or_asked(command, error, said):
    with pytest.raises(error) as caught:
        cnnviz.load_program(command)
    assert said in str(caught.value)


def test_an_unknown_class_may_be_one_that_the_program_left_out(classifier):
    network = cnnviz.load_program(classifier("{frames}"), size=6)
    with pytest.raises(UsageError, match="no class called 'violet'") as caught:
        network.find_class("violet")
    assert caught.value.remedy == "all_classes"


def test_channels_are_those_that_png_files_have(classifier):
    with pytest.raises(UsageError, match="not 5"):
        cnnviz.load_program(classifier("{frames}"), channels=5)
