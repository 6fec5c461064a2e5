"""Run several folders in one process: the next is read and the last one drawn while one is computed.

The main thread computes and saves coordinates. One other thread reads, at most one folder ahead; one draws, in the
order of the maps, and is at most one page behind.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from typing import Any

from gpuvis.backends import Selection
from gpuvis.io.files import locked
from gpuvis.jobs import draw, stages
from gpuvis.jobs.job import Decision, Job
from gpuvis.jobs.outcome import Outcome, failure
from gpuvis.jobs.progress import Progress
from gpuvis.jobs.stages import Finish, Read, settled
from gpuvis.signals import completed, run_in_thread, stops_deferred
from gpuvis.timing import StepTimer

PATIENCE = 5.0  # seconds that a page may take to be finished after a stop


class _Stop(BaseException):
    """The batch has ended, and with it what threads do for it."""


class Pipeline:
    """Folders on their way through the stages.

    Parameters
    ----------
    take : callable
        Is given each outcome, in the order of the maps, as soon as all of its files are written. Threads call it, one
        at a time.
    """

    def __init__(self, take: Callable[[Outcome], None]) -> None:
        self._take = take
        self._locks: list[ExitStack] = []
        self._reading: Future[Any] = completed()
        self._last: Future[Any] = completed()
        self._stop = threading.Event()
        self._saving, self._closed = threading.Lock(), False

    def run(self, decisions: deque[Decision], chosen: Selection, progress: Progress) -> None:
        """Do what was decided, folder by folder, as `stages.run` does one; what is done is taken from `decisions`."""
        draw.prepare(decisions[0].job.page)
        ahead = self._begin(decisions.popleft(), chosen)
        for number in range(1, len(decisions) + 2):
            (job, lock, reading), steps = ahead, StepTimer(progress.step, chosen.backend.settle)
            progress.folder(number, job.folder)
            progress.step("read")
            wait([reading])
            if decisions:
                ahead = self._begin(decisions.popleft(), chosen)
            with closing(_maps(job, reading, steps)) as unfinished:
                for finish in unfinished:
                    self._last.result()  # no more pages are kept waiting
                    self._then(partial(self._finish, finish))
            self._then(partial(self._release, job, lock))
        self._last.result()

    def close(self) -> None:
        """Let a page that is being drawn be finished, unless that takes long, and release the folders."""
        self._stop.set()
        with suppress(KeyboardInterrupt):
            wait([self._last, self._reading], PATIENCE)
        with stops_deferred(), self._saving:
            self._closed = True
            for lock in self._locks:
                lock.close()

    def _begin(self, decision: Decision, chosen: Selection) -> tuple[Job, ExitStack, Future[Read]]:
        lock = ExitStack()
        self._locks.append(lock)

        def read() -> Read:
            lock.enter_context(locked(decision.job.out))
            return stages.read(decision, chosen, StepTimer(settle=chosen.backend.settle), self._go_on)

        self._reading = reading = run_in_thread(read)
        return decision.job, lock, reading

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise _Stop

    def _then(self, work: Callable[[], None]) -> None:
        """Queue work behind all that was queued before; an error shows in the last result."""
        before = self._last

        def next_one() -> None:
            before.result()
            work()

        self._last = run_in_thread(next_one)

    def _finish(self, finish: Finish) -> None:
        self._take(finish(self._unless_closed()))

    def _release(self, job: Job, lock: ExitStack) -> None:
        try:
            lock.close()
        except Exception as error:  # noqa: BLE001
            self._take(failure(job.folder, error))

    @contextmanager
    def _unless_closed(self) -> Iterator[None]:
        """Let files be written only while the folder is sure to be locked."""
        with self._saving:
            if self._closed:
                raise _Stop
            yield


def _maps(job: Job, reading: Future[Read], steps: StepTimer) -> Generator[Finish]:
    try:
        read = reading.result()
        read.task.steps = steps  # from here on it is the main thread that works
        yield from stages.maps(read)
    except Exception as error:  # noqa: BLE001  whatever is wrong with one folder, the others go on
        yield settled(failure(job.folder, error))
