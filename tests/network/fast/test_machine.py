"""Whether this machine's products of matrices are quick: measured once, and kept."""

from __future__ import annotations

import json
import os

import pytest

import cnnviz
from cnnviz.network import fast_conv_choice
from cnnviz.network.fast import machine


@pytest.fixture(autouse=True)
def new_process(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    machine.has_fast_products.cache_clear()
    yield
    machine.has_fast_products.cache_clear()


@pytest.fixture
def speeds(monkeypatch):
    """What is measured, and how often it was."""
    found = {"product": 70.0, "convolution": 100.0, "times": 0}

    def measured():
        found["times"] += 1
        return found["product"], found["convolution"]

    monkeypatch.setattr(machine, "measured_speeds", measured)
    return found


def ask_again() -> bool:
    machine.has_fast_products.cache_clear()
    return machine.has_fast_products()


@pytest.mark.parametrize(("product", "is_fast"), [(59.9, False), (60.0, True)])
def test_it_is_measured_once_and_kept(speeds, product, is_fast):
    speeds["product"] = product
    assert machine.has_fast_products() == is_fast
    speeds["product"] = 1000 - product * 10
    assert ask_again() == is_fast
    assert speeds["times"] == 1


def test_a_process_that_is_kept_to_fewer_instructions_is_another_machine(speeds, monkeypatch):
    machine.has_fast_products()
    speeds["product"] = 1.0
    with monkeypatch.context() as patch:  # the suite itself may be kept to some instructions: to other ones
        patch.setenv("ONEDNN_MAX_CPU_ISA", "AVX" if os.environ.get("ONEDNN_MAX_CPU_ISA") == "SSE41" else "SSE41")
        assert not ask_again()
    assert ask_again()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"fast_products"'])
def test_a_damaged_file_is_written_again(speeds, content):
    path = machine.kept_at()
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert machine.has_fast_products()
    assert json.loads(path.read_text())["fast_products"] is True


def test_without_a_place_to_keep_it_convolutions_are_direct(speeds, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert not machine.has_fast_products()
    assert speeds["times"] == 0


def test_speeds_are_positive():
    assert min(machine.measured_speeds()) > 0


@pytest.mark.needs("onednn")
@pytest.mark.parametrize(
    ("workload", "precision", "wanted", "chosen"),
    [
        ("synthesis", "fp32", None, True),
        ("scores", "fp32", None, True),
        ("training", "fp32", None, True),
        ("exact", "fp32", None, None),
        ("forward", "fp32", None, None),
        ("synthesis", "bf16", None, False),
        ("exact", "fp32", True, True),
        ("synthesis", "fp32", False, False),
    ],
)
def test_what_is_chosen(speeds, workload, precision, wanted, chosen):
    made = {"weights": "random", "device": "cpu", "precision": precision, "workload": workload}
    network = cnnviz.load_network("resnet18", fast_conv=wanted, **made)
    assert network.fast_conv == chosen
    assert network.fast_conv_choice == (chosen if precision == "fp32" else None)
    assert (network.derived_bytes > 0) == bool(chosen)
    assert speeds["times"] == (wanted is None and bool(chosen))


def test_a_network_without_such_convolutions_is_not_worth_a_measurement(speeds):
    network = cnnviz.load_network("lenet5", "random", device="cpu", workload="synthesis", precision="fp32")
    assert network.fast_conv_choice is None
    assert speeds["times"] == 0


def test_short_memory_takes_none(speeds, monkeypatch):
    monkeypatch.setattr(fast_conv_choice, "available_memory", lambda device: 1 << 20)
    network = cnnviz.load_network("resnet18", weights="random", device="cpu", workload="scores")
    assert not network.fast_conv
