"""What a report says about each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cnnviz.attribution.registry import AttributionMethod

if TYPE_CHECKING:
    from cnnviz.network.targets import Target


@dataclass(frozen=True)
class ReportSettings:
    """What a report says about each image.

    Attributes:
        methods: the attribution methods, by name.
        layers: whose channels are shown; None takes four over the depth.
        channels: how many of each layer, strongest first.
        top: how many of the likeliest classes are listed and explained by Grad-CAM.
        target: what the maps explain: a class by index or name, a ``Versus``, or a function; None takes the likeliest.
        fool_into: the class of the adversarial example; None takes the least likely.
    """

    methods: Mapping[str, AttributionMethod] = field(default_factory=dict)
    layers: Sequence[str] | None = None
    channels: int = 12
    top: int = 5
    target: Target = None
    fool_into: str | int | None = None
