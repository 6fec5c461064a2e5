"""Get the workers of a Dask cluster: start processes on this machine, or connect to what somebody else has started."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import active_children, resource_tracker
from typing import TYPE_CHECKING, Any

from gpuvis import machine
from gpuvis.errors import GpuvisError, SettingsError
from gpuvis.jobs.remote import Terms
from gpuvis.signals import stops_deferred

if TYPE_CHECKING:
    from distributed import Client

MOST_DEATHS = 3  # of workers that do a folder, which is then given up
RESTART, END = 10, 15  # seconds that a worker is given to start again, and all of them to end
CONNECT = 30  # seconds in which a scheduler has to answer, and to have a worker


@contextmanager
def local(workers: int | None, terms: Terms) -> Iterator[Client]:
    """Start workers on this machine, and end them with the block.

    Parameters
    ----------
    workers : int or None
        Number of processes. None: one for each GPU; where none is used, one for each processor, as far as there are
        folders.
    terms : Terms
        How they are to work.

    Raises
    ------
    SettingsError
        Dask is not installed, or there are fewer GPUs than workers.
    """
    with _dask_needed():
        import cryptography  # noqa: F401  Dask loads it later, for the keys
        import dask
        import distributed  # noqa: F401
    settings = {
        "distributed.worker.daemon": False,
        "distributed.scheduler.allowed-failures": MOST_DEATHS - 1,
        "distributed.scheduler.worker-saturation": 1.0,  # no task waits at a worker, to be blamed when that dies
        # Dask would have workers give memory back at each chance, which takes as long as the work itself.
        "distributed.nanny.pre-spawn-environ": {},
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.worker.profile.enabled": False,
    }
    make = partial(_local_cluster, workers, terms)
    with dask.config.set(settings), _quiet(), started(make) as client:
        yield client


@contextmanager
def started(make: Callable[[], Any]) -> Iterator[Client]:
    """Make a cluster of processes on this machine, yield its client, and end both in limited time."""
    from distributed import Client

    before = set(active_children())
    with stops_deferred(), _interrupts_blocked():  # Ctrl-C reaches all processes; this one decides
        cluster = make()
    client = Client(cluster)
    try:
        yield client
    finally:
        with stops_deferred():  # a second Ctrl-C must not leave workers behind
            _end(client, cluster)
            for process in set(active_children()) - before:
                process.kill()


def _end(client: Client, cluster: Any) -> None:
    """End a cluster, in limited time: Dask may wait for ever for a worker that starts again just then."""
    end = time.monotonic() + RESTART
    with suppress(OSError):
        while len(client.scheduler_info(n_workers=-1)["workers"]) < len(cluster.workers) and time.monotonic() < end:
            time.sleep(0.5)  # also so that the process that watches over the new one has heard of it
    with suppress(TimeoutError, OSError):
        client.close()
        cluster.close(timeout=END)


def _local_cluster(workers: int | None, terms: Terms) -> Any:
    options: dict[str, Any] = {
        "n_workers": workers,
        "threads_per_worker": 1,
        "host": "127.0.0.1",
        "dashboard_address": None,
        "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"},  # any free port: its server starts all the same
        "memory_limit": 0,  # gpuvis knows what it needs; Dask would stop workers that take more than their share
        "security": True,  # keys of this run alone: else any user of the machine could have the workers run code
        "silence_logs": logging.CRITICAL,
    }
    if terms.may_use_gpu:
        with _dask_needed():
            from dask_cuda import LocalCUDACluster as Cluster
    else:
        from distributed import LocalCluster as Cluster

        most = machine.cpu_threads()
        options |= {"n_workers": workers or min(most, terms.folders or most), "processes": True}
    try:
        return Cluster(**options)
    except ValueError as error:
        if workers is None:
            raise
        raise SettingsError(
            f"no {workers} workers with a GPU each can be started: {error}; use --workers auto"
        ) from None
    except RuntimeError as error:  # one died at once
        raise GpuvisError(f"the workers did not start: {error} Memory may have run out: use fewer workers") from None


@contextmanager
def connected(scheduler: str, terms: Terms) -> Iterator[Client]:
    """Connect to a scheduler that somebody has started.

    Parameters
    ----------
    scheduler : str
        Its address, such as tcp://10.0.0.1:8786, or the file that it has written.
    terms : Terms
        Its workers learn them with each job.

    Raises
    ------
    SettingsError
        Dask is not installed.
    GpuvisError
        No scheduler answers there.
    """
    with _dask_needed():
        from distributed import Client
    is_file = os.path.isfile(scheduler)  # noqa: PTH113  Path.is_file raises
    if not is_file and ":" not in scheduler:
        advice = "name the file that dask scheduler --scheduler-file has written, or an address as tcp://10.0.0.1:8786"
        raise GpuvisError(f"{scheduler}: there is no such file; {advice}")
    try:
        client = Client(**{"scheduler_file" if is_file else "address": scheduler}, timeout=CONNECT)
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise GpuvisError(f"no scheduler answers at {scheduler!r} ({reason}); start one with dask scheduler") from None
    with _quiet(), client:
        yield client


@contextmanager
def _dask_needed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        extra = "cu13" if error.name == "dask_cuda" else "dask"
        problem = f"--workers and --scheduler need {error.name}, which is not installed"
        raise SettingsError(f"{problem}; pip install 'gpuvis[{extra}]'") from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask from logging errors that end the run anyway, with a line of ours."""
    dask_logger = logging.getLogger("distributed.client")
    before = dask_logger.level
    dask_logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        dask_logger.setLevel(before)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C in this thread, and for good in all threads and processes that are started in the block."""
    resource_tracker.ensure_running()  # before they are blocked, since it unblocks them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
