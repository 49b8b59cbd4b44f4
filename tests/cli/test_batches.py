"""Many images through one command: several at once, in parts, interrupted, and on a disk that is full."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cnnviz.runtime.seed import seed_everything

NETWORK = ("-m", "squeezenet1_1", "--size", "64")


@pytest.fixture
def album(tmp_path, samples) -> Path:
    """Twelve small photos of several shapes."""
    from PIL import Image

    folder = tmp_path / "album"
    folder.mkdir()
    names = ("chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png")
    for number in range(12):
        photo = Image.open(samples / names[number % 4]).convert("RGB").reduce(2 + number // 4)
        photo.save(folder / f"{number:02}.jpg")
    return folder


@pytest.fixture
def two_processors():
    """Tests run with one thread of torch each; here there are two to share out."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def contents(file_content) -> Callable[[str], dict[str, object]]:
    return lambda folder: {path.name: file_content(path) for path in sorted(Path(folder).iterdir())}


@pytest.mark.parametrize(
    "command",
    [
        ("saliency",),
        ("saliency", "--view", "raw", "--method", "smoothgrad", "--samples", "2"),
        ("guided", "--raw"),
        ("gradcam", "--view", "overlay"),
        ("fool", "--raw", "--steps", "2"),
    ],
    ids=" ".join,
)
def test_one_after_another_and_several_at_once_are_the_same(run_cnnviz, album, two_processors, command, contents):
    for jobs in (1, 4):
        run = run_cnnviz(*command, "album/0[0-5].jpg", *NETWORK, "-o", f"by{jobs}/", "--jobs", jobs)
        assert run.exit_code == 0, run.stderr
        assert [Path(line).name[:2] for line in run.stdout.splitlines()] == [f"{n:02}" for n in range(6)]
    assert contents("by1") == contents("by4")
    assert len(contents("by1")) == 6


@pytest.mark.parametrize(
    "command",
    [
        ("saliency", "--method", "smoothgrad", "--samples", "2"),
        ("dream", "--steps", "1", "--octaves", "1"),
        ("occlusion", "--fill", "noise", "--patch", "32", "--stride", "32"),
    ],
    ids=" ".join,
)
def test_a_picture_alone_is_what_it_is_among_others_in_any_order(run_cnnviz, album, two_processors, command, contents):
    common = (*command, *NETWORK)
    run_cnnviz(*common, "album/00.jpg", "album/05.jpg", "album/07.jpg", "-o", "there/")
    run_cnnviz(*common, "album/07.jpg", "album/05.jpg", "-o", "back/")
    run_cnnviz(*common, "album/05.jpg", "-o", "alone/")
    there, back, alone = (contents(how) for how in ("there", "back", "alone"))
    assert len(there) == 3
    assert alone.items() <= there.items()
    assert back.items() <= there.items()


@pytest.mark.parametrize(
    "command",
    [("saliency", "--method", "smoothgrad", "--samples", "2"), ("fool",), ("dream", "--steps", "1"), ("invert",)],
    ids=" ".join,
)
def test_nothing_is_drawn_from_generators_that_pictures_share(run_cnnviz, album, command):
    """A result that hung on them would hang on who came before."""
    steps = ("--steps", "2") if command[0] in ("invert", "fool") else ()
    run = run_cnnviz(*command, *steps, "album/03.jpg", *NETWORK, "--seed", 5)
    assert run.exit_code == 0, run.stderr
    left = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    seed_everything(5)
    assert torch.equal(left[0], torch.get_rng_state())
    assert left[1:] == (random.getstate(), np.random.get_state()[1].tolist())


def test_unordered_reports_everything_once(run_cnnviz, album):
    run = run_cnnviz("classify", "album", *NETWORK, "--json", "--unordered", "--jobs", 4)
    assert sorted(json.loads(line)["input"] for line in run.stdout.splitlines()) == [
        f"album/{number:02}.jpg" for number in range(12)
    ]


def test_many_pictures_of_one_size_share_passes_and_are_what_they_are_alone(run_cnnviz, samples, monkeypatch, contents):
    from PIL import Image

    from cnnviz.attribution import gradients

    Path("album").mkdir()
    for number in range(38):
        place = (number % 10 * 8, number // 10 * 8)
        photo = Image.open(samples / "chelsea.png").crop((*place, place[0] + 120, place[1] + 90))
        photo.save(f"album/{number:02}.png")
    passes: list[int] = []
    plain = gradients.gradient_and_logits

    def counted(network, pixels, target):
        passes.append(len(pixels))
        return plain(network, pixels, target)

    monkeypatch.setattr(gradients, "gradient_and_logits", counted)
    command = ("-m", "squeezenet1_1", "--view", "raw")
    for jobs in (4, 1):
        run = run_cnnviz("saliency", "album", *command, "-o", f"by{jobs}/", "--jobs", jobs)
        assert run.exit_code == 0, run.stderr
        assert sum(passes) == 38
        assert (max(passes) > 1) == (jobs == 4)
        passes.clear()
    for name in contents("by1"):
        one, other = (np.asarray(Image.open(f"by{jobs}/{name}")).astype(int) for jobs in (1, 4))
        assert abs(one - other).max() <= 1


def test_a_bad_picture_among_several_at_once(run_cnnviz, album, contents):
    (album / "03.jpg").write_bytes(b"not a picture")
    (album / "08.jpg").write_bytes(b"")
    run = run_cnnviz("saliency", "album", "nowhere.png", *NETWORK, "-o", "maps/", "--jobs", 4)
    assert run.exit_code == 1
    assert len(run.stdout.splitlines()) == len(contents("maps")) == 10
    errors = run.stderr.splitlines()
    assert len(errors) == 3
    for line, name in zip(errors, ("03.jpg", "08.jpg", "nowhere.png"), strict=True):
        assert name in line


def test_a_mistake_in_the_options_ends_the_run_before_anything_is_written(run_cnnviz, album):
    run = run_cnnviz("saliency", "album", *NETWORK, "--target", "no such class", "-o", "maps/", "--jobs", 4)
    assert run.exit_code == 2
    assert len(run.stderr.splitlines()) == 1
    assert not Path("maps").exists()


@pytest.mark.parametrize("count", [1, 4, 5, 13])
def test_shards_split_a_list_without_overlap_or_gap(run_cnnviz, album, count):
    names = [f"album/{number:02}.jpg" for number in (5, 3, 11, 0, 7)]
    told: list[str] = []
    for index in range(1, count + 1):
        run = run_cnnviz(
            *("classify", "--files-from", "-", "--shard", f"{index}/{count}", "-k", 1, "--json", *NETWORK),
            stdin="\n".join(names),
        )
        assert run.exit_code == 0
        told += [json.loads(line)["input"] for line in run.stdout.splitlines()]
    assert told == names


def test_shards_write_the_recipes_of_the_whole(run_cnnviz, album, contents):
    run_cnnviz("saliency", "album", *NETWORK, "-o", "whole/")
    for index in (1, 2, 3):
        run = run_cnnviz("saliency", "album", *NETWORK, "-o", "parts/", "--shard", f"{index}/3")
        assert run.exit_code == 0
        assert len(run.stdout.splitlines()) == 4
    assert contents("parts") == contents("whole")


def test_shards_must_not_meet_in_one_file(run_cnnviz, album):
    shutil.copytree(album, "other")
    run = run_cnnviz("saliency", "album", "other", *NETWORK, "-o", "maps/", "--shard", "1/2")
    assert run.exit_code == 2
    assert "would both be written" in run.stderr


@pytest.mark.parametrize("shard", ["0/4", "5/4", "1", "one/two"])
def test_a_senseless_shard_is_refused_in_a_sentence(run_cnnviz, album, shard):
    run = run_cnnviz("saliency", "album", *NETWORK, "--shard", shard)
    assert run.exit_code == 2
    assert len(run.stderr.splitlines()) == 1
    assert "--shard" in run.stderr


def started(command: list[str], folder: Path, script: str = "") -> subprocess.Popen:
    """The command in a process of its own, in the foreground of its shell, after ``script``."""
    begin = f"{script}\nimport sys\nfrom cnnviz.cli import main\nsys.argv = ['cnnviz', *{command!r}]\nmain()"
    return subprocess.Popen(
        [sys.executable, "-c", begin], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


SLOW_DISK = """
import time
from pathlib import Path
plain = Path.open
Path.open = lambda path, mode="r", *a, **k: (mode == "xb" and time.sleep(0.5)) or plain(path, mode, *a, **k)
"""


@pytest.mark.slow
@pytest.mark.needs("posix")
def test_what_an_interrupted_batch_left_undone_is_completed_to_the_same_images(run_cnnviz, album, tmp_path, contents):
    for number in range(12, 50):
        shutil.copy(album / f"{number % 12:02}.jpg", album / f"{number}.jpg")
    command = ["saliency", "album", *NETWORK, "-o", "maps/", "--jobs", "4"]
    process = started(command, tmp_path, SLOW_DISK)
    told = [process.stdout.readline() for _ in range(2)]
    process.send_signal(signal.SIGINT)
    rest, complaint = process.communicate(timeout=240)
    told += rest.splitlines()
    assert process.returncode == 130
    assert complaint.splitlines() == ["error: Interrupted; what was finished is kept."]
    finished = contents("maps")
    assert len(told) <= len(finished) < 50
    assert all(name.endswith(".saliency.png") for name in finished)
    again = run_cnnviz(*command, "--skip-existing")
    assert again.exit_code == 0
    assert len(again.stdout.splitlines()) == 50 - len(finished)
    assert contents("maps").items() >= finished.items()
    whole = run_cnnviz("saliency", "album", *NETWORK, "-o", "whole/")
    assert whole.exit_code == 0
    assert contents("maps") == contents("whole")


FULL_DISK = """
import errno, os
from pathlib import Path
plain = Path.open
room = [{room}]

class Disk:
    def __init__(self, file): self.file = file
    def __enter__(self): return self
    def __exit__(self, *_): self.file.close()
    def close(self): self.file.close()
    def write(self, data):
        room[0] -= len(data)
        if room[0] < 0:
            self.file.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

Path.open = lambda path, mode="r", *a, **k: Disk(plain(path, mode)) if mode == "xb" else plain(path, mode, *a, **k)
"""


@pytest.mark.slow
def test_a_disk_that_fills_up_in_the_middle(run_cnnviz, album, tmp_path, contents):
    """A stand-in for the disk takes half of all the bytes, a part of the next file, and no more."""
    assert run_cnnviz("saliency", "album", *NETWORK, "-o", "whole/").exit_code == 0
    room = sum(path.stat().st_size for path in Path("whole").iterdir()) // 2
    command = ["saliency", "album", *NETWORK, "-o", "maps/", "--jobs", "4"]
    process = started(command, tmp_path, FULL_DISK.format(room=room))
    out, complaint = process.communicate(timeout=240)
    assert process.returncode == 1
    assert len(complaint.splitlines()) == 1, complaint
    assert "no space left on device" in complaint
    finished = contents("maps")
    assert 1 <= len(out.splitlines()) <= len(finished) < 12
    assert all(name.endswith(".saliency.png") for name in finished)
    assert run_cnnviz(*command, "--skip-existing").exit_code == 0
    assert contents("maps") == contents("whole")


@pytest.mark.needs("posix")
def test_a_reader_that_goes_away_ends_the_batch(album, tmp_path):
    process = started(["classify", "album", *NETWORK, "--jobs", "4"], tmp_path)
    process.stdout.readline()
    process.stdout.close()
    complaint = process.stderr.read()
    assert process.wait(timeout=240) == 141
    assert complaint == ""
