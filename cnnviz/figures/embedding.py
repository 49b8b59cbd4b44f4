"""The figure of ``embed``: the map of many images, as an image and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from numpy.typing import NDArray
from PIL import Image

from cnnviz.figures.map_figure import map_figure
from cnnviz.figures.map_page import MapPoint, map_page

if TYPE_CHECKING:
    import numpy as np

    from cnnviz.features.layout import GridLayout


@dataclass(frozen=True)
class EmbeddingFigure:
    """What the map shows of each of N images.

    Attributes:
        thumbnails: of all images, read one after another.
        layout: the cell of each, none over another.
        points: (N, 2), their coordinates as projected.
        files: their names.
        classes: their classes; empty if there are none.
        remarks: a further line on each for the page.
        colors: of each class, in the order of the legend.
        title: one line above.
        marks: of each image that the network mistakes, the color of the class it predicts; empty of the others.
    """

    thumbnails: Sequence[Image.Image]
    layout: GridLayout
    points: NDArray[np.floating]
    files: Sequence[str]
    classes: Sequence[str]
    remarks: Sequence[str]
    colors: Mapping[str, str]
    title: str
    marks: Sequence[str] = ()

    def image(self) -> Image.Image:
        """The thumbnails in their cells, framed in their class's color, with a legend."""
        frames = [self.colors[name] for name in self.classes] if self.classes else None
        return map_figure(self.thumbnails, self.layout, frames, marks=self.marks, legend=self.colors, title=self.title)

    def page(self) -> str:
        """The map as one HTML file that needs nothing else: zoom, drag, hover, search."""
        classes = self.classes or [""] * len(self.files)
        marks = self.marks or [""] * len(self.files)
        map_points = [MapPoint(*values) for values in zip(self.files, classes, self.remarks, marks, strict=True)]
        return map_page(self.thumbnails, self.layout, self.points, map_points, self.colors, title=self.title)
