"""Which trained style network paints, and at what size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from cnnviz.cli.options.declaring import INPUT, NETWORK, option
from cnnviz.cli.options.images import ImageOptions
from cnnviz.pipeline.config import LARGEST_SIDE, SHEET_SIDE, FastStyleInputConfig, StyleSheetInputConfig
from cnnviz.pipeline.style_model import StyleModelConfig

StyleModelOption = Annotated[
    str,
    typer.Option(
        "--style-model",
        "-m",
        help="File of a trained style network, or 'embedded', 'styles26', 'any'.",
        metavar="FILE",
        show_default="the one that has the style",
        rich_help_panel=NETWORK,
    ),
]


@dataclass
class StyleModelOptions(StyleModelConfig):
    """Which trained style network, and where it computes."""

    style_model: StyleModelOption = StyleModelConfig.style_model
    device: Annotated[
        str, option("--device", env="DEVICE", panel=NETWORK, help="auto, cpu, cuda or cuda:N.", metavar="DEVICE")
    ] = StyleModelConfig.device


@dataclass
class FastStyleInputOptions(ImageOptions, FastStyleInputConfig):
    """Which images are painted, and at what size: their own if none is given."""

    size: Annotated[
        int | None,
        option(
            "--size",
            "-s",
            env="SIZE",
            panel=INPUT,
            min=16,
            max=LARGEST_SIDE,
            help="Shorter side of the result in pixels; smaller makes larger strokes.",
            show_default="the image's",
        ),
    ] = FastStyleInputConfig.size


@dataclass
class StyleSheetInputOptions(ImageOptions, StyleSheetInputConfig):
    """Which images are painted in many styles, and at what size."""

    size: Annotated[
        int | None,
        option(
            "--size",
            "-s",
            env="SIZE",
            panel=INPUT,
            min=16,
            max=LARGEST_SIDE,
            help="Shorter side at which they are painted, in pixels.",
            show_default=f"{SHEET_SIDE}, or less",
        ),
    ] = StyleSheetInputConfig.size
