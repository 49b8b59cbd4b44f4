"""The benchmark of a batch runs the command it measures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from benchmarks.batch import CASES, ours


def test_the_command_is_measured_from_its_first_result_to_its_last(tmp_path: Path) -> None:
    for shade in range(3):
        Image.new("RGB", (48, 48), (80 * shade, 0, 0)).save(tmp_path / f"{shade}.png")
    case = replace(CASES["saliency, --view raw"], options=("-m", "squeezenet1_1", "--size", "48", "--view", "raw"))
    cost = ours(case, torch.device("cpu"), tmp_path)
    assert cost.clock > 0
    assert cost.processor > 0
