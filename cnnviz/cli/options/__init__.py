"""Every option that several commands share, declared once, in groups a command asks for by type.

A command takes a parameter of one of these types (``network: NetworkOptions``); ``cnnviz.cli.command`` spreads its
fields out into the command's own options and hands the filled-in group over. Each option that a user may want to
set for good has an environment default, ``CNNVIZ_`` and its name.
"""

from __future__ import annotations

from cnnviz.cli.options.declaring import option
from cnnviz.cli.options.images import (
    CanvasOptions,
    ImageOptions,
    InputOptions,
    PaintingOptions,
    SampleOptions,
)
from cnnviz.cli.options.network import NetworkOptions, NetworksOptions
from cnnviz.cli.options.outputs import LongOptions, OutputOptions, PageOptions, ResumableOptions, SummaryOptions
from cnnviz.cli.options.running import (
    BatchOptions,
    EngineName,
    EngineOptions,
    RunOptions,
    StoreOptions,
)
from cnnviz.pipeline.config import LARGEST_SIDE, numbers, tile_side
from cnnviz.pipeline.parsing import index, position, real, whole

__all__ = [
    "LARGEST_SIDE",
    "BatchOptions",
    "CanvasOptions",
    "EngineName",
    "EngineOptions",
    "ImageOptions",
    "InputOptions",
    "LongOptions",
    "NetworkOptions",
    "NetworksOptions",
    "OutputOptions",
    "PageOptions",
    "PaintingOptions",
    "ResumableOptions",
    "RunOptions",
    "SampleOptions",
    "StoreOptions",
    "SummaryOptions",
    "index",
    "numbers",
    "option",
    "position",
    "real",
    "tile_side",
    "whole",
]
