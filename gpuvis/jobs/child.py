"""The child process that a worker sends jobs to: it tells what happens, and never speaks for itself.

It tells pairs of a kind and a value. First "chosen" and a Choice, or "refused" and an error, or "failed" and why. For
each job then "step" and its name and "outcome" and an Outcome, as they come, and at last "done", or "broken" and why,
after which it ends. "log" and a record may come at any time.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from gpuvis.backends.base import Backend, Device
from gpuvis.errors import GpuvisError
from gpuvis.jobs import stages
from gpuvis.jobs.job import Job
from gpuvis.jobs.outcome import failure
from gpuvis.signals import STOPS, Stopped, stop
from gpuvis.timing import Steps

Choose = Callable[[str], tuple[Backend, str]]
Tell = Callable[[str, Any], None]

GRACE = 10.0  # seconds to unwind; a call into CUDA cannot be interrupted


@dataclass(frozen=True)
class Choice:
    """What a child works on: the name of the backend, why it is this one, and its device."""

    name: str
    reason: str
    device: Device


def serve(pipe: Connection, choose: Choose, name: str, level: int) -> None:
    """Be the child: choose a backend, and do jobs until the parent lets go of the pipe."""
    try:
        try:
            _serve(pipe, choose, name, level)
        finally:  # a stop can come twice: from the terminal's process group, and as the parent lets go
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except Stopped:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _serve(pipe: Connection, choose: Choose, name: str, level: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes at once; the parent decides
    signal.signal(signal.SIGTERM, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    with suppress(OSError):
        os.dup2(2, 1)  # for libraries that chatter: stdout is for paths
    jobs: SimpleQueue[tuple[Job, str]] = SimpleQueue()
    threading.Thread(target=_follow, args=(pipe, jobs), daemon=True).start()
    tell = _teller(pipe)
    logger = logging.getLogger("gpuvis")
    logger.addHandler(_Forward(tell))
    logger.setLevel(level)
    backend = _chosen(choose, name, tell)
    while backend and _work(*jobs.get(), backend, tell):
        pass


def _follow(pipe: Connection, jobs: SimpleQueue[tuple[Job, str]]) -> None:
    """Take in jobs. When the parent lets go or is gone, stop the main thread; if it is deaf to that, the process."""
    with suppress(EOFError, OSError):
        while True:
            jobs.put(pipe.recv())
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os.kill(os.getpid(), signal.SIGKILL)


def _teller(pipe: Connection) -> Tell:
    lock = threading.Lock()

    def tell(kind: str, value: Any) -> None:
        with lock, suppress(OSError):  # the parent has let go, so a stop is on its way
            pipe.send((kind, value))

    return tell


class _Forward(QueueHandler):
    def __init__(self, tell: Tell) -> None:
        super().__init__(queue=None)  # type: ignore[arg-type]
        self._tell = tell

    def enqueue(self, record: logging.LogRecord) -> None:
        self._tell("log", record)


def _chosen(choose: Choose, name: str, tell: Tell) -> Backend | None:
    try:
        backend, reason = choose(name)
        tell("chosen", Choice(backend.name, reason, backend.describe()))
    except GpuvisError as error:
        tell("refused", error)
    except Exception as error:  # noqa: BLE001  as if it had crashed: it speaks against the GPU, not against the batch
        tell("failed", f"the GPU was tried and failed: {_line(error)}")
    else:
        return backend
    return None


def _work(asked: Job, reason: str, backend: Backend, tell: Tell) -> bool:
    """Do a job, and return whether this process can do another."""
    failed = False
    try:
        with closing(stages.run(asked, backend, reason, Steps(partial(tell, "step"), backend.settle))) as outcomes:
            for outcome in outcomes:
                failed = failed or outcome.error is not None
                tell("outcome", outcome)
    except Exception as error:  # noqa: BLE001  whatever is wrong with one folder, the others go on
        failed = True
        tell("outcome", failure(asked.folder, error))
    try:
        if failed:
            backend.settle()
    except Exception as error:  # noqa: BLE001  what a CUDA error leaves behind, no one can mend in this process
        tell("broken", _line(error))
        return False
    tell("done", None)
    return True


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
