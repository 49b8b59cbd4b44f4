"""Results kept on disk are taken from there only if they are whole, and the ones asked for."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from cnnviz.features.array_cache import cached_arrays

WANTED = {"points": np.arange(6.0).reshape(3, 2)}


def test_kept_results_are_not_computed_again(tmp_path: Path):
    cached_arrays(tmp_path / "a.npz", lambda: WANTED)
    found = cached_arrays(tmp_path / "a.npz", lambda: pytest.fail("computed again"))
    np.testing.assert_array_equal(found["points"], WANTED["points"])


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "altered", "another's", "no archive"])
def test_what_is_not_whole_or_of_another_is_computed_again(tmp_path: Path, damage: str):
    path, other = tmp_path / "a.npz", tmp_path / "b.npz"
    cached_arrays(path, lambda: WANTED)
    cached_arrays(other, lambda: {"cells": np.zeros(2)})
    whole = path.read_bytes()
    path.write_bytes(
        {
            "cut": whole[:-20],
            "empty": b"",
            "text": b"no results",
            "altered": whole[:100] + b"x" + whole[101:],
            "another's": other.read_bytes(),
            "no archive": hashlib.sha256(b"text").digest() + b"text",
        }[damage]
    )
    assert cached_arrays(path, lambda: WANTED).keys() == WANTED.keys()
