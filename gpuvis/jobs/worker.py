"""Run folders in one child process, as on a GPU, so that a crash costs one folder and not the batch.

The pipe to the child is also a leash. When the parent closes it or dies, the child unwinds, which removes half-written
files, and ends.

The child sends messages, each a pair of a kind and a value:

- first "ready" with a BackendInfo, "refused" with an error, or "failed" with the reason;
- for each job "step" with the name of each step, and "outcome" with each Outcome, as they come;
- at the end of a job "done", or "broken" with the reason, after which the child ends;
- at any time "log" with a log record.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from logging.handlers import QueueHandler
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from gpuvis.backends import Selection
from gpuvis.backends.base import Backend, Device
from gpuvis.errors import GpuvisError, NoGpuError, OutOfMemoryError
from gpuvis.io.files import locked
from gpuvis.jobs import stages
from gpuvis.jobs.job import Decision, Job
from gpuvis.jobs.outcome import Outcome, failure
from gpuvis.signals import STOPS, Stopped, stop
from gpuvis.timing import StepTimer

logger = logging.getLogger(__name__)
Choose = Callable[[str], tuple[Backend, str]]
Send = Callable[[str, Any], None]

START = 600.0  # seconds for the libraries to load, and for the GPU to answer
GRACE = 10.0  # seconds to unwind; a call into CUDA cannot be interrupted


class _ChildLostError(Exception):
    """The child is gone. `advice`: what the user can do; `error_type`: the error that reports it."""

    def __init__(self, reason: str, advice: str, error_type: type[GpuvisError] = GpuvisError) -> None:
        super().__init__(reason)
        self.advice, self.error_type = advice, error_type


class InProcess:
    """Do jobs in this process, through the same methods as a Worker."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection

    def backend_info(self) -> BackendInfo:
        """Describe the backend."""
        backend, reason = self.selection
        return BackendInfo(backend.name, reason, backend.describe())

    def run(self, decision: Decision, on_step: Callable[[str], None]) -> Generator[Outcome]:
        """Do a job, and yield the outcome of each map as soon as it is saved."""
        return stages.run(decision, self.selection, StepTimer(on_step, self.selection.backend.settle))

    def close(self) -> None:
        """Do nothing: there is no child to end."""


class Worker:
    """A child process that does jobs. It is replaced when it is lost. It starts at once, and chooses its backend.

    Parameters
    ----------
    name : {"auto", "gpu", "cpu"}
        The user's setting.
    choose : callable
        Returns the backend and the reason for a name. The child calls it, so it must be picklable.
    timeout : float, optional
        Longest silence during a job, in seconds.
    """

    def __init__(self, name: str, choose: Choose, timeout: float | None = None) -> None:
        self._name, self._choose, self.timeout = name, choose, timeout
        self._info: BackendInfo | None = None
        self._start()

    def backend_info(self) -> BackendInfo:
        """Wait until the child has chosen its backend, and describe it.

        Raises
        ------
        NoGpuError
            "gpu" was requested and cannot be used.
        """
        if self._info is None:
            try:
                self._info = self._receive_info()
            except NoGpuError as error:
                if self._name != "auto":
                    raise
                self._replace("cpu")
                self._info = replace(self._receive_info(), reason=f"no GPU can be used: {error}")
        return self._info

    def run(self, decision: Decision, on_step: Callable[[str], None]) -> Generator[Outcome]:
        """Do a job, and yield the outcome of each map as soon as it is saved, or lost with the child."""
        job = decision.job
        reported: list[str | None] = []
        step, info = "start", self.backend_info()
        try:
            if self._pipe.closed or not self._process.is_alive():
                self._replace(info.name)  # if the GPU fails now, the job fails: it does not move to the CPU
                self._receive_info()
            self._send(decision, info.reason)
            for kind, value in self._messages(self.timeout):
                if kind == "step":
                    step = value
                    on_step(step)
                elif kind == "outcome":
                    reported.append(value.method)
                    yield value
                else:
                    if kind == "broken":
                        logger.info("%s: the device is lost to this process, and gets another: %s", job.folder, value)
                        self._end(GRACE)
                    return
        except NoGpuError as error:
            yield failure(job.folder, NoGpuError(f"{job.folder}: {error}"))
        except _ChildLostError as lost:
            sweep_after(job)
            loss = lost.error_type(f"{job.folder}: step {step} was cut short: its process {lost}; {lost.advice}")
            missing = [method for method in job.methods if method not in reported] if reported else [None]
            for method in [] if None in reported else missing:
                yield failure(job.folder, loss, method)

    def close(self) -> None:
        """End the child: at once if it had no job yet, else with time to unwind, unless interrupted again."""
        with suppress(KeyboardInterrupt):
            self._end(self._grace)
        self._end(0)

    def _start(self) -> None:
        context = get_context("spawn")  # CUDA does not survive a fork
        pipe, child_pipe = context.Pipe()
        level = logging.getLogger("gpuvis").getEffectiveLevel()
        process = context.Process(target=serve, args=(child_pipe, self._choose, self._name, level))
        resource_tracker.ensure_running()  # before signals are blocked, since it unblocks them
        blocked_before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # the child unblocks them when it is ready
        try:
            process.start()
            self._pipe, self._process, self._grace = pipe, process, 0.0
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked_before)
            child_pipe.close()

    def _replace(self, name: str) -> None:
        self._end(0)
        self._name = name
        self._start()

    def _end(self, grace: float) -> int | None:
        """Close the pipe, kill the child if it does not end in time, and return its exit code if it ended by itself."""
        self._pipe.close()
        self._process.join(grace)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            self._process.join(GRACE)
        return code

    def _receive_info(self) -> BackendInfo:
        try:
            kind, value = next(self._messages(START))
        except _ChildLostError as lost:
            kind, value = "failed", f"the GPU was tried in a process of its own, which {lost}"
        if kind == "refused":
            raise value
        if kind == "failed":
            advice = "" if self._name == "auto" else "; use --backend cpu or auto to work on the CPU"
            raise NoGpuError(f"{value}{advice}")
        info: BackendInfo = value
        return info

    def _send(self, decision: Decision, reason: str) -> None:
        self._grace = GRACE
        with suppress(OSError):  # the child just died, which `_messages` will notice
            self._pipe.send((decision, reason))

    def _messages(self, timeout: float | None) -> Iterator[tuple[str, Any]]:
        """Yield the child's messages as they come. Its log records go to the handlers of this process."""
        while True:
            if not self._message_within(timeout):
                self._end(0)
                raise _ChildLostError(f"said nothing for {timeout:g} s and was ended", "give it longer with --timeout")
            try:
                kind, value = self._pipe.recv()
            except (EOFError, OSError):
                raise _death(self._end(GRACE)) from None
            if kind == "log":
                logging.getLogger(value.name).handle(value)
            else:
                yield kind, value

    def _message_within(self, seconds: float | None) -> bool:
        while seconds is not None and seconds > 1:  # wait second by second: if the machine sleeps, only one counts
            if self._pipe.poll(1):
                return True
            seconds -= 1
        return self._pipe.poll(seconds)


def _death(code: int | None) -> _ChildLostError:
    if code == -signal.SIGKILL:
        reason = "was killed (SIGKILL), probably by the kernel because memory ran out"
        return _ChildLostError(reason, "use a machine with more", OutOfMemoryError)
    if code is not None and code < 0:
        names = {number.value: number.name for number in signal.Signals}
        reason = f"died of {names.get(-code, f'signal {-code}')}"
        if code == -signal.SIGBUS:
            reason += ": a file was cut, or could not be read on"
            return _ChildLostError(reason, "write the cache again, or run again")
    else:
        reason = "closed its pipe" if code is None else f"ended with code {code}"
    return _ChildLostError(reason, "run it again, or elsewhere with --backend")


def sweep_after(job: Job, patience: float = 0.0) -> None:
    """Remove the half-written files and the lock file of a child that died; its lock ended with it.

    `patience`: seconds to wait for the lock, if another one may be about to end.
    """
    with suppress(GpuvisError, OSError), locked(job.out, patience):
        job.sweep()


@dataclass(frozen=True)
class BackendInfo:
    """A backend: its name, why it was chosen, and its device."""

    name: str
    reason: str
    device: Device


def serve(pipe: Connection, choose: Choose, name: str, level: int) -> None:
    """Run in the child: choose a backend, and do jobs until the parent closes the pipe."""
    try:
        try:
            _serve(pipe, choose, name, level)
        finally:  # SIGTERM can come twice: from the terminal's process group, and as the parent closes the pipe
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except Stopped:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _serve(pipe: Connection, choose: Choose, name: str, level: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes at once; the parent decides
    signal.signal(signal.SIGTERM, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    with suppress(OSError):
        os.dup2(2, 1)  # libraries may print; stdout is for paths only
    jobs: SimpleQueue[tuple[Decision, str]] = SimpleQueue()
    threading.Thread(target=_receive_jobs, args=(pipe, jobs), daemon=True).start()
    send = _sender(pipe)
    logger = logging.getLogger("gpuvis")
    logger.addHandler(_LogToParent(send))
    logger.setLevel(level)
    backend = _choose_backend(choose, name, send)
    while backend and _work(*jobs.get(), backend, send):
        pass


def _receive_jobs(pipe: Connection, jobs: SimpleQueue[tuple[Decision, str]]) -> None:
    """Queue jobs as they come. When the pipe closes, stop the main thread; if it does not react, kill the process."""
    with suppress(EOFError, OSError):
        while True:
            jobs.put(pipe.recv())
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os.kill(os.getpid(), signal.SIGKILL)


def _sender(pipe: Connection) -> Send:
    lock = threading.Lock()

    def send(kind: str, value: Any) -> None:
        with lock, suppress(OSError):  # if the parent has closed the pipe, the main thread will be stopped
            pipe.send((kind, value))

    return send


class _LogToParent(QueueHandler):
    def __init__(self, send: Send) -> None:
        super().__init__(queue=None)  # type: ignore[arg-type]
        self._send = send

    def enqueue(self, record: logging.LogRecord) -> None:
        self._send("log", record)


def _choose_backend(choose: Choose, name: str, send: Send) -> Backend | None:
    try:
        backend, reason = choose(name)
        send("ready", BackendInfo(backend.name, reason, backend.describe()))
    except GpuvisError as error:
        send("refused", error)
    except Exception as error:  # noqa: BLE001  treated like a crash: the GPU cannot be used, but the CPU may
        send("failed", f"the GPU was tried and failed: {_line(error)}")
    else:
        return backend
    return None


def _work(decision: Decision, reason: str, backend: Backend, send: Send) -> bool:
    """Do a job, and return whether this process can do another."""
    failed = False
    try:
        with closing(
            stages.run(decision, Selection(backend, reason), StepTimer(partial(send, "step"), backend.settle))
        ) as outcomes:
            for outcome in outcomes:
                failed = failed or outcome.error is not None
                send("outcome", outcome)
    except Exception as error:  # noqa: BLE001  an error in one folder must not stop the others
        failed = True
        send("outcome", failure(decision.job.folder, error))
    try:
        if failed:
            backend.settle()
    except Exception as error:  # noqa: BLE001  after some CUDA errors a process cannot use the GPU again
        send("broken", _line(error))
        return False
    send("done", None)
    return True


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
