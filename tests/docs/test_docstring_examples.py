"""The example in the docstring of every name that ``cnnviz`` exports runs, with the embedded network.

Examples are written as after ``import cnnviz, torch``, with the embedded network as ``network``, in a folder with the
files of the ``playground`` fixture.
"""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest
import torch

import cnnviz

LONG = {"train_fast_style", "transfer_style", "synthesize_texture"}
"""Optimizations of minutes and more: only the syntax of their examples is checked."""


def docstring(name: str) -> str:
    """The docstring of a public name; empty for what has none of its own."""
    value = getattr(cnnviz, name)
    return (value.__doc__ or "") if callable(value) else ""


EXAMPLES = [name for name in cnnviz.__all__ if ">>> " in docstring(name)]


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name: str, squeezenet: cnnviz.Network, playground: Path) -> None:
    names = {"cnnviz": cnnviz, "torch": torch, "network": squeezenet}
    example = doctest.DocTestParser().get_doctest(docstring(name), names, name, None, 0)
    if name in LONG:
        for part in example.examples:
            compile(part.source, name, "exec")
        return
    report: list[str] = []
    results = doctest.DocTestRunner(verbose=False).run(example, out=report.append)
    assert not results.failed, "".join(report)


def test_attribution_methods_have_one() -> None:
    assert {"saliency", "smoothgrad", "grad_cam", "occlusion", "deletion_curve"} <= set(EXAMPLES)
