"""What a job of many steps leaves on its way."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnviz.errors import ImageError
from cnnviz.pipeline.config import MonitorConfig
from cnnviz.pipeline.reporter import SilentReporter
from cnnviz.pipeline.step_monitor import STATE, StepMonitor


def test_snapshots_are_refused_unless_their_run_is_resumed(tmp_path: Path):
    image = tmp_path / "a.png"
    (tmp_path / "a-0005.png").touch()

    def monitoring(resume: bool):
        monitor = StepMonitor(MonitorConfig(save_every=5, resume=resume))
        return monitor.monitoring(image, {}, SilentReporter(), force=False)

    for resume in (False, True):  # there is nothing to resume yet
        with pytest.raises(ImageError, match="snapshot of an earlier run"), monitoring(resume):
            pass
    image.with_suffix(STATE).touch()
    with pytest.raises(ImageError, match="snapshot of an earlier run"), monitoring(False):
        pass
    with monitoring(True):
        pass
