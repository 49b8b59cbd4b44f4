"""The benchmarks by name, in the order of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from benchmarks.row import Row
from benchmarks.running import Setting

TOPICS = {
    "startup": "benchmarks.startup:rows",
    "gradients": "benchmarks.gradients:rows",
    "occlusion": "benchmarks.occlusion:rows",
    "attribution": "benchmarks.attribution:rows",
    "perturbation": "benchmarks.perturbation:rows",
    "adversarial": "benchmarks.adversarial:rows",
    "synthesis": "benchmarks.synthesis:rows",
    "features": "benchmarks.features:rows",
    "batch": "benchmarks.batch:rows",
    "fast_style_speed": "benchmarks.fast_style_speed:rows",
    "fast_style_google": "benchmarks.fast_style_google:rows",
    "fast_style_quality": "benchmarks.fast_style_quality:rows",
    "style_speed": "benchmarks.style:speed_rows",
    "style_quality": "benchmarks.style:quality_rows",
    "growth": "benchmarks.growth:rows",
    "memory": "benchmarks.memory:rows",
}
"""Name -> the function that measures it, ``Setting`` -> rows."""


def measure(topic: str, setting: Setting) -> list[Row]:
    """The rows of a topic."""
    module, function = TOPICS[topic].split(":")
    run: Callable[[Setting], list[Row]] = getattr(import_module(module), function)
    return run(setting)
