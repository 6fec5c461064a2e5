"""A quick backend and a watcher that remembers."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from gpuvis.backends.base import Device, Layout
from gpuvis.backends.cpu import backend as cpu
from gpuvis.backends.cpu.plan import CpuPlan
from gpuvis.jobs.batch import Report
from gpuvis.jobs.job import Decision
from gpuvis.jobs.outcome import Outcome
from gpuvis.settings import MethodName, Tsne, Umap


class FirstColumns:
    """A backend that is a real one in all but its maps: they are the first two columns."""

    name, xp, SAFE, ROUNDING, COMPARED = "cpu", np, cpu.SAFE, cpu.ROUNDING, cpu.COMPARED
    check, load, settle, give_back = map(staticmethod, (cpu.check, cpu.load, cpu.settle, cpu.give_back))
    neighbors, start = map(staticmethod, (cpu.neighbors, cpu.start))
    to_numpy, in_parts, cdist, tally = map(staticmethod, (cpu.to_numpy, cpu.in_parts, cpu.cdist, cpu.tally))
    read_tensor, factorize = map(staticmethod, (cpu.read_tensor, cpu.factorize))

    def __init__(self) -> None:
        self.calls: list[str] = []

    def describe(self) -> Device:
        return Device("cpu", "test", 1, 2**30)

    def plan(self, *args: Any) -> CpuPlan:
        return CpuPlan(1, {}, {}, {})

    def working(self, plan: CpuPlan) -> AbstractContextManager[None]:
        return nullcontext()

    def promise(self, method: MethodName, plan: CpuPlan) -> str:
        return f"the same {method} map"

    def as_array(self, X: Any, scale: float = 1.0) -> np.ndarray:
        return cpu.as_array(X, scale)

    def to_host(self, X: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(X, np.float32)

    def pca(self, X: Any, n_components: int, *how: Any) -> tuple[np.ndarray, float | None]:
        if n_components > 2:  # else it is the map that others are compared with
            self.calls.append("pca")
        return cpu.as_array(X)[:, :n_components], 0.5

    def nearest(self, X: np.ndarray, metric: str, k: int) -> np.ndarray:
        return np.argsort(((X[:, None] - X) ** 2).sum(-1), axis=1, kind="stable")[:, :k]

    def layout(self, method: MethodName, *args: Any) -> Layout:
        made: Layout = getattr(self, method)(*args)
        return made

    def umap(self, X: np.ndarray, graph: None, settings: Umap, seed: int) -> Layout:
        self.calls.append("umap")
        return Layout(X[:, :2], [])

    def tsne(self, X: np.ndarray, graph: None, settings: Tsne, seed: int) -> Layout:
        self.calls.append("tsne")
        return Layout(X[:, 1::-1], ["for the test"])


class Scaled(FirstColumns):
    """Every seed has its own map."""

    def umap(self, X: np.ndarray, graph: None, settings: Umap, seed: int) -> Layout:
        return Layout(X[:, :2] * seed, [])


class Log:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.folders: list[Path] = []
        self.steps: list[str] = []
        self.outcomes: list[Outcome] = []

    def begin(self, decisions: list[Decision], backend: str) -> None:
        self.decisions = decisions

    def folder(self, number: int, folder: Path) -> None:
        self.folders.append(folder)

    def step(self, name: str) -> None:
        self.steps.append(name)

    def outcome(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


def results(report: Report) -> list[tuple[str, str | None, str]]:
    return [(outcome.folder.name, outcome.method, outcome.result) for outcome in report.outcomes]
