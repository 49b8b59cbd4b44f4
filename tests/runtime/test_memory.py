"""Batches that fit: what an allocator refuses is done again in halves, and nothing is lost or done twice."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from cnnviz.errors import MemoryShortError
from cnnviz.runtime import memory
from cnnviz.runtime.memory import in_batches_that_fit, max_batch_size, small_batch_size, translate_memory_errors

CPU, GPU = torch.device("cpu"), torch.device("cuda")
SHORT = [
    torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:119] data. DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


class Narrow:
    """A machine that holds so many items at once; keeps what it was asked for."""

    def __init__(self, room: int, error: Exception) -> None:
        self.room, self.error = room, error
        self.asked: list[tuple[int, int]] = []

    def __call__(self, part: slice) -> list[int]:
        self.asked.append((part.start, part.stop))
        if part.stop - part.start > self.room:
            raise self.error
        return list(range(part.start, part.stop))


@pytest.mark.parametrize("error", SHORT, ids=["cuda", "cpu", "python"])
def test_half_as_many_from_where_memory_is_short(error):
    machine = Narrow(2, error)
    found = list(in_batches_that_fit(machine, 7, 4))
    assert found == [[0, 1], [2, 3], [4, 5], [6]]
    assert machine.asked == [(0, 4), (0, 2), (2, 4), (4, 6), (6, 7)]


def test_what_fits_is_done_once_in_whole_batches():
    machine = Narrow(10, MemoryError())
    assert list(in_batches_that_fit(machine, 5, 3)) == [[0, 1, 2], [3, 4]]
    assert machine.asked == [(0, 3), (3, 5)]


def test_one_item_that_does_not_fit_is_the_callers_affair():
    with pytest.raises(MemoryShortError) as caught, translate_memory_errors(128):
        list(in_batches_that_fit(Narrow(0, SHORT[0]), 3, 4))
    assert caught.value.values == {"size": 64}


def test_other_errors_are_not_tried_again():
    machine = Narrow(1, RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        list(in_batches_that_fit(machine, 4, 4))
    assert machine.asked == [(0, 4)]


def test_the_failed_pass_is_let_go_before_the_next_try():
    alive = []

    class Big:
        def __init__(self) -> None:
            alive.append(self)

        def __del__(self) -> None:
            freed.append(True)

    freed: list[bool] = []

    def run(part: slice) -> int:
        big = Big()
        alive.clear()
        if part.stop - part.start > 1:
            raise MemoryError(f"with {big} in its frame")
        return len(freed)

    assert list(in_batches_that_fit(run, 2, 2)) == [1, 2]


def test_a_batch_has_as_many_pixels_at_every_size():
    assert max_batch_size((224, 336), 224, CPU) == max_batch_size((224, 224), 224, CPU) == 8
    assert [max_batch_size((s, s), 224, CPU) for s in (448, 896, 4096)] == [4, 1, 1]
    assert max_batch_size((224, 224), 224, GPU) > max_batch_size((224, 224), 224, CPU)


@pytest.mark.parametrize(("activations", "expected"), [(1 << 20, 4), (1 << 23, 4), (1 << 24, 2), (1 << 26, 1)])
def test_small_networks_take_a_few_pictures_together(activations, expected):
    network = SimpleNamespace(device=CPU, activation_count=lambda size: activations * size[0] // 224)
    assert small_batch_size(network, 224) == expected


def test_an_allocation_that_cannot_be_is_known_as_one():
    def run(part: slice) -> int:
        count = part.stop - part.start
        torch.empty(count << 50 if count > 1 else 1)
        return count

    assert list(in_batches_that_fit(run, 3, 3)) == [1, 1, 1]


def refusing(function, most: int):
    """``function`` of a network and pixels on a machine that holds no more than ``most`` pictures at once."""

    def narrow(network, pixels, *rest):
        if len(pixels) > most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return function(network, pixels, *rest)

    return narrow


@pytest.mark.parametrize("samples", [5, 8])
def test_smoothgrad_draws_the_same_noise_again(squeezenet, chelsea, monkeypatch, samples):
    import cnnviz
    import cnnviz.attribution.smoothgrad as module

    pixels = chelsea[:, :, :90, :91]  # an odd number of values
    expected = cnnviz.smoothgrad(squeezenet, pixels, 285, samples=samples)
    monkeypatch.setattr(module, "gradient_and_logits", refusing(module.gradient_and_logits, 2))
    found = cnnviz.smoothgrad(squeezenet, pixels, 285, samples=samples)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5 * float(expected.max()))


def test_integrated_gradients_go_every_step_of_the_way(squeezenet, chelsea, monkeypatch):
    import cnnviz
    import cnnviz.attribution.integrated_gradients as module

    pixels = chelsea[:, :, :90, :90]
    expected = cnnviz.integrated_gradients(squeezenet, pixels, 285, steps=7)
    monkeypatch.setattr(module, "gradient_and_logits", refusing(module.gradient_and_logits, 2))
    found = cnnviz.integrated_gradients(squeezenet, pixels, 285, steps=7)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))


def test_a_described_picture_is_the_same_in_a_smaller_batch(squeezenet, chelsea, monkeypatch):
    import cnnviz
    from cnnviz.network.network import Network

    pixels = torch.cat([chelsea, chelsea.flip(3), 1 - chelsea])
    expected = cnnviz.embed_images(squeezenet, pixels)
    monkeypatch.setattr(Network, "features", refusing(Network.features, 2))
    torch.testing.assert_close(cnnviz.embed_images(squeezenet, pixels), expected)


def test_many_channels_count(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda device: 64 << 20)
    memory.require_memory_for_pixels((512, 512), torch.device("cpu"))
    with pytest.raises(MemoryShortError, match="a shorter side of"):
        memory.require_memory_for_pixels((512, 512), torch.device("cpu"), channels=200)
