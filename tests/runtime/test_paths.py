"""Where programs keep what they can make again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from cnnviz.features.feature_index import FeatureStoreRoot
from cnnviz.network.catalogue import checkpoint_folder
from cnnviz.network.fast.machine import kept_at
from cnnviz.runtime.paths import cache_home, with_home


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_home() == tmp_path
    monkeypatch.delenv("XDG_CACHE_HOME")
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    assert cache_home() == tmp_path / ".cache"


def test_a_user_without_a_home_has_one_among_the_temporary_files(monkeypatch):
    """As of ``docker run --user`` with a number that no user of the image has."""

    for name in ("XDG_CACHE_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as it is where there is no home
    for place in (cache_home(), FeatureStoreRoot.default(), checkpoint_folder(), kept_at()):
        assert place.is_relative_to(tempfile.gettempdir())


def test_the_home_of_nobody_is_a_name_as_any_other():
    assert with_home("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")
    assert with_home("~/x").is_absolute()
