"""The local engine and shards, on tasks that are no pictures."""

from __future__ import annotations

import sys
import threading
import time

import pytest
import torch

from cnnviz.errors import UsageError
from cnnviz.runtime.batch.lanes import Lanes, Stopped
from cnnviz.runtime.batch.local import Inline, Threads, thread_count, torch_threads
from cnnviz.runtime.batch.shard import WHOLE, Shard


def square(task, compute):
    return compute(lambda: task * task)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 7, 12, 100])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 13])
def test_shards_are_the_whole_without_overlap_or_gap(length, count):
    items = list(range(length))
    parts = [list(Shard(index, count).of(items)) for index in range(1, count + 1)]
    assert [item for part in parts for item in part] == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_shard_is_read_as_it_is_written():
    assert Shard.parse("2/4") == Shard(2, 4)
    assert Shard.parse(str(Shard(3, 7))) == Shard(3, 7)
    assert list(WHOLE.of([1, 2, 3])) == [1, 2, 3]


@pytest.mark.parametrize("text", ["", "0/4", "5/4", "-1/4", "1/0", "1", "a/b", "1.0/2", "1/4/2"])
def test_a_senseless_shard_is_a_usage_error(text):
    with pytest.raises(UsageError, match="I/N"):
        Shard.parse(text)


@pytest.mark.parametrize("engine", [Inline(square), Threads(square, 4), Threads(square, 3, 3), Threads(square, 1)])
@pytest.mark.parametrize("count", [0, 1, 2, 30])
def test_outcomes_come_in_the_order_of_the_tasks(engine, count):
    outcomes = list(engine.run(list(range(count))))
    assert [outcome.task for outcome in outcomes] == list(range(count))
    assert [outcome.get() for outcome in outcomes] == [task * task for task in range(count)]


def test_unordered_outcomes_come_as_they_are_done():
    slow_may_end = threading.Event()

    def work(task, compute):
        if task == 1:
            assert slow_may_end.wait(20)
        return task

    seen = []
    for outcome in Threads(work, 2).run(range(6), ordered=False):
        seen.append(outcome.task)
        if len(seen) == 5:
            slow_may_end.set()
    assert seen[-1] == 1
    assert sorted(seen) == list(range(6))


def test_ordered_outcomes_wait_for_the_slow_one():
    def work(task, compute):
        time.sleep(0.2 if task == 1 else 0)
        return task

    assert [outcome.task for outcome in Threads(work, 3).run(range(6))] == list(range(6))


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
            time.sleep(0.01)
            with lock:
                inside.remove(task)

        return compute(meet)

    list(Threads(work, 5, lanes=2).run(range(12)))
    assert max(most) == 2


def test_only_so_many_tasks_are_begun_before_results_are_taken():
    begun = []
    run = Threads(lambda task, compute: begun.append(task), 2).run(range(1000))
    next(run)
    next(run)
    time.sleep(0.2)
    assert len(begun) <= 1 + 1 + 2 * 2
    run.close()


def test_an_error_ends_the_run_in_its_turn():
    def work(task, compute):
        if task == 3:
            raise ValueError("three")
        return task

    seen = []
    with pytest.raises(ValueError, match="three"):
        for outcome in Threads(work, 4).run(range(50)):
            seen.append(outcome.task)
    assert seen == [0, 1, 2]
    assert not _threads_of_ours()


def test_closing_breaks_off_what_computes_and_lets_what_is_written_finish():
    written, computing = [], threading.Event()

    def work(task, compute):
        def forever():
            if task == 0:
                return
            computing.set()
            while True:
                time.sleep(0.001)

        compute(forever)
        written.append(task)
        return task

    run = Threads(work, 3, lanes=2).run(range(10))
    next(run)
    reader = threading.Thread(target=lambda: _interrupted(run))
    reader.start()
    assert computing.wait(20)
    # A thread that is just being started bears its parent's number, and would be interrupted for it.
    while not _is_inside(reader, "_next_done"):
        time.sleep(0.001)
    _interrupt(reader)
    reader.join(20)
    assert not reader.is_alive()  # though task 1 would never have come to an end by itself
    assert written == [0]
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
    return [t.name for t in threading.enumerate() if t.name.startswith(("lane", "picture"))]


def _is_inside(thread: threading.Thread, function: str) -> bool:
    """Whether the thread is in a call of that function."""
    frame = sys._current_frames().get(thread.ident)
    while frame is not None and frame.f_code.co_name != function:
        frame = frame.f_back
    return frame is not None


def _interrupted(run) -> None:
    with pytest.raises(KeyboardInterrupt):
        list(run)


def test_a_lane_that_passes_over_being_broken_off_is_broken_off_again():
    lanes, computing, passed = Lanes(1), threading.Event(), []

    def stubborn():
        while True:
            try:
                while True:
                    computing.set()
                    time.sleep(0.001)
            except BaseException:  # as Python does where garbage is cleared up
                if passed:
                    raise
                passed.append(True)

    def call():
        with pytest.raises(Stopped):
            lanes(stubborn)

    caller = threading.Thread(target=call)
    caller.start()
    assert computing.wait(20)
    lanes.stop()
    caller.join(20)
    assert passed == [True]
    assert not caller.is_alive()


def _interrupt(thread: threading.Thread) -> None:
    """What Ctrl-C does to the main thread."""
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(KeyboardInterrupt))
