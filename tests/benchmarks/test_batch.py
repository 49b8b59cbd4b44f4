"""The benchmark of a batch runs the command it measures."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from benchmarks.batch import ours


def test_the_command_is_measured_from_its_first_result_to_its_last(tmp_path: Path) -> None:
    for shade in range(3):
        Image.new("RGB", (48, 48), (80 * shade, 0, 0)).save(tmp_path / f"{shade}.png")
    cost = ours(["-m", "squeezenet1_1", "--size", "48"], tmp_path, "raw", 1)
    assert cost.clock > 0
    assert cost.processor > 0
