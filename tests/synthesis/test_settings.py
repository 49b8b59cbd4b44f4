"""Settings: defaults in one place, ranges checked, old names kept for a release, and no torch needed to read them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pytest
import torch

import cnnviz
from cnnviz.errors import UsageError
from cnnviz.style import settings as style_settings
from cnnviz.synthesis import settings as synthesis_settings
from cnnviz.synthesis.settings import DreamSettings, TextureSettings, build_settings

KINDS = [
    synthesis_settings.DreamSettings,
    synthesis_settings.InversionSettings,
    synthesis_settings.VisualizationSettings,
    synthesis_settings.EfrosLeungSettings,
    synthesis_settings.TextureSettings,
    style_settings.StyleSettings,
    style_settings.TrainingSettings,
]


def test_settings_are_read_without_torch():
    code = (
        "import sys, cnnviz.synthesis.settings, cnnviz.style.settings; sys.exit('torch' in sys.modules or 'numpy' in "
        "sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_has_help_and_a_default_within_its_range(kind):
    defaults = kind()
    for field in fields(kind):
        about, value = field.metadata, getattr(defaults, field.name)
        assert about["help"].endswith("."), field.name
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            assert about["min"] is None or value >= about["min"], field.name
            assert about["max"] is None or value <= about["max"], field.name
        assert about["choices"] is None or value is None or value in about["choices"], field.name


def test_options_replace_fields_of_the_settings():
    base = DreamSettings(octaves=2, steps=7)
    assert build_settings(DreamSettings, base, {"steps": 9}) == DreamSettings(octaves=2, steps=9)
    with pytest.raises(TypeError, match="depth"):
        build_settings(DreamSettings, None, {"depth": 1})
    with pytest.raises(UsageError, match="above 1"):
        build_settings(DreamSettings, None, {"octave_scale": 1.0})


def test_names_of_the_version_before_still_work(squeezenet):
    photo = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with pytest.warns(DeprecationWarning, match="'strength' is now called 'step_size'"):
        old = cnnviz.dream(squeezenet, photo, ["fire3"], octaves=1, steps=1, strength=2.0)
    assert torch.equal(old, cnnviz.dream(squeezenet, photo, ["fire3"], octaves=1, steps=1, step_size=2.0))
    with pytest.warns(DeprecationWarning, match="'keep_color' is now called 'color_share'"):
        cnnviz.dream(squeezenet, photo, ["fire3"], octaves=1, steps=1, keep_color=0.5)
    with pytest.warns(DeprecationWarning, match="polish"):
        old = cnnviz.transfer_style(squeezenet, photo, photo, steps=1, polish=1.0, average_pooling=False)
    new = cnnviz.transfer_style(squeezenet, photo, photo, steps=1, adam_fraction=1.0, pooling="max")
    assert torch.equal(old, new)
    settings = TextureSettings(steps=1, adam_fraction=0.0, pooling="max")
    with pytest.warns(DeprecationWarning, match="statistic"):
        old = cnnviz.synthesize_texture(
            squeezenet, photo, steps=1, polish=0.0, average_pooling=False, statistic="covariance"
        )
    assert torch.equal(old, cnnviz.synthesize_texture(squeezenet, photo, settings=settings, style_loss="covariance"))
