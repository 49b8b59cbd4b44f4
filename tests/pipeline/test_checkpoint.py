"""A checkpoint: a state that is damaged, of another kind or of another run is one sentence."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from cnnviz.errors import UsageError
from cnnviz.pipeline.checkpoint import Checkpointer
from cnnviz.pipeline.config import MonitorConfig
from cnnviz.pipeline.reporter import SilentReporter
from cnnviz.pipeline.step_monitor import StepMonitor


class Job:
    """Counts to three, and is interrupted after the first when it runs for the first time."""

    remarks: list[str] = []  # noqa: RUF012

    def __init__(self, interrupted: bool = False) -> None:
        self.interrupted, self.numbers = interrupted, torch.zeros(3)

    def run(self, on_step: object = None) -> torch.Tensor:
        if self.interrupted:
            self.numbers[0] = 1
            raise KeyboardInterrupt
        return self.numbers

    def state_dict(self) -> dict:
        return {"numbers": self.numbers}

    def load_state_dict(self, state: dict) -> None:
        self.numbers.copy_(state["numbers"])


@pytest.fixture
def resuming(tmp_path: Path) -> Iterator[Checkpointer]:
    monitor = StepMonitor(MonitorConfig(resume=True))
    with monitor.monitoring(tmp_path / "a.png", {}, SilentReporter(), force=False):
        yield Checkpointer(monitor, {"steps": 3})


@pytest.fixture
def state(resuming: Checkpointer, tmp_path: Path) -> Path:
    with pytest.raises(KeyboardInterrupt):
        resuming.run(Job(interrupted=True))
    return tmp_path / "a.state"


def signed(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue()


def test_a_whole_state_is_gone_on_from(resuming: Checkpointer, state: Path):
    assert resuming.run(Job()).tolist() == [1, 0, 0]
    assert not state.exists()


KEY = '{"steps": 3}'
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda whole: whole[: len(whole) // 2],
    "empty": lambda whole: b"",
    "text": lambda whole: b"no state at all",
    "an altered number": lambda whole: whole.replace(torch.ones(1).numpy().tobytes(), torch.zeros(1).numpy().tobytes()),
    "a list": lambda whole: signed([1, 2]),
    "a number": lambda whole: signed(3),
    "no state": lambda whole: signed({"settings": KEY}),
    "a state of another kind": lambda whole: signed({"settings": KEY, "state": {"done": 3}}),
    "a state of another size": lambda whole: signed({"settings": KEY, "state": {"numbers": torch.ones(2, 7)}}),
    "a state that is none": lambda whole: signed({"settings": KEY, "state": "x"}),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_state_is_refused(resuming: Checkpointer, state: Path, damage: str):
    state.write_bytes(DAMAGE[damage](state.read_bytes()))
    with pytest.raises(UsageError, match=r"a\.state' cannot be gone on from; remove it to begin from the start"):
        resuming.run(Job())


def test_a_state_of_another_run_is_refused(resuming: Checkpointer, state: Path):
    resuming.settings = {"steps": 4}
    with pytest.raises(UsageError, match="other settings"):
        resuming.run(Job())
