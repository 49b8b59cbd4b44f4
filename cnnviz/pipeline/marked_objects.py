"""The objects that people have marked in images: boxes in Pascal VOC's XML or COCO's JSON, or mask images."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from cnnviz.errors import ImageError, UsageError

if TYPE_CHECKING:
    from PIL import Image as PilImage
    from torch import Tensor

    from cnnviz.pipeline.inputs import ImageSource
    from cnnviz.pipeline.result import LoadedImage

_MASKS = (".png", ".bmp", ".tif", ".tiff", ".gif")


@dataclass(frozen=True)
class MarkedObject:
    """An object in an image.

    Attributes:
        name: what it is called; empty where that is not known.
        box: (left, top, right, bottom) in pixels, right and bottom outside.
        polygons: its outline, each (x0, y0, x1, y1, …); the box counts if there is none.
        mask: a file whose pixels are not black in the object.
    """

    name: str = ""
    box: tuple[float, float, float, float] = (0, 0, 0, 0)
    polygons: tuple[tuple[float, ...], ...] = ()
    mask: Path | None = None


@dataclass(frozen=True)
class MarkedImage:
    """The objects of an image of a size (width, height); of the image's own where that is None."""

    objects: tuple[MarkedObject, ...]
    size: tuple[int, int] | None = None

    def of_class(self, label: str) -> tuple[MarkedObject, ...]:
        """The objects whose names are in a class's, or all of them where none is."""
        words = label.lower().replace(",", " ").split()
        named = tuple(each for each in self.objects if each.name and set(each.name.lower().split()) <= set(words))
        return named or self.objects


@dataclass(frozen=True)
class MarkedObjects:
    """The marked objects of each image, by its file's name without the extension."""

    path: Path
    images: Mapping[str, MarkedImage] = field(repr=False)

    @staticmethod
    def of(path: Path) -> MarkedObjects:
        """The objects marked in a file or folder.

        Args:
            path: an ``.xml`` of Pascal VOC, a ``.json`` of COCO, or a folder of such ``.xml`` files or of mask images,
                each named as its image.

        Raises:
            UsageError: nothing of that kind is there, or it cannot be understood.
        """
        if not path.exists():
            raise UsageError(f"'{path}' does not exist.")
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        annotations = [each for each in files if each.suffix.lower() == ".xml"]
        masks = [each for each in files if each.suffix.lower() in _MASKS]
        try:
            if path.suffix.lower() == ".json" and path.is_file():
                return MarkedObjects(path, _coco(json.loads(path.read_text(encoding="utf-8"))))
            if annotations:
                return MarkedObjects(path, dict(_voc(each) for each in annotations))
        except (ElementTree.ParseError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UsageError(f"'{path}' holds no boxes as Pascal VOC or COCO write them.") from error
        if not masks:
            raise UsageError(f"'{path}' is no .xml of Pascal VOC, .json of COCO, or folder of such .xml or of masks.")
        return MarkedObjects(path, {each.stem: MarkedImage((MarkedObject(mask=each),)) for each in masks})

    def marked(self, source: ImageSource) -> MarkedImage | None:
        """The objects marked in an image; None where there are none."""
        return self.images.get(source.stem)


def object_mask(image: LoadedImage, marked: MarkedImage, label: str) -> tuple[Tensor, list[str]] | None:
    """Where the objects of a class are in what the network sees, (1, 1, H, W), and their names; None if out of sight.

    Raises:
        ImageError: a mask that cannot be read.
    """
    from PIL import Image, ImageDraw

    from cnnviz.imaging.pixels import to_pixels

    objects = marked.of_class(label)
    size = marked.size or image.original.size
    drawn = Image.new("L", size)
    pen = ImageDraw.Draw(drawn)
    for each in objects:
        if each.mask is not None:
            drawn.paste(255, mask=_read_mask(each.mask, size))
        for outline in each.polygons:
            pen.polygon(list(outline), fill=255)
        if not each.polygons and each.mask is None:
            left, top, right, bottom = (round(edge) for edge in each.box)
            if right > left and bottom > top:
                pen.rectangle((left, top, right - 1, bottom - 1), fill=255)
    framed = to_pixels(drawn.resize(image.original.size, Image.Resampling.NEAREST), image.size, crop=image.crop)
    mask = framed[:, :1] > 0.5
    return (mask, [each.name for each in objects if each.name]) if bool(mask.any()) else None


def _read_mask(path: Path, size: tuple[int, int]) -> PilImage.Image:
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as file:
            # A palette's index is the class, whatever its color: VOC's background has the index 0.
            values = np.asarray(file if file.mode == "P" or file.mode.startswith("I") else file.convert("L"))
        return Image.fromarray((values > 0).astype(np.uint8) * 255).resize(size, Image.Resampling.NEAREST)
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageError(f"The mask '{path}' cannot be read.") from error


def _voc(path: Path) -> tuple[str, MarkedImage]:
    root = ElementTree.parse(path).getroot()
    objects = tuple(_voc_object(each) for each in root.iter("object"))
    if root.tag != "annotation":
        raise ValueError(root.tag)
    width, height = (root.findtext(f"size/{side}") for side in ("width", "height"))
    size = (int(float(width)), int(float(height))) if width and height else (0, 0)
    return Path(root.findtext("filename") or path.name).stem, MarkedImage(objects, size if all(size) else None)


def _voc_object(element: ElementTree.Element) -> MarkedObject:
    edges = [float(element.findtext(f"bndbox/{side}") or "nan") for side in ("xmin", "ymin", "xmax", "ymax")]
    if any(map(math.isnan, edges)):
        raise ValueError("a box without edges")
    left, top, right, bottom = edges
    # VOC counts pixels from 1, and the last one is in the box.
    return MarkedObject((element.findtext("name") or "").strip(), (left - 1, top - 1, right, bottom))


def _coco(data: Any) -> dict[str, MarkedImage]:
    names = {each["id"]: str(each["name"]) for each in data.get("categories", [])}
    objects: dict[Any, list[MarkedObject]] = {}
    for each in data["annotations"]:
        left, top, width, height = map(float, each["bbox"])
        parts = each.get("segmentation") or []
        polygons = tuple(tuple(map(float, part)) for part in parts) if isinstance(parts, list) else ()
        found = MarkedObject(
            names.get(each.get("category_id"), ""), (left, top, left + width, top + height), _whole(polygons)
        )
        objects.setdefault(each["image_id"], []).append(found)
    return {
        Path(image["file_name"]).stem: MarkedImage(tuple(objects[image["id"]]), _size(image))
        for image in data["images"]
        if image["id"] in objects
    }


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    return (int(image["width"]), int(image["height"])) if image.get("width") and image.get("height") else None


def _whole(polygons: Sequence[tuple[float, ...]]) -> tuple[tuple[float, ...], ...]:
    """The outlines of three corners and more."""
    return tuple(each for each in polygons if len(each) >= 6 and len(each) % 2 == 0)
