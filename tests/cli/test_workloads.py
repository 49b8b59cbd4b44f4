"""What each command uses a network for, which decides its precision."""

from __future__ import annotations

import pytest
import torch
from typer.main import get_command

import cnnviz
from cnnviz.cli.app import app
from cnnviz.cli.options.network import WORKLOADS
from cnnviz.runtime.precision import choose_precision


def test_every_name_is_a_command_and_every_workload_a_known_one():
    assert set(WORKLOADS) <= set(get_command(app).commands)  # type: ignore[attr-defined]
    assert {choose_precision("fp32", torch.device("cpu"), workload) for workload in WORKLOADS.values()} == {"fp32"}


def test_the_old_parameter_still_works(monkeypatch):
    chosen = []
    monkeypatch.setattr("cnnviz.network.loading.choose_precision", lambda *given: chosen.append(given[2]) or "fp32")
    with pytest.warns(DeprecationWarning, match="workload="):
        cnnviz.load_network("squeezenet1_1", device="cpu", technique="style")
    cnnviz.load_network("squeezenet1_1", device="cpu", workload="forward")
    cnnviz.load_network("squeezenet1_1", device="cpu")
    assert chosen == ["synthesis", "forward", "exact"]
