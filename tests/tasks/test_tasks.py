"""Tasks: importing one loads neither torch nor the command line, and one works without either."""

from __future__ import annotations

import pickle
import pkgutil
import subprocess
import sys

import pytest

from cnnviz import tasks
from cnnviz.pipeline.config import InputConfig
from cnnviz.pipeline.image_loading import read_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.tasks.classify import Classify
from cnnviz.tasks.dream import Dream
from cnnviz.tasks.embed_index import EmbedIndex
from cnnviz.tasks.gradcam import GradCam
from cnnviz.tasks.guided import Guided
from cnnviz.tasks.invert import Invert
from cnnviz.tasks.saliency import Saliency
from cnnviz.tasks.style import Style
from cnnviz.tasks.texture import Texture
from cnnviz.tasks.visualize import Visualize

MODULES = [f"cnnviz.tasks.{found.name}" for found in pkgutil.iter_modules(tasks.__path__)]


def test_importing_tasks_loads_neither_torch_nor_the_command_line():
    code = f"import sys, {', '.join(MODULES)}; print(*{{'torch', 'typer', 'click', 'rich'}} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


@pytest.mark.parametrize(
    "task",
    [
        Classify(),
        Saliency(),
        Saliency(method="smoothgrad", check=True),
        GradCam(),
        Guided(),
        Invert(),
        Dream(),
        Visualize(),
        Style(),
        Texture(),
        EmbedIndex(),
    ],
)
def test_tasks_are_values_that_travel(task):
    assert pickle.loads(pickle.dumps(task)) == task


@pytest.mark.parametrize("task", [Classify(top=3), Saliency(), GradCam(guided=True), Guided(layer="fire5", channel=17)])
def test_a_task_explains_an_image(task, squeezenet, samples):
    image = read_image(ImageSource(samples / "chelsea.png"), squeezenet, InputConfig(size=96))
    (answer,) = task.compute(squeezenet, image.pixels)
    result = task.render(squeezenet, image, answer)
    assert (result.image is not None) == task.writes
    assert result.metadata
