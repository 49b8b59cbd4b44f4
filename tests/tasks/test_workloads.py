"""What each task needs of a network: the purpose decides the default model, the workload the precision."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from typing import get_args

import pytest

from cnnviz import tasks
from cnnviz.network.default_model import PREFERRED_MODELS, Purpose
from cnnviz.runtime.workload import Workload
from cnnviz.tasks.shared.base import TaskDefaults

TASKS = {
    kind.__name__: kind
    for found in pkgutil.iter_modules(tasks.__path__)
    for kind in vars(import_module(f"cnnviz.tasks.{found.name}")).values()
    if inspect.isclass(kind) and issubclass(kind, TaskDefaults)
}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_purpose_and_workload_is_a_known_one(task):
    assert task.purpose in PREFERRED_MODELS and task.workload in get_args(Workload)


def test_every_purpose_has_its_model():
    assert set(PREFERRED_MODELS) == set(get_args(Purpose))


def test_features_that_are_kept_are_computed_in_one_precision():
    """Those of another precision are not found in the store."""
    assert TASKS["EmbedIndex"].workload == TASKS["Embed"].workload == TASKS["Neighbors"].workload == "forward"
