"""``cnnviz.run_images``: tasks run from Python, without the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import cnnviz
from cnnviz.attribution.settings import SmoothGradSettings
from cnnviz.errors import ImageError, ModelError, UsageError
from cnnviz.imaging.recipe import read_recipe
from cnnviz.network import download
from cnnviz.pipeline.config import InputConfig, NetworkConfig, OutputConfig
from cnnviz.pipeline.run import PipelineConfig
from cnnviz.pipeline.style_model import StyleModelConfig
from cnnviz.synthesis.settings import InversionSettings
from cnnviz.tasks.classify import Classify
from cnnviz.tasks.compare import Compare
from cnnviz.tasks.embed import Embed
from cnnviz.tasks.fast_style_apply import FastStyleApply
from cnnviz.tasks.invert import Invert
from cnnviz.tasks.occlusion import Occlusion
from cnnviz.tasks.saliency import Saliency
from cnnviz.tasks.shared.maps import MapSettings
from cnnviz.tasks.visualize import Visualize


@pytest.fixture
def config(squeezenet, tmp_path: Path) -> PipelineConfig:
    return PipelineConfig(squeezenet, InputConfig(size=64), OutputConfig(f"{tmp_path}/"))


def test_the_files_are_those_of_the_command(run_cnnviz, samples, tmp_path, file_content):
    typed = ("saliency", samples / "chelsea.png", "-s", "64", "-m", "squeezenet1_1", "--method", "smoothgrad")
    assert run_cnnviz(*typed, "--samples", "2", "--seed", "3", "-o", "typed.png").exit_code == 0
    config = PipelineConfig(input=InputConfig(size=64), output=OutputConfig("called.png"))
    config.network.model, config.run.seed = "squeezenet1_1", 3
    task = Saliency(method="smoothgrad", smoothgrad=SmoothGradSettings(samples=2))
    (result,) = cnnviz.run_images(task, samples / "chelsea.png", config)
    assert result.paths == (Path("called.png"),)
    recipe = read_recipe(Path("called.png"))
    assert recipe["command"] == "saliency"
    assert recipe["parameters"] == {"size": 64, "method": "smoothgrad", "samples": 2}
    assert file_content("typed.png") == file_content("called.png")


def test_a_bad_image_is_a_result_with_an_error(config, samples, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"nothing")
    good, bad = cnnviz.run_images(Classify(top=1), [samples / "chelsea.png", tmp_path / "bad.png"], config)
    assert good.metadata["predictions"][0]["label"] and good.paths == () and good.error is None
    assert isinstance(bad.error, ImageError)


def test_tasks_of_many_steps_leave_their_animation(config, samples):
    config.monitor.gif = True
    task = Invert(("fire2",), InversionSettings(steps=2), raw=True)
    (result,) = cnnviz.run_images(task, [samples / "coffee.png"], config)
    assert [path.suffix for path in result.paths] == [".png", ".gif"]


def test_a_task_that_compares_takes_several_networks(squeezenet, config, samples):
    random = NetworkConfig("squeezenet1_0", weights="random")
    config.network = [squeezenet, random]
    (result,) = cnnviz.run_images(Compare(methods="saliency"), samples / "coffee.png", config)
    assert result.metadata["model"] == ["squeezenet1_1", "squeezenet1_0"]
    assert read_recipe(result.paths[0])["model"] == ["squeezenet1_1", "squeezenet1_0"]
    with pytest.raises(UsageError, match="Saliency takes one network, not 2"):
        cnnviz.run_images(Saliency(), samples / "coffee.png", config)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Saliency, "such as Saliency\\(\\), not Saliency"),
        ("saliency", "not 'saliency'"),
        (Embed(), "Embed does not take one image"),
        (Visualize(), "Visualize does not take one image"),
        (Saliency(method="sharp"), "no method 'sharp' of Saliency; use gradient, "),
        (Occlusion(maps=MapSettings(view="sharp")), "no view 'sharp' of MapSettings; use "),
    ],
)
def test_what_is_no_task_of_images_is_refused(config, samples, task, message):
    with pytest.raises(UsageError, match=message):
        cnnviz.run_images(task, samples / "coffee.png", config)


def test_a_photo_is_painted_by_a_style_model(config, samples):
    with pytest.raises(UsageError, match="paints with a style model"):
        raise cnnviz.run_images(FastStyleApply(), samples / "coffee.png", config)[0].error
    config.network = StyleModelConfig()
    (result,) = cnnviz.run_images(FastStyleApply("mosaic"), samples / "coffee.png", config)
    assert result.metadata["style"] == {"mosaic": 1.0}


@pytest.mark.parametrize("network", ["squeezenet1_1", [], ["squeezenet1_1"]])
def test_what_is_no_network_is_refused(config, samples, network):
    config.network = network
    with pytest.raises(UsageError, match="A network is a NetworkConfig or a loaded Network, not "):
        cnnviz.run_images(Saliency(), samples / "coffee.png", config)


def test_files_that_exist_are_counted(config, samples):
    both = [samples / "coffee.png", samples / "brick.png"]
    cnnviz.run_images(Saliency(), both, config)
    with pytest.raises(UsageError, match=r"coffee\.saliency\.png' and 1 more exist already"):
        cnnviz.run_images(Saliency(), both, config)


def test_what_exists_is_refused(config, samples):
    cnnviz.run_images(Saliency(), samples / "coffee.png", config)
    with pytest.raises(UsageError, match="exists already"):
        cnnviz.run_images(Saliency(), samples / "coffee.png", config)


def test_nothing_of_the_command_line_is_imported(samples):
    code = f"""
import sys, cnnviz
from cnnviz.tasks.classify import Classify
from cnnviz.pipeline.run import PipelineConfig
from cnnviz.network import download
from cnnviz.pipeline.config import InputConfig, NetworkConfig
config = PipelineConfig(NetworkConfig("squeezenet1_1"), InputConfig(size=32))
(result,) = cnnviz.run_images(Classify(), {str(samples / "coffee.png")!r}, config)
assert len(result.metadata["predictions"]) == 5
print(*{{"typer", "click", "rich", "cnnviz.cli"}} & set(sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


def test_offline_holds_for_its_network_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("CNNVIZ_OFFLINE", "0")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ModelError, match="internet access is switched off"):
        NetworkConfig(offline=True).load("vgg11", 0, workload="exact", progress=False)
    assert NetworkConfig(offline=True).choose("attribution")[0] == "squeezenet1_1"
    assert not download.offline()
    assert os.environ["CNNVIZ_OFFLINE"] == "0"
