"""Attribution maps as images: a panel beside the photo, an overlay on it, the map in color, or the map in gray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from numpy.typing import NDArray
from PIL import Image

from cnnviz.errors import UsageError
from cnnviz.figures.grid import panel
from cnnviz.figures.heatmap import grayscale, heat_image, overlay
from cnnviz.imaging.map_ops import smooth, upsample

if TYPE_CHECKING:
    from torch import Tensor

    from cnnviz.attribution.registry import AttributionMethod

MapView = Literal["panel", "overlay", "heat", "raw"]


@dataclass(frozen=True)
class MapStyle:
    """How attribution maps are drawn.

    Attributes:
        view: ``panel`` sets photo, map and overlay side by side; ``overlay`` lays the map over the photo, at the
            photo's resolution; ``heat`` is the map in color at the photo's resolution; ``raw`` the map in gray,
            unclipped, a pixel for each of its values.
        colormap: the name of one of matplotlib's; None takes ``inferno``, or ``RdBu_r`` for signed maps.
        percentile: magnitudes above this percentile, in (0, 100], are clipped.
        blur: standard deviation, in the map's pixels, of a Gaussian that smooths the map in every view; None smooths
            only where it lies over the photo, by ``overlay_blur``: the dots of a gradient are lost on a photo, while
            the map alone is shown as it is.
        signed: whether both signs are shown, on a diverging scale; False clips negative values to zero.
        overlay_blur: see ``blur``.
    """

    view: MapView = "panel"
    colormap: str | None = None
    percentile: float = 99.0
    blur: float | None = None
    signed: bool = False
    overlay_blur: float = 0.0

    @staticmethod
    def of(
        method: AttributionMethod,
        view: MapView = "panel",
        colormap: str | None = None,
        percentile: float | None = None,
        blur: float | None = None,
    ) -> MapStyle:
        """How the maps of a method are drawn; ``colormap``, ``percentile`` and ``blur`` as suits them where None."""
        if view not in get_args(MapView):
            raise UsageError(f"There is no view '{view}'; the choices are {', '.join(get_args(MapView))}.")
        clip = method.percentile if percentile is None else percentile
        return MapStyle(view, colormap, clip, blur, method.signed, method.blur)

    def draw(
        self,
        attribution: Tensor,
        photo: Image.Image,
        title: str = "",
        caption: str = "",
        extra: Sequence[tuple[Image.Image, str]] = (),
        colored: Image.Image | None = None,
        photo_caption: str = "photo",
    ) -> Image.Image:
        """A map in the chosen view.

        Args:
            attribution: (1, 1, H, W), of any range.
            photo: what was explained, of any size.
            title: one line above the panel.
            caption: under the map in the panel.
            extra: further tiles at the panel's end, each with its caption.
            colored: shown instead of the colored map: a gradient image in colors of its own.
            photo_caption: under the photo in the panel: which channels it shows, where it is none.
        """
        if self.view == "raw":
            return grayscale(self._smoothed(attribution, self.blur or 0.0), signed=self.signed)
        if self.view == "overlay":
            return self._overlay(attribution, photo)
        heat = self._heat(attribution, photo) if colored is None or self.colormap else colored
        if self.view == "heat":
            return heat
        is_smoothed = self.blur is None and self.overlay_blur
        note = f"overlay (map smoothed, σ = {self.overlay_blur:g} px)" if is_smoothed else "overlay"
        tiles = [(photo, photo_caption), (heat, caption), (self._overlay(attribution, photo), note), *extra]
        return panel([tile for tile, _ in tiles], captions=[text for _, text in tiles], title=title)

    def _overlay(self, attribution: Tensor, photo: Image.Image) -> Image.Image:
        sigma = self.overlay_blur if self.blur is None else self.blur
        return overlay(photo, attribution, blur=sigma, **self._colors())

    def _heat(self, attribution: Tensor, photo: Image.Image) -> Image.Image:
        width, height = photo.size
        upsampled = upsample(self._smoothed(attribution, self.blur or 0.0), (height, width))
        return heat_image(upsampled, **self._colors())

    def _smoothed(self, attribution: Tensor, sigma: float) -> NDArray[Any]:
        return smooth(attribution[0, 0].detach().float().cpu().numpy(), sigma)

    def _colors(self) -> dict[str, Any]:
        return {"colormap": self.colormap, "signed": self.signed, "percentile": self.percentile}
