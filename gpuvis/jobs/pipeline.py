"""Run several folders in one process: while one is computed, the next is read and the last page is drawn.

The main thread computes and saves coordinates. A second thread reads, at most one folder ahead. A third draws the pages
in the order of the maps, at most one page behind.
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
from gpuvis.jobs.stages import Finish, Inputs, finished
from gpuvis.signals import completed, run_in_thread, stops_deferred
from gpuvis.timing import StepTimer

PATIENCE = 5.0  # seconds in which a page may be finished after a stop


class _StopError(BaseException):
    """The batch has ended, so its threads must stop."""


class Pipeline:
    """Read, compute and draw several folders at the same time.

    Parameters
    ----------
    on_outcome : callable
        Called with each outcome, in the order of the maps, as soon as all files of the map are written. Several
        threads call it, one at a time.
    """

    def __init__(self, on_outcome: Callable[[Outcome], None]) -> None:
        self._on_outcome = on_outcome
        self._locks: list[ExitStack] = []
        self._reading: Future[Any] = completed()
        self._drawing: Future[Any] = completed()  # the last page or release in the queue
        self._stop = threading.Event()
        self._saving, self._closed = threading.Lock(), False

    def run(self, decisions: deque[Decision], selection: Selection, progress: Progress) -> None:
        """Do the job of each decision, as `stages.run` does for one folder. Empties `decisions`."""
        draw.prepare(decisions[0].job.page)
        following = self._start_reading(decisions.popleft(), selection)
        for number in range(1, len(decisions) + 2):
            (job, lock, reading), steps = following, StepTimer(progress.step, selection.backend.settle)
            progress.folder(number, job.folder)
            progress.step("read")
            wait([reading])
            if decisions:
                following = self._start_reading(decisions.popleft(), selection)
            with closing(_maps(job, reading, steps)) as unfinished:
                for finish in unfinished:
                    self._drawing.result()  # so that only one page is in memory
                    self._queue(partial(self._finish, finish))
            self._queue(partial(self._release, job, lock))
        self._drawing.result()

    def close(self) -> None:
        """Wait a moment for the page that is being drawn, then unlock the folders."""
        self._stop.set()
        with suppress(KeyboardInterrupt):
            wait([self._drawing, self._reading], PATIENCE)
        with stops_deferred(), self._saving:
            self._closed = True
            for lock in self._locks:
                lock.close()

    def _start_reading(self, decision: Decision, selection: Selection) -> tuple[Job, ExitStack, Future[Inputs]]:
        lock = ExitStack()
        self._locks.append(lock)

        def read() -> Inputs:
            lock.enter_context(locked(decision.job.out))
            return stages.read(decision, selection, StepTimer(settle=selection.backend.settle), self._check_stop)

        self._reading = reading = run_in_thread(read)
        return decision.job, lock, reading

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise _StopError

    def _queue(self, work: Callable[[], None]) -> None:
        """Run work in a thread once all earlier work is done. An error of earlier work is raised again instead."""
        previous = self._drawing

        def run() -> None:
            previous.result()
            work()

        self._drawing = run_in_thread(run)

    def _finish(self, finish: Finish) -> None:
        self._on_outcome(finish(self._while_open()))

    def _release(self, job: Job, lock: ExitStack) -> None:
        try:
            lock.close()
        except Exception as error:  # noqa: BLE001
            self._on_outcome(failure(job.folder, error))

    @contextmanager
    def _while_open(self) -> Iterator[None]:
        """Allow files to be written only while the folder is locked."""
        with self._saving:
            if self._closed:
                raise _StopError
            yield


def _maps(job: Job, reading: Future[Inputs], steps: StepTimer) -> Generator[Finish]:
    try:
        inputs = reading.result()
        inputs.task.steps = steps  # from here on the main thread works, and reports its steps
        yield from stages.maps(inputs)
    except Exception as error:  # noqa: BLE001  an error in one folder must not stop the others
        yield finished(failure(job.folder, error))
