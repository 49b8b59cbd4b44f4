"""Boxes and masks as VOC, COCO and folders of masks have them, brought to what the network sees."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from cnnviz.errors import ImageError, UsageError
from cnnviz.pipeline.config import InputConfig
from cnnviz.pipeline.image_loading import prepare_image
from cnnviz.pipeline.inputs import ImageSource
from cnnviz.pipeline.marked_objects import MarkedImage, MarkedObject, MarkedObjects, object_mask

VOC = """<annotation><filename>a.jpg</filename><size><width>200</width><height>100</height></size>
<object><name>cat</name><bndbox><xmin>21</xmin><ymin>11</ymin><xmax>60</xmax><ymax>50</ymax></bndbox></object>
<object><name>dog</name><bndbox><xmin>101</xmin><ymin>1</ymin><xmax>200</xmax><ymax>100</ymax></bndbox></object>
</annotation>"""

COCO = {
    "images": [{"id": 7, "file_name": "photos/a.jpg", "width": 200, "height": 100}, {"id": 8, "file_name": "b.jpg"}],
    "categories": [{"id": 1, "name": "cat"}],
    "annotations": [{"image_id": 7, "category_id": 1, "bbox": [20, 10, 40, 40]}],
}


@pytest.fixture
def image(squeezenet, tmp_path):
    photo = Image.new("RGB", (200, 100), "gray")
    photo.save(tmp_path / "a.png")
    return lambda **options: prepare_image(ImageSource(tmp_path / "a.png"), photo, squeezenet, InputConfig(**options))


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_voc_and_coco_mark_the_same_pixels(image, tmp_path):
    voc = MarkedObjects.of(write(tmp_path / "voc" / "any.xml", VOC).parent)
    coco = MarkedObjects.of(write(tmp_path / "boxes.json", json.dumps(COCO)))
    loaded = image(size=50)
    expected = torch.zeros(1, 1, 50, 100, dtype=torch.bool)
    expected[..., 5:25, 10:30] = True
    for marks in (voc, coco):
        mask, names = object_mask(loaded, marks.marked(loaded.source), "Egyptian cat")
        assert torch.equal(mask, expected)
        assert names == ["cat"]
    both, names = object_mask(loaded, voc.marked(loaded.source), "espresso")
    assert names == ["cat", "dog"], "all of them where none is of the class"
    assert int(both.sum()) == 400 + 2500
    assert coco.marked(ImageSource(tmp_path / "b.jpg")) is None


def test_a_crop_cuts_the_mask_as_the_photo(image, tmp_path):
    marks = MarkedObjects.of(write(tmp_path / "boxes.json", json.dumps(COCO)))
    loaded = image(size=56, crop=True)
    assert object_mask(loaded, marks.marked(loaded.source), "cat")[0].shape == (1, 1, 56, 56)
    outside = MarkedImage((MarkedObject("cat", (0, 0, 20, 20)),))
    assert object_mask(loaded, outside, "cat") is None, "the square begins to the right of it"


def test_outlines_and_masks_go_before_boxes(image, tmp_path):
    triangle = {**COCO, "annotations": [{**COCO["annotations"][0], "segmentation": [[0, 0, 199, 0, 0, 99]]}]}
    marks = MarkedObjects.of(write(tmp_path / "boxes.json", json.dumps(triangle)))
    loaded = image(size=50)
    mask, _ = object_mask(loaded, marks.marked(loaded.source), "cat")
    assert float(mask.float().mean()) == pytest.approx(0.5, abs=0.03)
    values = np.zeros((100, 200), np.uint8)
    values[20:40, 100:] = 1
    palette = Image.fromarray(values).convert("P")
    (tmp_path / "masks").mkdir()
    for number, kind in enumerate((Image.fromarray(values), palette)):
        kind.save(tmp_path / "masks" / "a.png")
        masks = MarkedObjects.of(tmp_path / "masks")
        found, _ = object_mask(loaded, masks.marked(loaded.source), "cat")
        assert int(found.sum()) == 10 * 50, number


def test_sizes_of_annotations_are_scaled_to_the_photo(image):
    loaded = image(size=50)
    marked = MarkedImage((MarkedObject("cat", (10, 5, 30, 25)),), (100, 50))
    assert int(object_mask(loaded, marked, "cat")[0].sum()) == 400


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.xml", "<annotation>"),
        ("a.xml", "<html></html>"),
        ("a.xml", "<annotation><object><name>cat</name></object></annotation>"),
        ("a.json", "[1"),
        ("a.json", "{}"),
        ("a.json", '{"annotations": [{"bbox": [1, 2]}], "images": []}'),
        ("a.txt", "cat"),
    ],
)
def test_what_is_no_annotation_is_refused(tmp_path, name, text):
    with pytest.raises(UsageError, match=r"(as|of) Pascal VOC"):
        MarkedObjects.of(write(tmp_path / name, text))


def test_what_is_missing_or_damaged_is_named(image, tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        MarkedObjects.of(tmp_path / "nowhere")
    write(tmp_path / "masks" / "a.png", "no image")
    loaded, marks = image(size=50), MarkedObjects.of(tmp_path / "masks")
    with pytest.raises(ImageError, match="cannot be read"):
        object_mask(loaded, marks.marked(loaded.source), "cat")
