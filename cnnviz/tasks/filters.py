"""The kernels of a convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnviz.pipeline.result import Result
from cnnviz.settings import setting
from cnnviz.tasks.shared.base import TaskDefaults
from cnnviz.tasks.shared.layers import layer_setting, shared_scale_setting

if TYPE_CHECKING:
    from cnnviz.network.network import Network


@dataclass(frozen=True)
class Filters(TaskDefaults):
    """A sheet of a convolution's kernels: in color where its input is RGB, otherwise in gray, output by input."""

    purpose = "features"

    layer: str | None = layer_setting("A convolution.", "the first")
    limit: int = setting(16, "Kernels shown of a deeper layer, across and down.", min=1)
    shared_scale: bool = shared_scale_setting()

    def run(self, network: Network) -> Result:
        from cnnviz.features.filters import filter_grid
        from cnnviz.figures.filters import filter_sheet

        found = filter_grid(network, self.layer, shared_scale=self.shared_scale)
        is_shown_whole = found.color or found.shape[1] == 1
        return Result(
            {"layer": found.layer, "shape": found.shape},
            filter_sheet(found, f"{network.name} {network.layers.common_name(found.layer)}", self.limit),
            target=found.layer,
            unused={"limit": f"on {found.layer}, which is shown whole"} if is_shown_whole else {},
        )
