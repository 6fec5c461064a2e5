"""What crosses the bus, what lies on the device, and what happens where it does not fit."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
import torch
from measures import clusters, digits, recall, true_neighbors, trust

import gpuvis
from gpuvis.backends.gpu.plan import GraphPlan
from gpuvis.errors import OutOfMemoryError
from gpuvis.settings import Settings, Tsne, Umap

pytestmark = pytest.mark.gpu
MIB = 1 << 20
SLACK = 64 * MIB  # of handles, workspaces and kernels, which no plan counts
KEPT = 8 * MIB  # of what a library holds for its next call


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_cupy_looks_at_the_memory_of_torch(backend, cp, monkeypatch, dtype) -> None:
    handed, from_dlpack = [], cp.from_dlpack
    monkeypatch.setattr(cp, "from_dlpack", lambda tensor: handed.append(tensor.data_ptr()) or from_dlpack(tensor))
    array = backend.as_array(torch.from_numpy(digits()).to(dtype))
    assert handed == [array.data.ptr]
    np.testing.assert_array_equal(backend.to_host(array), digits())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_crosses_as_half(backend, dtype) -> None:
    """Beside the matrix in float32 torch has held it in its own type: so that is how it came."""
    tensor = torch.from_numpy(digits(1024)).to(dtype)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    array = backend.as_array(tensor)
    assert torch.cuda.max_memory_allocated() - before == tensor.numel() * (2 + 4)
    assert torch.cuda.memory_allocated() - before == tensor.numel() * 4
    assert array.data.ptr


@pytest.mark.real_gpu("the double does not know what RAPIDS allocates inside")
@pytest.mark.parametrize("pca_dim", [None, 50])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("kind", ["exact", "nn_descent"])
def test_each_step_stays_within_its_plan(pca_dim, dtype, kind, rows, request, measured) -> None:
    if kind == "nn_descent":
        request.getfixturevalue("approximate")
    X = torch.from_numpy(clusters(rows(100_000), 512) * 3).to(dtype)  # × 3: values above 1 are scaled
    for settings in (Settings(pca_dim=pca_dim), Settings(umap=None, tsne=Tsne(), pca_dim=pca_dim)):
        (done,) = gpuvis.reduce(X, settings, backend="gpu").values()
        assert {graph.kind for graph in done.plan.graphs.values()} == {kind}
        over = {}
        for name, taken in done.steps.items():
            planned, peak = done.plan.steps[name].device, taken["peak_device_bytes"]
            measured(
                f"{done.method} {dtype} pca {pca_dim} {kind}: {name} {peak / MIB:,.0f} of {planned / MIB:,.0f} MiB"
            )
            if peak > planned + SLACK:
                over[name] = peak / planned
        assert over == {}


def test_every_step_tells_its_peak(backend) -> None:
    X = torch.from_numpy(digits(300))
    done = gpuvis.reduce(X, Settings(tsne=Tsne(perplexity=20), pca_dim=20), backend="gpu")
    for reduction in done.values():
        for name, taken in reduction.steps.items():
            assert taken["peak_device_bytes"] > 0, name


def test_torch_keeps_nothing_while_a_map_is_laid_out(backend, monkeypatch, rows) -> None:
    """What torch has freed but keeps in its pool, RAPIDS cannot have."""
    kept, umap = [], backend.LAYOUTS["umap"]

    def watched(*args):
        kept.append(torch.cuda.memory_reserved())
        return umap(*args)

    monkeypatch.setitem(backend.LAYOUTS, "umap", watched)
    gpuvis.reduce(torch.from_numpy(clusters(rows(20_000), 512)).half(), Settings(), backend="gpu")
    assert kept[0] <= KEPT  # the matrix in half precision has 20 MB


def test_memory_is_given_back_between_folders(backend, cp, rows) -> None:
    def free_after(X: np.ndarray) -> int:
        gpuvis.reduce(torch.from_numpy(X), Settings(umap=Umap(n_neighbors=5)), backend="gpu")
        backend.give_back()
        assert torch.cuda.memory_reserved() <= KEPT
        backend.settle()
        assert backend.settle()["peak_device_bytes"] <= KEPT  # nothing is held, and nothing was done in between
        return int(cp.cuda.runtime.memGetInfo()[0])

    before = free_after(digits(300))  # the first map loads kernels, which stay
    pool = import_module("gpuvis.backends.gpu.memory").KEPT
    assert free_after(clusters(rows(300_000), 256)) >= before - pool - SLACK


def test_out_of_core_is_like_in_core(backend, room, approximate, rows) -> None:
    X = clusters(rows(10_000), 512)
    in_core = gpuvis.reduce(torch.from_numpy(X), Settings(), backend="gpu")["umap"]
    assert (in_core.plan.on_device, in_core.plan.graphs["umap"].kind) == (True, "nn_descent")
    room(4300 * len(X))
    out_of_core = gpuvis.reduce(torch.from_numpy(X).half(), Settings(), backend="gpu")["umap"]
    assert (out_of_core.plan.on_device, out_of_core.plan.graphs["umap"].kind) == (False, "batched")
    assert abs(trust(X, out_of_core.coords) - trust(X, in_core.coords)) <= 0.05


@pytest.mark.parametrize("kind", ["exact", "nn_descent", "batched"])
def test_graphs_find_the_true_neighbours(backend, rows, kind, measured) -> None:
    X = clusters(rows(3000), 128)
    plan = GraphPlan("euclidean", 30, kind, 4 if kind == "batched" else 1)
    graph = backend.neighbors(X if kind == "batched" else backend.as_array(X), plan)
    indices = import_module("cupy").asnumpy(graph.indices)
    assert (indices[:, 0] == np.arange(len(X))).all()
    found = recall(indices[:, 1:16], true_neighbors(X, 16)[:, 1:])
    measured(f"recall@15 of {kind}: {found:.4f}")
    assert found >= {"exact": 0.999, "nn_descent": 0.94, "batched": 0.9}[kind]


def test_what_cannot_fit_is_refused_before_the_work(backend, room) -> None:
    room(MIB)
    with pytest.raises(OutOfMemoryError, match=r"needs .* on the device.*; there are .* on the device"):
        gpuvis.reduce(torch.from_numpy(clusters(5000, 64)), Settings(), backend="gpu")


LIMITED = """
from gpuvis.backends import choose
backend, _ = choose("gpu", memory_limit=256 << 20)
import cupy, gpuvis, torch
from gpuvis.backends.gpu import memory as gpu_memory
from measures import digits
settings = gpuvis.Settings(umap=None, tsne=gpuvis.Tsne(perplexity=10))
print(gpu_memory.free() <= 256 << 20)
for make in (lambda: cupy.empty(300 << 20, cupy.uint8), lambda: torch.empty(300 << 20, device="cuda")):
    try:
        make()
    except (MemoryError, RuntimeError) as error:
        print(type(error).__name__)
for free in (gpu_memory.free, lambda: 1 << 40):  # the plan refuses; or is made to believe that there is room
    gpu_memory.free = free
    try:
        gpuvis.reduce(torch.zeros(140_000, 512), settings, backend="gpu")
    except gpuvis.OutOfMemoryError as error:
        print(error)
backend.give_back()
print(gpuvis.reduce(torch.from_numpy(digits(200)), settings, backend="gpu")["tsne"].coords.shape)
"""


def test_a_limit_is_respected_and_out_of_memory_is_survived(child) -> None:
    limited, cupy, torch_, refused, failed, then = child(LIMITED).splitlines()
    assert (limited, cupy, torch_) == ("True", "MemoryError", "OutOfMemoryError")
    assert "there are 256 MiB on the device" in refused
    assert "of 140,000 × 512 does not fit in memory (" in failed
    assert "on the device were planned" in failed
    assert then == "(200, 2)"


def test_few_rows_have_an_exact_graph_where_little_memory_is_free(backend, monkeypatch) -> None:
    monkeypatch.setattr("gpuvis.backends.gpu.memory.free", lambda: 256 * MIB)
    assert backend.plan(600, 64, 4, Settings()).graphs["umap"].kind == "exact"
