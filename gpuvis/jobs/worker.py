"""Run folders in a child process (on a GPU; one child), so that a crash costs one folder and not the batch.

The pipe to the child is a leash as well: when the parent closes it or is gone, the child unwinds, which removes what is
half written, and ends.

The child sends pairs of a kind and a value. First "chosen" and a Choice, or "refused" and an error, or "failed" and the
reason. Then for each job "step" and its name and "outcome" and an Outcome as they come, and at last "done", or "broken"
and the reason, after which it ends. "log" and a log record may come at any time.
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

START = 600.0  # seconds that the libraries may take to load, and the GPU to answer
logger = logging.getLogger(__name__)
Choose = Callable[[str], tuple[Backend, str]]
Tell = Callable[[str, Any], None]

GRACE = 10.0  # seconds to unwind; a call into CUDA cannot be interrupted


class _Lost(Exception):  # noqa: N818  users get to see it as a GpuvisError
    """The child is gone: how, what to do, and as which error to tell it."""

    def __init__(self, how: str, advice: str, kind: type[GpuvisError] = GpuvisError) -> None:
        super().__init__(how)
        self.advice, self.kind = advice, kind


class Here:
    """Work in this process, as a Worker does it in a child."""

    def __init__(self, chosen: Selection) -> None:
        self.chosen = chosen

    def choice(self) -> Choice:
        """Return what the work is done on."""
        backend, reason = self.chosen
        return Choice(backend.name, reason, backend.describe())

    def run(self, decision: Decision, watch: Callable[[str], None]) -> Generator[Outcome]:
        """Do a job, and give the outcome of each map as soon as it is saved."""
        return stages.run(decision, self.chosen, StepTimer(watch, self.chosen.backend.settle))

    def close(self) -> None:
        """Nothing is to be ended."""


class Worker:
    """A child that does jobs, and is replaced when it is lost. It starts at once, to choose its backend meanwhile.

    Parameters
    ----------
    name : {"auto", "gpu", "cpu"}
        What the user asked for.
    choose : callable
        Returns the backend and the reason for a name. It is called in the child, so it has to be picklable.
    timeout : float, optional
        Longest silence during a job, in seconds.
    """

    def __init__(self, name: str, choose: Choose, timeout: float | None = None) -> None:
        self._name, self._choose, self._timeout = name, choose, timeout
        self._choice: Choice | None = None
        self._start()

    def choice(self) -> Choice:
        """Return what the work is done on, as soon as that is known.

        Raises
        ------
        NoGpuError
            "gpu" was asked for and cannot be used.
        """
        if self._choice is None:
            try:
                self._choice = self._chosen()
            except NoGpuError as error:
                if self._name != "auto":
                    raise
                self._replace("cpu")
                self._choice = replace(self._chosen(), reason=f"no GPU can be used: {error}")
        return self._choice

    def run(self, decision: Decision, watch: Callable[[str], None]) -> Generator[Outcome]:
        """Do a job, and give the outcome of each map as soon as it is saved; of those that are lost, too."""
        job = decision.job
        reported: list[str | None] = []
        step, choice = "start", self.choice()
        try:
            if self._pipe.closed or not self._process.is_alive():
                self._replace(choice.name)  # a GPU that fails is never turned into a run on the CPU
                self._chosen()
            self._send(decision, choice.reason)
            for kind, value in self._events(self._timeout):
                if kind == "step":
                    step = value
                    watch(step)
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
        except _Lost as lost:
            _sweep(job)
            cut = lost.kind(f"{job.folder}: step {step} was cut short: its process {lost}; {lost.advice}")
            missing = [method for method in job.methods if method not in reported] if reported else [None]
            for method in [] if None in reported else missing:
                yield failure(job.folder, cut, method)

    def close(self) -> None:
        """End the child: at once if it had nothing to do yet, else with time to unwind unless interrupted again."""
        with suppress(KeyboardInterrupt):
            self._end(self._grace)
        self._end(0)

    def _start(self) -> None:
        context = get_context("spawn")  # CUDA does not survive a fork
        pipe, theirs = context.Pipe()
        level = logging.getLogger("gpuvis").getEffectiveLevel()
        process = context.Process(target=serve, args=(theirs, self._choose, self._name, level))
        resource_tracker.ensure_running()  # before the next line, which it would undo
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # the child lets them in when it is ready
        try:
            process.start()
            self._pipe, self._process, self._grace = pipe, process, 0.0
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()

    def _replace(self, name: str) -> None:
        self._end(0)
        self._name = name
        self._start()

    def _end(self, grace: float) -> int | None:
        """Let the child go, kill it if it stays, and return its exit code if it ended by itself."""
        self._pipe.close()
        self._process.join(grace)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            self._process.join(GRACE)
        return code

    def _chosen(self) -> Choice:
        try:
            kind, value = next(self._events(START))
        except _Lost as lost:
            kind, value = "failed", f"the GPU was tried in a process of its own, which {lost}"
        if kind == "refused":
            raise value
        if kind == "failed":
            advice = "" if self._name == "auto" else "; use --backend cpu or auto to work on the CPU"
            raise NoGpuError(f"{value}{advice}")
        choice: Choice = value
        return choice

    def _send(self, decision: Decision, reason: str) -> None:
        self._grace = GRACE
        with suppress(OSError):  # it died just now, which is noticed next
            self._pipe.send((decision, reason))

    def _events(self, timeout: float | None) -> Iterator[tuple[str, Any]]:
        """Wait for what the child tells. Its log goes to the handlers here."""
        while True:
            if not self._heard_within(timeout):
                self._end(0)
                raise _Lost(f"said nothing for {timeout:g} s and was ended", "give it longer with --timeout")
            try:
                kind, value = self._pipe.recv()
            except (EOFError, OSError):
                raise _death(self._end(GRACE)) from None
            if kind == "log":
                logging.getLogger(value.name).handle(value)
            else:
                yield kind, value

    def _heard_within(self, seconds: float | None) -> bool:
        while seconds is not None and seconds > 1:  # bit by bit: of the time that all is suspended, one bit counts
            if self._pipe.poll(1):
                return True
            seconds -= 1
        return self._pipe.poll(seconds)


def _death(code: int | None) -> _Lost:
    if code == -signal.SIGKILL:
        how = "was killed (SIGKILL), probably by the kernel because memory ran out"
        return _Lost(how, "use a machine with more", OutOfMemoryError)
    if code is not None and code < 0:
        names = {number.value: number.name for number in signal.Signals}
        how = f"died of {names.get(-code, f'signal {-code}')}"
        if code == -signal.SIGBUS:
            return _Lost(f"{how}: a file was cut, or could not be read on", "write the cache again, or run again")
    else:
        how = "let go of its pipe" if code is None else f"ended with code {code}"
    return _Lost(how, "run it again, or elsewhere with --backend")


def _sweep(job: Job) -> None:
    """Remove what a child that died had begun to write, and its lock file; the lock itself went with it."""
    with suppress(GpuvisError, OSError), locked(job.out):
        job.sweep()


@dataclass(frozen=True)
class Choice:
    """The backend of a child: its name, why it was chosen, and its device."""

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
    jobs: SimpleQueue[tuple[Decision, str]] = SimpleQueue()
    threading.Thread(target=_follow, args=(pipe, jobs), daemon=True).start()
    tell = _teller(pipe)
    logger = logging.getLogger("gpuvis")
    logger.addHandler(_Forward(tell))
    logger.setLevel(level)
    backend = _chosen(choose, name, tell)
    while backend and _work(*jobs.get(), backend, tell):
        pass


def _follow(pipe: Connection, jobs: SimpleQueue[tuple[Decision, str]]) -> None:
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


def _work(decision: Decision, reason: str, backend: Backend, tell: Tell) -> bool:
    """Do a job, and return whether this process can do another."""
    failed = False
    try:
        with closing(
            stages.run(decision, Selection(backend, reason), StepTimer(partial(tell, "step"), backend.settle))
        ) as outcomes:
            for outcome in outcomes:
                failed = failed or outcome.error is not None
                tell("outcome", outcome)
    except Exception as error:  # noqa: BLE001  whatever is wrong with one folder, the others go on
        failed = True
        tell("outcome", failure(decision.job.folder, error))
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
