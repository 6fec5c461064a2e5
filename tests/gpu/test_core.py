"""What torch and CuPy alone can show: `make test-gpu-core`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from measures import clusters, digits
from sklearn.decomposition import PCA

from gpuvis import arrays
from gpuvis.backends import neighbor_graph, pca
from gpuvis.backends.gpu import plan
from gpuvis.backends.gpu.memory_model import Bytes
from gpuvis.backends.gpu.plan import Work
from gpuvis.errors import OutOfMemoryError
from gpuvis.settings import Settings, Tsne

pytestmark = pytest.mark.gpu_core
SLACK = 64 << 20  # bytes that the driver may take or give meanwhile


def test_cupy_looks_at_the_memory_of_torch(cp) -> None:
    tensor = torch.arange(600, dtype=torch.float32).reshape(100, 6).cuda()
    array = cp.from_dlpack(tensor)
    assert array.data.ptr == tensor.data_ptr()
    assert (array.shape, array.dtype, array.flags.c_contiguous) == ((100, 6), np.float32, True)
    array[3, 3] = -1
    assert float(tensor[3, 3].cpu()) == -1


def test_the_memory_lives_as_long_as_either_owner(cp) -> None:
    tensor = torch.full((512, 512), 7.0).cuda()
    array, before = cp.from_dlpack(tensor), torch.cuda.memory_allocated()
    del tensor
    assert torch.cuda.memory_allocated() == before
    assert float(array.min()) == 7
    del array
    assert torch.cuda.memory_allocated() == before - 512 * 512 * 4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_crosses_as_half(cp, dtype) -> None:
    tensor = torch.from_numpy(digits(512)).to(dtype)
    before = torch.cuda.memory_allocated()
    moved = tensor.cuda()
    assert torch.cuda.memory_allocated() - before == tensor.numel() * 2
    np.testing.assert_array_equal(cp.asnumpy(cp.from_dlpack(moved.float())), digits(512))


def test_chunks_cross_by_cupy_alone(cp) -> None:
    tensor = torch.from_numpy(digits()).half()
    X = cp.empty(tuple(tensor.shape), cp.float32)
    for start, block in arrays.blocks(tensor, 1 << 14):
        X[start : start + len(block)] = cp.asarray(block.numpy())
    np.testing.assert_array_equal(cp.asnumpy(X), digits())


@pytest.mark.parametrize(("n_components", "offset"), [(2, 0.0), (50, 0.0), (20, 60.0)])
def test_streamed_pca_is_that_of_scikit_learn(cp, n_components, offset) -> None:
    X = digits() / 16 + np.float32(offset)
    blocks = [cp.asarray(block) for _, block in arrays.blocks(X, 1 << 16)]
    assert len(blocks) > 5
    model = pca.fit(iter(blocks), n_components, cp)
    scores = np.concatenate([cp.asnumpy(model.transform(block)) for block in blocks])
    judge = PCA(n_components, svd_solver="full").fit(X.astype(np.float64))
    np.testing.assert_allclose(scores, judge.transform(X.astype(np.float64)), atol=1e-3)
    assert model.variance_kept == pytest.approx(judge.explained_variance_ratio_.sum(), abs=1e-4)


def knn(rows: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a graph with all that can be wrong with one: twins, NaN, rounding below 0, the row itself not first."""
    rng = np.random.default_rng(0)
    indices = np.stack([rng.permutation(rows)[:k] for _ in range(rows)]).astype(np.int64)
    indices[::2, 0] = np.arange(rows)[::2]
    indices[1::4, 3] = np.arange(rows)[1::4]
    distances = np.sort(rng.random((rows, k)).astype(np.float32), axis=1)
    distances[5, 2], distances[6, 0] = np.nan, -1e-7
    return indices, distances


def test_a_graph_is_repaired_as_on_the_host(cp, monkeypatch) -> None:
    monkeypatch.setattr(neighbor_graph, "BLOCK_ROWS", 64)
    indices, distances = knn(300, 20)
    on_gpu = neighbor_graph.repaired(cp.asarray(indices), cp.asarray(distances), cp)
    on_host = neighbor_graph.repaired(indices, distances, np)
    assert (on_host.indices[:, 0] == np.arange(300)).all()
    for k in (7, 20):
        for ours, theirs in zip(on_gpu.nearest(k), on_host.nearest(k), strict=True):
            assert ours.flags.c_contiguous
            np.testing.assert_array_equal(cp.asnumpy(ours), theirs)


def test_distances_for_a_perplexity_are_those_of_the_host(cp) -> None:
    distances = np.sort(np.random.default_rng(0).random((300, 20)).astype(np.float32), axis=1)
    ours = neighbor_graph.for_perplexity(cp.asarray(distances), cp)
    assert (ours.dtype, ours.flags.c_contiguous) == (np.float32, True)
    np.testing.assert_allclose(cp.asnumpy(ours), neighbor_graph.for_perplexity(distances, np), rtol=1e-6)


def test_a_plan_is_made_of_the_memory_that_is_free(cp) -> None:
    free, total = cp.cuda.runtime.memGetInfo()
    assert 0 < free <= total
    settings = Settings(tsne=Tsne(), pca_dim=50)
    planned = plan.plan(Work(10_000, 512, 2, settings, Bytes(free), host_known=False))
    assert planned.pca == "in core"
    assert planned.peak.device < free
    wide = free // (2 * 4 * 512)  # rows of which the device can hold half, but not the copy of them
    assert plan.plan(Work(wide, 512, 2, Settings(pca_dim=8), Bytes(free), host_known=False)).pca == "streamed"
    with pytest.raises(OutOfMemoryError, match="GiB on the device"):
        plan.plan(Work(2_000_000_000, 512, 2, Settings(), Bytes(free), host_known=False))


@pytest.mark.real_gpu("the double allocates on the host")
def test_what_is_given_back_is_free_for_others(cp) -> None:
    def free() -> int:
        cp.get_default_memory_pool().free_all_blocks()
        torch.cuda.empty_cache()
        return int(cp.cuda.runtime.memGetInfo()[0])

    def work() -> None:
        tensor = torch.from_numpy(X).cuda()
        array = cp.from_dlpack(tensor) * 2
        held.append(free())
        del tensor, array

    X, held = clusters(100_000, 512), []
    work()  # loads the kernels, which stay
    before = free()
    work()
    assert held[1] < before - 2 * X.nbytes * 0.9
    assert free() >= before - SLACK


def test_nothing_of_rapids_is_imported(child) -> None:
    code = """
import sys, cupy
from gpuvis import arrays
from gpuvis.backends import pca
from gpuvis.backends import neighbor_graph
from gpuvis.backends.gpu import memory_model, plan
print(sorted({"cuml", "cuvs", "rmm", "cudf"} & set(sys.modules)))
"""
    assert child(code) == "[]"
