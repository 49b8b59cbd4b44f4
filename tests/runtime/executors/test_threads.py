"""Serial and threaded executors on tasks that are not images, and cancellation."""

from __future__ import annotations

import threading

import pytest
import torch

import cnnviz
from cnnviz.runtime.cancellation import Cancelled, cancellable, check_cancelled
from cnnviz.runtime.executors.cancellable_pool import CancellablePool
from cnnviz.runtime.executors.serial import SerialExecutor
from cnnviz.runtime.executors.threads import ThreadExecutor, thread_count, torch_threads


def square(task, compute):
    return compute(lambda: task * task)


@pytest.mark.parametrize(
    "engine",
    [SerialExecutor(square), ThreadExecutor(square, 4), ThreadExecutor(square, 3, 3), ThreadExecutor(square, 1)],
)
@pytest.mark.parametrize("count", [0, 1, 2, 30])
def test_results_come_in_the_order_of_the_tasks(engine, count):
    results = list(engine.run(list(range(count))))
    assert [result.task for result in results] == list(range(count))
    assert [result.get() for result in results] == [task * task for task in range(count)]


def test_unordered_results_come_as_they_are_done():
    slow_may_end = threading.Event()

    def work(task, compute):
        if task == 1:
            assert slow_may_end.wait(20)
        return task

    seen = []
    for result in ThreadExecutor(work, 2).run(range(6), ordered=False):
        seen.append(result.task)
        if len(seen) == 5:
            slow_may_end.set()
    assert seen[-1] == 1
    assert sorted(seen) == list(range(6))


def test_ordered_results_wait_for_the_slow_one():
    others_done = threading.Event()

    def work(task, compute):
        if task == 1:
            assert others_done.wait(20)
        if task == 3:
            others_done.set()
        return task

    assert [result.task for result in ThreadExecutor(work, 3).run(range(6))] == list(range(6))


def test_so_many_compute_at_once_and_no_more():
    lock, inside, most = threading.Lock(), [], []
    both = threading.Barrier(2)

    def work(task, compute):
        def meet():
            with lock:
                inside.append(task)
                most.append(len(inside))
            if task in (1, 2):
                both.wait(20)  # two are in there together, or this never ends
            with lock:
                inside.remove(task)

        return compute(meet)

    list(ThreadExecutor(work, 5, compute_threads=2).run(range(12)))
    assert max(most) == 2


def test_only_so_many_tasks_are_begun_before_results_are_taken():
    begun, asked = [], []

    class Lazy(list):
        """Counts the tasks taken out of it."""

        def __getitem__(self, part):
            return Lazy(super().__getitem__(part))

        def __iter__(self):
            return (asked.append(task) or task for task in super().__iter__())

    run = ThreadExecutor(lambda task, compute: begun.append(task), 2).run(Lazy(range(1000)))
    next(run)
    next(run)
    assert len(asked) <= 1 + 2 * 2
    run.close()
    assert len(begun) <= len(asked)


def test_an_error_ends_the_run_in_its_turn():
    def work(task, compute):
        if task == 3:
            raise ValueError("three")
        return task

    seen = []
    with pytest.raises(ValueError, match="three"):
        for result in ThreadExecutor(work, 4).run(range(50)):
            seen.append(result.task)
    assert seen == [0, 1, 2]
    assert not _threads_of_ours()


def test_closing_cancels_what_computes_and_lets_what_is_written_finish():
    written, computing = [], threading.Event()

    def work(task, compute):
        def forever():
            while task >= 2:
                computing.set()
                check_cancelled()

        compute(forever)
        if task == 1:
            assert computing.wait(20)
        written.append(task)
        return task

    run = ThreadExecutor(work, 3, compute_threads=2).run(range(10), ordered=False)
    assert next(run).task == 0

    assert next(run).task == 1
    closing = threading.Thread(target=run.close)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()  # though task 2 would never have come to an end by itself
    assert written == [0, 1]
    assert not _threads_of_ours()


def test_torch_threads_are_given_back():
    before = torch.get_num_threads()
    with torch_threads(before + 1) as told:
        assert told == before
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_threads_are_bounded_on_large_machines():
    assert thread_count(1) == 3
    assert thread_count(128) == 16


def _threads_of_ours() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith(("compute", "task"))]


def test_a_cancelled_pool_refuses_new_calls():
    pool = CancellablePool(1)
    assert pool(lambda: 3) == 3
    pool.cancel()
    with pytest.raises(Cancelled):
        pool(lambda: 4)


def test_errors_of_a_call_are_raised_in_the_caller():
    def fail():
        raise RuntimeError("broken")

    pool = CancellablePool(1)
    with pytest.raises(RuntimeError, match="broken"):
        pool(fail)
    pool.close()


def test_outside_a_pool_nothing_is_cancelled():
    check_cancelled()
    flag = threading.Event()
    flag.set()
    with cancellable(flag), pytest.raises(Cancelled):
        check_cancelled()
    check_cancelled()


@pytest.mark.parametrize(
    "passes",
    [
        lambda net, x: net(x),
        lambda net, x: net.features(x, ["features.5"]),
        lambda net, x: cnnviz.saliency(net, x, 285),
        lambda net, x: cnnviz.grad_cam(net, x, 285),
        lambda net, x: cnnviz.occlusion(net, x, 285, stride=32),
    ],
    ids=["forward", "features", "saliency", "grad_cam", "occlusion"],
)
def test_passes_look_at_the_flag(squeezenet, passes):
    flag = threading.Event()
    flag.set()
    with cancellable(flag), pytest.raises(Cancelled):
        passes(squeezenet, torch.rand(1, 3, 64, 64))


@pytest.mark.parametrize("engine", ["incremental", "full"])
def test_occlusion_is_cancelled_between_batches_of_positions(squeezenet, engine):
    """Not only before its first pass over the whole image."""
    flag, calls = threading.Event(), []

    def on_progress(done, total):
        calls.append((done, total))
        flag.set()

    with cancellable(flag), pytest.raises(Cancelled):
        cnnviz.occlusion(
            squeezenet, torch.rand(1, 3, 64, 64), 285, stride=16, batch=2, engine=engine, on_progress=on_progress
        )
    assert len(calls) == 1
