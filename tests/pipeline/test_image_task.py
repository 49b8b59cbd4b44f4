"""Which tasks share the network."""

from __future__ import annotations

import pytest
import torch

from cnnviz.pipeline.config import InputConfig, NetworkConfig, RunConfig
from cnnviz.pipeline.image_job import ImageJob
from cnnviz.pipeline.image_task import ImageWorker
from cnnviz.tasks.activations import Activations
from cnnviz.tasks.invert import Invert
from cnnviz.tasks.saliency import Saliency


@pytest.mark.parametrize(
    ("task", "batchable"),
    [(Saliency(), True), (Saliency(check=True), False), (Activations(), False), (Invert(), False)],
)
def test_only_tasks_of_a_pass_or_two_are_batched(squeezenet, task, batchable):
    worker = ImageWorker(ImageJob("features", NetworkConfig(), InputConfig(), RunConfig()), squeezenet, task)
    assert worker.batchable is batchable
    assert worker.batch_size == 1 or batchable


def test_a_task_of_many_steps_keeps_all_threads(squeezenet):
    before = torch.get_num_threads()
    worker = ImageWorker(ImageJob("features", NetworkConfig(), InputConfig(), RunConfig()), squeezenet, Invert())
    with worker.threads() as compute_threads:
        assert (compute_threads, torch.get_num_threads()) == (1, before)
