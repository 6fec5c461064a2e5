"""Choose where jobs are done: in this process, or in a child."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from functools import partial

from gpuvis.backends import NO_GPU, Selection, choose, obstacle, too_few
from gpuvis.io.pt import stays_mapped
from gpuvis.io.schema import EMBEDDINGS
from gpuvis.jobs.job import Decision
from gpuvis.jobs.worker import InProcess, Worker

logger = logging.getLogger(__name__)


def depends_on_rows(name: str) -> bool:
    """Tell whether the number of rows decides between GPU and CPU."""
    return name == "auto" and not obstacle("auto")


def start(
    name: str, timeout: float | None = None, memory_limit: int | None = None, rows: int | None = None
) -> InProcess | Worker:
    """Start a child if a GPU is likely, or if steps have a time limit; else work in this process.

    Parameters
    ----------
    name : {"auto", "gpu", "cpu"}
        The user's setting.
    timeout : float, optional
        Longest silence during a job, in seconds.
    memory_limit : int, optional
        Most bytes of the GPU's memory to use.
    rows : int, optional
        Number of rows of all matrices; see `choose`.
    """
    few_rows = too_few(name, rows)
    choose_backend = partial(_on_the_cpu, choose, few_rows) if few_rows else choose
    in_process = InProcess(choose_backend(name)) if few_rows or obstacle(name) else None
    if in_process and timeout is None:
        return in_process
    if memory_limit and not few_rows:
        choose_backend = partial(choose, memory_limit=memory_limit)
    return Worker("cpu" if few_rows else name, choose_backend, timeout)


def _on_the_cpu(choose: Callable[[str], Selection], reason: str, name: str) -> Selection:
    return Selection(choose("cpu").backend, reason)


def ready(worker: InProcess | Worker) -> tuple[InProcess | Worker, str]:
    """Wait until a worker has its backend, and say which. If a child uses only the CPU, return this process instead."""
    info = worker.backend_info()
    if info.reason.startswith(NO_GPU) and not obstacle("auto"):  # RAPIDS is installed, so the user expects the GPU
        logger.warning("%s", info.reason)
    else:
        logger.info("backend: %s, because %s", info.name, info.reason)
    if isinstance(worker, Worker) and info.name == "cpu" and worker.timeout is None:
        worker.close()
        worker = InProcess(Selection(choose("cpu").backend, info.reason))
    return worker, info.name


def protected(worker: InProcess | Worker, decisions: Collection[Decision]) -> InProcess | Worker:
    """Return a child instead of this process if a file stays mapped: were it cut, the process would die of SIGBUS."""
    if len(decisions) < 2 or isinstance(worker, Worker):
        return worker
    if not any(stays_mapped(decision.job.folder / EMBEDDINGS) for decision in decisions):
        return worker
    return Worker("cpu", partial(_on_the_cpu, choose, worker.selection.reason))
