"""The instruments: medians in turn, counted operations, peaks of memory; and the runner's contract."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from benchmarks import __main__ as runner
from benchmarks import topics
from benchmarks.peak import measured_peaks
from benchmarks.row import Row
from benchmarks.running import Setting, operations
from benchmarks.timing import interleaved
from cnnviz.runtime.private_torch import onednn_conv2d, pack_weight

CPU = Setting(torch.device("cpu"))


def test_runs_are_taken_in_turn_and_their_medians_told():
    order, costs = [], {"a": iter([90.0, 1.0, 5.0, 3.0]), "b": iter([90.0, 2.0, 2.0, 8.0])}

    def run(name):
        return lambda: order.append(name) or next(costs[name])

    assert interleaved({"a": run("a"), "b": run("b")}, rounds=3) == {"a": 3.0, "b": 2.0}
    assert order == ["a", "b"] * 4


def test_operations_of_a_convolution_and_its_gradient():
    weights = torch.rand(8, 4, 3, 3)
    pixels = torch.rand(1, 4, 10, 10, requires_grad=True)
    forward = 2 * 8 * 4 * 9 * 8 * 8
    assert operations(lambda: torch.nn.functional.conv2d(pixels, weights)) == forward
    assert operations(lambda: torch.nn.functional.conv2d(pixels, weights).sum().backward()) == 2 * forward


def test_a_quick_run_has_few_rounds_and_a_given_number_wins():
    assert Setting(CPU.device, quick=True).turns(7) == 2
    assert Setting(CPU.device, quick=True, rounds=5).turns(7) == 5
    assert CPU.turns(7) == 7


@pytest.mark.slow
def test_the_peak_is_above_a_matrix_product_by_hand():
    peaks = measured_peaks(CPU.device)
    assert set(peaks) == {f"{what} {kind}" for what in ("matmul", "convolution") for kind in ("fp32", "bf16")}
    assert min(peaks.values()) > 0


def test_the_peak_of_memory_counts_what_is_given_back():
    """In a process of its own, as the instrument asks: one that freed 64 MiB before would take them up again."""
    code = """
import torch
from benchmarks.memory_use import peak_beyond

print(peak_beyond(lambda: torch.ones(64 << 18), torch.device("cpu")))  # 64 MiB, freed at once
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert 60 < float(done.stdout) < 80


def run_main(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["benchmarks", *map(str, arguments)])
    return runner.main()


@pytest.fixture
def two_topics(monkeypatch):
    """One benchmark that works and one that does not."""

    def measure(topic, setting):
        if topic == "broken":
            raise ZeroDivisionError
        return [Row("case", 2.0, peer=5.0, against="peer")]

    monkeypatch.setattr(runner, "TOPICS", {"good": "", "broken": ""})
    monkeypatch.setattr(runner, "measure", measure)
    monkeypatch.setattr(runner, "measured_peaks", lambda device: {"matmul fp32": 1.0})


def test_a_benchmark_that_fails_does_not_lose_the_others(two_topics, monkeypatch, capsys, tmp_path):
    assert run_main(monkeypatch, "broken", "good", "--json", tmp_path / "found.json") == 1
    assert "2.50×" in capsys.readouterr().out
    assert set(json.loads((tmp_path / "found.json").read_text())["topics"]) == {"good"}


def test_what_works_exits_with_zero(two_topics, monkeypatch):
    assert run_main(monkeypatch, "good") == 0


def test_an_unknown_benchmark_is_a_usage_error(monkeypatch, capsys):
    with pytest.raises(SystemExit) as stopped:
        run_main(monkeypatch, "speediness")
    assert stopped.value.code == 2
    assert "speediness" in capsys.readouterr().err


def test_every_topic_names_a_function():
    from importlib import import_module

    for place in topics.TOPICS.values():
        module, function = place.split(":")
        assert callable(getattr(import_module(module), function))


@pytest.mark.needs("packing")
def test_a_convolution_is_counted_whoever_computes_it():
    pixels, kernel = torch.rand(1, 16, 20, 20), torch.rand(8, 16, 3, 3)
    ready = pack_weight(kernel, (1, 1), pixels.shape)
    runs = (
        lambda: torch.conv2d(pixels, kernel, padding=1),
        lambda: torch.mkldnn_convolution(pixels, kernel, None, (1, 1), (1, 1), (1, 1), 1),
        lambda: onednn_conv2d(pixels, ready, None, (1, 1)),
    )
    assert [operations(run) for run in runs] == [2 * 8 * 16 * 9 * 400] * 3
