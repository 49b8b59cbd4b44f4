"""The registry of attribution methods: every entry works, is complete, and costs no import of torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cnnviz.attribution.registry import METHODS, methods_of, select_methods
from cnnviz.errors import UsageError

QUICK = {"samples": 2, "steps": 2, "patch": 16, "stride": 16}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_makes_a_map_for_each_image(squeezenet, chelsea, name):
    import torch

    method = METHODS[name]
    pixels = torch.cat([chelsea[..., 64:128, 64:160], chelsea[..., :64, :96]])
    settings = method.accepted(**QUICK)
    maps = method(squeezenet, pixels, [285, 281], **settings)
    assert maps.shape == (2, 1, 64, 96)
    assert all(bool(found.min() < found.max()) for found in maps)
    assert method.signed or name == "occlusion" or maps.min() >= 0
    if method.shares_a_pass:
        alone = method(squeezenet, pixels[1:], 281, **settings)
        torch.testing.assert_close(maps[1:], alone, rtol=1e-3, atol=1e-3 * float(alone.abs().max()))


def test_every_entry_says_how_to_read_the_map_and_names_its_command():
    from cnnviz.cli.app import app
    from cnnviz.cli.reference import commands

    offered = {command.name.removeprefix("cnnviz ") for command in commands(app)}
    for name, method in METHODS.items():
        assert name == method.name
        assert method.question.endswith("?") and method.caveat.endswith(".") and method.formula
        assert method.command in offered


def test_methods_are_found_by_command_and_by_name():
    assert list(methods_of("saliency", "gradient")) == ["gradient", "smoothgrad", "integrated", "input-x-gradient"]
    assert methods_of("guided", "guided")["deconvnet"] is METHODS["deconvnet"]
    assert list(select_methods("occlusion, saliency,occlusion")) == ["occlusion", "saliency"]
    with pytest.raises(UsageError, match="did you mean gradcam"):
        select_methods("gardcam")


def test_the_registry_imports_no_torch():
    code = "import sys, cnnviz.attribution.registry, cnnviz.attribution.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
