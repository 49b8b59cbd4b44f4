"""What is sent to a Ray worker: plain values, which need neither Typer nor rich there."""

from __future__ import annotations

import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from cnnviz.errors import ImageError, ModelError
from cnnviz.network.hashing import sha256
from cnnviz.pipeline import ray_workers
from cnnviz.pipeline.config import NetworkConfig
from cnnviz.pipeline.image_task import BatchItem
from cnnviz.pipeline.inputs import ImageSource

WORKER = """
import pickle, sys
from pathlib import Path
set_up, items = pickle.loads(Path("sent").read_bytes())
(network, _, _), work = set_up()
(value,) = work(items)
print(network.name, type(value).__name__, *{"typer", "click", "rich", "cnnviz.cli"} & set(sys.modules))
"""


def test_an_image_that_cannot_be_read_is_sent_as_its_error_with_the_hint():
    class Refused(ImageSource):
        def content(self):
            raise ImageError("This is a video.", remedy="read_stdin", name="film")

    sent = pickle.loads(pickle.dumps(Refused(None).with_data()))
    with pytest.raises(ImageError, match="This is a video") as error:
        sent.content()
    assert (error.value.remedy, error.value.values) == ("read_stdin", {"name": "film"})


@pytest.mark.ray
@pytest.mark.parametrize("typed", [("classify",), ("saliency", "--check"), ("guided",), ("gradcam", "--grabcut")])
def test_a_worker_imports_nothing_of_the_command_line(run_cnnviz, samples: Path, monkeypatch, typed):
    cloudpickle = pytest.importorskip("ray.cloudpickle")

    def captured(job, task, model, count):
        setup = ray_workers.worker_setup(job, model, 1, partial(ray_workers.image_work, task))
        items = [BatchItem(ImageSource(samples / "coffee.png").with_data(), None)]
        Path("sent").write_bytes(cloudpickle.dumps((setup, items)))
        raise KeyboardInterrupt

    monkeypatch.setattr(ray_workers, "ray_execution", captured)
    options = ("-s", "64", "-m", "squeezenet1_1", "--engine", "ray")
    assert run_cnnviz(*typed, samples / "coffee.png", *options).exit_code == 130
    run = subprocess.run([sys.executable, "-c", WORKER], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["squeezenet1_1", "EncodedResult"]


def test_the_files_of_a_network_must_be_the_same_on_the_worker(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("my_net.py", "my.pth", "squeezenet1_1"):
        Path(name).write_text("here")
    config = NetworkConfig(model="my_net.py:build(width=2)", weights="my.pth", labels=Path("none.txt"))
    files = {str(file): sha256(file) for file in ray_workers.files_of(config)}
    assert list(files) == ["my.pth", "my_net.py"]
    assert ray_workers.files_of(NetworkConfig(model="squeezenet1_1")) == []
    ray_workers.require_files(files)
    Path("my_net.py").write_text("there")
    with pytest.raises(ModelError, match=r"The file 'my_net\.py' is another on the machine '.+' than here"):
        ray_workers.require_files(files)
    Path("my_net.py").unlink()
    with pytest.raises(ModelError, match=r"has no file 'my_net\.py', which the network is made of"):
        ray_workers.require_files(files)
