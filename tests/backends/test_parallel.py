"""Loops on threads: each row once, errors and interrupts, and how many threads there are."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from gpuvis import machine
from gpuvis.backends import parallel

Part = tuple[int, int]


def ranges_of(threads: int, rows: int, size: int = 0) -> list[Part]:
    found: list[Part] = []
    with parallel.threads(threads):
        parallel.in_ranges(found.append, rows, size=size)
    return sorted(found)


def on_main() -> bool:
    return threading.current_thread() is threading.main_thread()


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
@pytest.mark.parametrize("size", [0, 1, 7, 256, 10**9])
def test_ranges_cover_each_row_once(threads, size) -> None:
    for rows in (0, 1, 2, 255, 256, 257, 1000):
        found = ranges_of(threads, rows, size)
        assert [row for first, last in found for row in range(first, last)] == list(range(rows))
        assert all(0 < last - first <= (size or parallel.MOST) for first, last in found)


@pytest.mark.parametrize("rows", [1000, 100_003, 10**6])
def test_ranges_are_some_for_each_thread_but_not_too_short_or_long(rows) -> None:
    for threads in (1, 2, 16):
        lengths = [last - first for first, last in ranges_of(threads, rows)]
        assert min(lengths[:-1], default=parallel.LEAST) >= parallel.LEAST
        assert max(lengths) <= parallel.MOST
        assert len(lengths) >= min(parallel.PIECES * threads, rows // parallel.LEAST)


def test_a_chosen_size_is_the_same_for_any_number_of_threads() -> None:
    assert ranges_of(1, 1000, 17) == ranges_of(2, 1000, 17) == ranges_of(16, 1000, 17)


def test_arguments_come_before_the_range() -> None:
    sums = np.zeros(10)

    def add(one: np.ndarray, other: float, part: Part) -> None:
        one[slice(*part)] += other

    parallel.in_ranges(add, 10, sums, 2.5, size=3)
    assert (sums == 2.5).all()


@pytest.mark.parametrize("threads", [2, 3])
def test_so_many_threads_work_at_a_time_and_this_one_is_one_of_them(threads) -> None:
    together, seen = threading.Barrier(threads, timeout=20), set()

    def meet(part: Part) -> None:
        together.wait()
        seen.add(threading.current_thread())

    with parallel.threads(threads):
        parallel.in_ranges(meet, threads, size=1)
    assert len(seen) == threads
    assert threading.main_thread() in seen


def test_one_thread_is_this_one() -> None:
    on_this_one = []
    with parallel.threads(1):
        parallel.in_ranges(lambda part: on_this_one.append(on_main()), 100, size=1)
    assert on_this_one == [True] * 100


@pytest.mark.parametrize("fails_on_main", [True, False])
def test_an_error_is_raised_and_no_further_ranges_start(fails_on_main) -> None:
    started, failed = [], threading.Event()

    def fail(part: Part) -> None:
        started.append(part)
        if on_main() == fails_on_main:
            failed.set()
            raise ZeroDivisionError
        assert failed.wait(20)
        time.sleep(0.05)  # by then the error has been heard of

    with parallel.threads(2), pytest.raises(ZeroDivisionError):
        parallel.in_ranges(fail, 100, size=1)
    assert len(started) <= 2


def test_threads_work_on_after_an_error() -> None:
    with parallel.threads(2):
        with pytest.raises(ZeroDivisionError):
            parallel.in_ranges(lambda part: 1 / part[0], 100, size=1)
        sums = np.zeros(100)
        parallel.in_ranges(lambda part: sums[slice(*part)].fill(1), 100, size=1)
    assert sums.sum() == 100


@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupt_ends_a_loop_after_the_ranges_that_run(threads) -> None:
    started = []

    def slow(part: Part) -> None:
        started.append(part)
        if len(started) == 5:
            signal.raise_signal(signal.SIGINT)  # on any thread: it is the main one that hears of it
        time.sleep(0.01)

    with parallel.threads(threads), pytest.raises(KeyboardInterrupt):
        parallel.in_ranges(slow, 1000, size=1)
    assert len(started) < 10


def test_an_interrupt_is_heard_while_another_thread_works_on_the_last_range() -> None:
    main_is_there = threading.Event()

    def last(part: Part) -> None:
        if on_main():
            main_is_there.set()
            return
        main_is_there.wait(20)
        time.sleep(0.05)  # by then the main thread waits
        signal.raise_signal(signal.SIGINT)

    with parallel.threads(2), pytest.raises(KeyboardInterrupt):
        parallel.in_ranges(last, 2, size=1)


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_threads_are_as_many_in_the_block_only(error) -> None:
    before, alive = parallel.current_threads(), threading.active_count()
    assert before == machine.cpu_threads()
    with pytest.raises(error) if error else nullcontext(), parallel.threads(3):
        assert parallel.current_threads() == 3
        with parallel.threads(5):
            assert parallel.current_threads() == 5
            parallel.in_ranges(lambda part: None, 100, size=1)
            if error:
                raise error
        assert parallel.current_threads() == 3
        parallel.in_ranges(lambda part: None, 100, size=1)
    assert parallel.current_threads() == before
    assert threading.active_count() == alive
    parallel.in_ranges(lambda part: None, 100, size=1)


def counts(user_api: str) -> list[int]:
    """Return on how many threads libraries of a kind compute now."""
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == user_api]


def test_matrix_products_are_on_one_thread_in_the_block() -> None:
    before = counts("blas")
    with parallel.threads(2):
        assert set(counts("blas")) == {1}
        with parallel.threads(3):
            assert set(counts("blas")) == {1}
        assert set(counts("blas")) == {1}
    assert counts("blas") == before


PRODUCTS = """
from gpuvis.backends import parallel
with parallel.threads(2):
    import scipy.linalg
    from threadpoolctl import threadpool_info
    print(*(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"))
"""


def test_matrix_products_are_on_one_thread_from_the_first_on() -> None:
    """A library that is loaded after the limit was set is not limited."""
    done = subprocess.run([sys.executable, "-c", PRODUCTS], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"1"}


@pytest.mark.parametrize("threads", [1, 3])
def test_openmp_has_as_many_threads_as_loops(threads) -> None:
    import sklearn  # noqa: F401  which brings OpenMP

    before = counts("openmp")
    with parallel.threads(threads), parallel.openmp_limited():
        assert set(counts("openmp")) == {threads}
    assert counts("openmp") == before


def test_results_come_in_order_and_few_items_are_taken_ahead() -> None:
    taken = []

    def items():
        for item in range(20):
            taken.append(item)
            yield item

    def slow_at_first(item: int) -> int:
        time.sleep(0.02 if item % 4 == 0 else 0)
        return item * item

    for done, got in enumerate(parallel.in_order(slow_at_first, items(), 2)):
        assert got == done * done
        assert len(taken) <= done + 4
    assert len(taken) == 20


def test_so_many_items_are_worked_on_at_a_time() -> None:
    together = threading.Barrier(3, timeout=20)
    assert len(list(parallel.in_order(lambda item: together.wait(), range(9), 3))) == 9


def test_an_error_in_a_thread_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(parallel.in_order(lambda item: 1 / item, [1, 0, 1], 2))


def test_no_items_have_no_results() -> None:
    assert list(parallel.in_order(abs, [], 2)) == []


def test_of_two_threads_with_numbers_of_their_own_one_waits() -> None:
    inside, seen, gate = [], [], threading.Barrier(2)

    def work(count: int) -> None:
        gate.wait()
        for _ in range(20):
            with parallel.threads(count):
                inside.append(count)
                time.sleep(0.001)
                seen.append((len(inside), parallel.current_threads() == count))
                inside.pop()

    others = [threading.Thread(target=work, args=(count,)) for count in (2, 3)]
    for other in others:
        other.start()
    for other in others:
        other.join(60)
    assert seen == [(1, True)] * 40
    done = []
    parallel.in_ranges(done.append, 10_000)  # of a pool that is not shut down
    assert sum(last - first for first, last in done) == 10_000


FORKING = """
import os, signal
import numpy as np
import gpuvis
from gpuvis.backends import parallel
X = np.random.default_rng(0).standard_normal((3000, 20)).astype(np.float32)
both = gpuvis.Settings(umap=gpuvis.Umap(), tsne=gpuvis.Tsne())
before = gpuvis.reduce(X, both, "cpu")
parallel.in_ranges(lambda ends: None, 100_000)  # has threads that the child has not
child = os.fork()
if not child:
    signal.alarm(60)
    parallel.in_ranges(lambda ends: None, 100_000)
    again = gpuvis.reduce(X, both, "cpu")
    os._exit(0 if all((again[name].coords == before[name].coords).all() for name in before) else 3)
print(os.waitpid(child, 0)[1])
"""


def test_a_forked_child_reduces_as_its_parent_did() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKING], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n", done.stderr
