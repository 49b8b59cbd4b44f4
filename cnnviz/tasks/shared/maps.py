"""How a task's maps are drawn: the settings that all tasks with maps share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnviz.settings import setting

if TYPE_CHECKING:
    from cnnviz.attribution.registry import AttributionMethod
    from cnnviz.figures.maps import MapStyle


def colormap_setting() -> Any:
    """The colors of a map; None for those that suit it."""
    return setting(None, "A matplotlib colormap.", metavar="NAME", show_default="by map")


@dataclass(frozen=True)
class MapSettings:
    """How maps are drawn; what is None is as suits the map."""

    view: str = setting(
        "panel",
        "panel: photo, map and overlay; overlay: on the photo; heat: in color; raw: in gray, unclipped.",
        choices=("panel", "overlay", "heat", "raw"),
    )
    colormap: str | None = colormap_setting()
    percentile: float | None = setting(
        None,
        "Clip the map at this percentile; few pixels hold the peak.",
        min=1,
        max=100,
        show_default="99; 100 for coarse maps",
    )
    blur: float | None = setting(
        None,
        "Smooth the shown map by a Gaussian of so many of the network's pixels.",
        min=0,
        max=10_000,
        show_default="0; gradients laid over the photo 2",
    )

    def style_of(self, method: AttributionMethod) -> MapStyle:
        """The style of the maps of ``method``."""
        from cnnviz.figures.maps import MapStyle

        view: Any = self.view
        return MapStyle.of(method, view, self.colormap, self.percentile, self.blur)
