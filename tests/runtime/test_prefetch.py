"""Batches on their way to the device: all arrive, in order, whole."""

from __future__ import annotations

import torch

from cnnviz.runtime.prefetch import copied_ahead


def test_every_batch_arrives_in_order():
    batches = [(name, torch.full((2, 3), float(number))) for number, name in enumerate("abc")]
    found = list(copied_ahead(batches, torch.device("cpu")))
    assert [name for name, _ in found] == ["a", "b", "c"]
    assert all(torch.equal(pixels, sent) for (_, pixels), (_, sent) in zip(found, batches, strict=True))


def test_on_the_cpu_nothing_is_read_before_its_time():
    read = []

    def batches():
        for number in range(3):
            read.append(number)
            yield number, torch.zeros(1)

    arriving = copied_ahead(batches(), torch.device("cpu"))
    next(arriving)
    assert read == [0]
