"""True classes in the titles and metadata of maps, and which class a folder means for networks of several kinds."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cnnviz.attribution.settings import OcclusionSettings
from cnnviz.errors import UsageError
from cnnviz.pipeline.config import InputConfig, OutputConfig
from cnnviz.pipeline.run import PipelineConfig, run_images
from cnnviz.tasks.compare import Compare
from cnnviz.tasks.gradcam import GradCam
from cnnviz.tasks.guided import Guided
from cnnviz.tasks.occlusion import Occlusion
from cnnviz.tasks.saliency import Saliency

TASKS = {
    "saliency": Saliency,
    "gradcam": GradCam,
    "guided": Guided,
    "occlusion": lambda **more: Occlusion(settings=OcclusionSettings(patch=32, stride=32), **more),
    "compare": lambda **more: Compare(methods="saliency", **more),
}


@pytest.fixture
def album(samples, tmp_path):
    for folder in ("n02123045", "Egyptian_cat"):
        (tmp_path / "album" / folder).mkdir(parents=True)
        photo = Image.open(samples / "chelsea.png").convert("RGB").resize((96, 64))
        photo.save(tmp_path / "album" / folder / "cat.png")
    return tmp_path / "album"


@pytest.mark.parametrize("name", TASKS)
def test_titles_and_metadata_name_the_true_class(squeezenet, album, tmp_path, name):
    def run(place, **more):
        config = PipelineConfig(squeezenet, InputConfig(size=64, recursive=True), OutputConfig(f"{tmp_path}/{place}/"))
        results = run_images(TASKS[name](**more), album, config)
        assert not any(result.error for result in results)
        return results, [np.asarray(Image.open(result.paths[0])) for result in results]

    plain, without = run("without")
    known, within = run("within", classes="folder")
    assert not any("true" in result.metadata for result in plain)
    assert [result.metadata["true"] for result in known] == [
        {"index": 285, "label": "Egyptian cat"},
        {"index": 281, "label": "tabby"},
    ]
    for one, other in zip(without, within, strict=True):
        assert one.shape == other.shape
        changed = (one != other).any(axis=(1, 2))
        assert changed.any() and not changed[len(changed) // 2 :].any()  # the title above, and nothing else
    assert not np.array_equal(within[0], within[1])


def test_a_folder_of_no_class_stops_before_any_work(squeezenet, album, tmp_path):
    (album / "holiday").mkdir()
    Image.new("RGB", (64, 64)).save(album / "holiday" / "a.png")
    config = PipelineConfig(squeezenet, InputConfig(size=64, recursive=True), OutputConfig(f"{tmp_path}/out/"))
    with pytest.raises(UsageError, match="'holiday' names no class"):
        run_images(Saliency(classes="folder"), album, config)
    assert not (tmp_path / "out").exists()
