"""``--engine ray`` on a cluster of this machine: two workers, some of which die."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cnnviz.errors import ModelError, UsageError
from cnnviz.runtime.executors import ray as ray_module
from cnnviz.runtime.executors.ray import RayExecutor, WorkerLostError, ray_cluster

ray = pytest.importorskip("ray", reason="ray is not installed: pip install '.[test-all]'")
pytestmark = pytest.mark.ray


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init("local", num_cpus=2, object_store_memory=100 << 20, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


class Squares:
    """A setup whose worker squares numbers; whoever gets one of ``deadly`` dies, ``once`` or each time."""

    def __init__(self, deadly: tuple[int, ...] = (), once: Path | None = None) -> None:
        self.deadly, self.once = deadly, once

    def __call__(self) -> tuple[str, Callable[[int], tuple[int, int]]]:
        return "squares", self.work

    def work(self, number: int) -> tuple[int, int]:
        if number in self.deadly and not (self.once and self.once.with_suffix(f".{number}").exists()):
            if self.once:
                self.once.with_suffix(f".{number}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number < 0:
            raise UsageError(f"{number} is negative.")
        return number * number, os.getpid()


def workers(setup, told=None, count=2, **options):
    on_event = (told if told is not None else []).append
    return RayExecutor(setup, count, pack=lambda task: task, on_event=on_event, options=options)


@pytest.fixture
def hired():
    """Workers that are sent home at the end of the test."""
    found: list[RayExecutor] = []

    def hire(*arguments, **settings) -> RayExecutor:
        found.append(workers(*arguments, **settings))
        assert found[-1].start() == "squares"
        return found[-1]

    yield hire
    for each in found:
        each.close()


def test_results_are_in_order_and_both_workers_work(hired):
    results = list(hired(Squares()).run(range(40)))
    assert [result.get()[0] for result in results] == [n * n for n in range(40)]
    assert len({result.get()[1] for result in results}) == 2


def test_a_worker_that_dies_loses_no_task(hired, tmp_path):
    told = []
    run = hired(Squares((3, 17), tmp_path / "died"), told).run(range(30))
    assert [result.get()[0] for result in run] == [n * n for n in range(30)]
    assert told == ["A worker was lost; another takes its place."] * 2


def test_a_task_that_kills_every_worker_is_given_up_and_the_others_go_on(hired):
    results = list(hired(Squares((5,))).run(range(12), ordered=False))
    assert sorted(result.task for result in results) == list(range(12))
    failed = [result for result in results if result.error]
    assert [result.task for result in failed] == [5]
    with pytest.raises(WorkerLostError, match="3 workers"):
        failed[0].get()


def test_tasks_that_share_workers_with_several_deadly_ones_are_done(hired):
    executor = hired(Squares((3, 5)), max_concurrency=3)
    results = list(executor.run(range(16)))
    assert [result.task for result in results] == list(range(16))
    assert [result.task for result in results if result.error] == [3, 5]


def test_an_error_in_a_worker_comes_back_as_itself(hired):
    (result,) = hired(Squares(), count=1).run([-1])
    with pytest.raises(UsageError, match="-1 is negative"):
        result.get()


def test_a_mistake_in_the_setup_is_told_at_the_start():
    def broken():
        raise UsageError("There is no such thing.")

    lost = workers(broken, count=1)
    with pytest.raises(UsageError, match="no such thing"):
        lost.start()
    lost.close()


class Picky(Squares):
    """A setup that only the worker that comes first can do; the others lack a file, after ``delay`` seconds."""

    def __init__(self, place: Path, delay: float) -> None:
        super().__init__()
        self.place, self.delay = place, delay

    def __call__(self):
        try:
            self.place.mkdir()
        except FileExistsError:
            time.sleep(self.delay)
            raise ModelError("The machine has no such file.") from None
        time.sleep(1 - self.delay)
        return super().__call__()


@pytest.mark.parametrize("delay", [0, 1])
def test_workers_whose_setup_fails_are_left_out(hired, tmp_path, delay):
    """Whether they fail before or after another is ready."""
    told = []
    results = list(hired(Picky(tmp_path / "first", delay), told).run(range(12)))
    assert [result.get()[0] for result in results] == [n * n for n in range(12)]
    assert len({result.get()[1] for result in results}) == 1
    waiting = "Still waiting for the cluster to start a first worker."  # said where that takes half a minute
    assert [line for line in told if line != waiting] == ["A worker is left out: The machine has no such file."]


def test_without_ray_the_way_to_get_it_is_told(monkeypatch):
    monkeypatch.setattr(ray_module, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'cnnviz\[ray\]'"), ray_cluster(None, 1):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_an_address_where_nobody_listens_is_told_at_once(monkeypatch, address):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(UsageError, match=f"No Ray cluster answers at '{address}'"), ray_cluster(address, None):
        pass


@pytest.fixture
def album(tmp_path, samples) -> Path:
    from PIL import Image

    folder = tmp_path / "album"
    folder.mkdir()
    names = ("chelsea.png", "coffee.png", "rocket.jpg")
    for number in range(9):
        photo = Image.open(samples / names[number % 3]).convert("RGB").reduce(2 + number // 3)
        photo.save(folder / f"{number}.jpg")
    (folder / "4b.jpg").write_bytes(b"no picture")
    shutil.copy(samples / "rocket.jpg", tmp_path / "rocket.jpg")
    return folder


def told(run) -> list[dict]:
    records = [json.loads(line) for line in run.stdout.splitlines()]
    return [{**record, "seconds": 0, "output": Path(record["output"]).name} for record in records]


def test_a_killed_worker_costs_no_image_and_changes_none(run_cnnviz, album, monkeypatch, file_content):
    common = ("saliency", "album", "-m", "squeezenet1_1", "--size", "64", "--view", "overlay", "--json")
    here = run_cnnviz(*common, "-o", "here/")
    killed = []
    start = RayExecutor.start

    def start_and_kill_soon(self):
        card = start(self)
        pack = self.pack

        def packed(items):
            if items[0].source.name == "3.jpg" and not killed:
                killed.append(ray.get(self.workers[0].__ray_call__.remote(lambda actor: os.getpid())))
                os.kill(killed[0], signal.SIGKILL)
            return pack(items)

        self.pack = packed
        return card

    monkeypatch.setattr(RayExecutor, "start", start_and_kill_soon)
    there = run_cnnviz(*common, "-o", "there/", "--engine", "ray", "--jobs", "2")
    assert killed
    assert "A worker was lost" in there.stderr
    assert (here.exit_code, there.exit_code) == (1, 1)  # for 4b.jpg
    assert told(here) == told(there)
    assert len(told(there)) == 9
    errors = [[line for line in run.stderr.splitlines() if line.startswith("error")] for run in (here, there)]
    assert errors[0] == errors[1]
    for path in Path("here").iterdir():
        assert file_content(path) == file_content(Path("there", path.name))


def test_what_is_optimised_and_has_companions_gives_the_same_images(run_cnnviz, album, file_content):
    commands = [
        ("fool", "rocket.jpg", "--target", "lynx", "--steps", "2"),
        ("dream", "rocket.jpg", "--steps", "1", "--octaves", "1", "--gif"),
        ("style", "rocket.jpg", "album/1.jpg", "--steps", "2"),
    ]
    for command, *arguments in commands:
        found = []
        for engine in ("local", "ray"):
            options = ("-m", "squeezenet1_1", "--size", "64", "--engine", engine, "--jobs", "1")
            run = run_cnnviz(command, *arguments, *options, "-o", f"{command}.{engine}.png")
            assert run.exit_code == 0, run.stderr
            found.append([file_content(path) for path in sorted(Path().glob(f"{command}.{engine}.*"))])
        assert found[0]
        assert found[0] == found[1], command


def test_what_must_stay_here_is_refused(run_cnnviz, album):
    run = run_cnnviz("dream", "rocket.jpg", "-m", "squeezenet1_1", "--engine", "ray", "--save-every", "2")
    assert run.exit_code == 2
    assert "--engine ray" in run.stderr
    run = run_cnnviz("saliency", "rocket.jpg", "-m", "squeezenet1_1", "--engine", "ray", "--target", "no such class")
    assert run.exit_code == 2
    assert "no such class" in run.stderr


def test_a_perturbation_learned_by_workers_is_the_one_learned_here(run_cnnviz, album, tmp_path):
    common = ("-m", "squeezenet1_1", "--passes", "2", "--crops", "2", "--held-out", "0", "--json")
    for engine in ("local", "ray"):
        run = run_cnnviz("universal", "album", *common, "--engine", engine, "-o", f"{engine}.png")
        assert run.exit_code == 1, run.stderr  # for 4b.jpg
    one, other = (load_file(tmp_path / f"{engine}.safetensors")["perturbation"] for engine in ("local", "ray"))
    assert float(one.abs().max()) > 0
    assert torch.equal(one, other)
    run = run_cnnviz("universal", "album", *common, "--engine", "ray", "--method", "deepfool", "-o", "d.png")
    assert run.exit_code == 2
    assert "--method deepfool" in run.stderr


def test_a_folder_surveyed_by_workers_is_what_it_is_here(run_cnnviz, album):
    found = {}
    for engine in ("local", "ray"):
        common = ("-m", "squeezenet1_1", "--size", "64", "--engine", engine, "--store", f"store-{engine}", "--json")
        indexed = run_cnnviz("embed-index", "album", *common, "--batch", "4")
        sheet = run_cnnviz("patches", "album", "--layer", "fire5", "--channel", "3", "-o", f"{engine}.png", *common)
        assert (indexed.exit_code, sheet.exit_code) == (1, 1), indexed.stderr + sheet.stderr  # for 4b.jpg
        assert [line for line in indexed.stderr.splitlines() if "4b.jpg" in line], indexed.stderr
        found[engine] = json.loads(indexed.stdout), json.loads(sheet.stdout)["channels"][0]["patches"]
        again = run_cnnviz("embed-index", "album", *common)
        assert json.loads(again.stdout)["computed"] == 0
    for one, other in zip(found["local"][1], found["ray"][1], strict=True):
        assert one["file"] == other["file"]
        assert one["position"] == other["position"]
        assert one["activation"] == pytest.approx(other["activation"], rel=1e-4)
    assert found["local"][0]["computed"] == found["ray"][0]["computed"] == 9
