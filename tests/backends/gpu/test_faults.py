"""What RAPIDS does with awkward data, as its sources say, and that no map suffers from it. On the double of RAPIDS."""

from __future__ import annotations

import numpy as np
import pytest
import rapids_double
import torch
from measures import clusters, recall, true_neighbors
from rapids_double.fixtures import rapids

import gpuvis
from gpuvis.backends import choose
from gpuvis.backends.gpu.plan import GraphPlan

__all__ = ["rapids"]
KINDS = {"exact": 1, "nn_descent": 1, "batched": 4}


def aimless(metric: str, rows: int = 200, of: int = 9) -> np.ndarray:
    """Return rows of which each ninth has no direction: of zeros for cosine, constant for correlation."""
    X = clusters(rows, 24)
    X[::of] = 0 if metric == "cosine" else 0.25
    return X


def neighbors(
    X: np.ndarray, metric: str, kind: str, k: int = 12, centred: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    backend, _ = choose("gpu")
    plan = GraphPlan(metric, k, kind, KINDS[kind], centred=centred)
    graph = backend.neighbors(X if kind == "batched" else backend.as_array(X), plan)
    return backend.to_numpy(graph.indices), backend.to_numpy(graph.distances)


def check_graph(indices: np.ndarray, distances: np.ndarray) -> None:
    rows, k = indices.shape
    np.testing.assert_array_equal(indices[:, 0], np.arange(rows))
    assert all(len(set(row)) == k for row in indices.tolist())
    assert (np.diff(distances, axis=1) >= 0).all()
    assert (distances[:, 0] == 0).all()


@pytest.mark.parametrize(
    ("metric", "kind"), [("cosine", "exact"), ("cosine", "nn_descent"), ("cosine", "batched"), ("correlation", "exact")]
)
def test_rows_without_direction_are_as_far_from_all_and_nobody_elses_neighbours(rapids, metric, kind) -> None:
    X = aimless(metric)
    indices, distances = neighbors(X, metric, kind)
    check_graph(indices, distances)
    lost = np.arange(200) % 9 == 0
    assert (distances[lost][:, 1:] == 1).all()
    assert not np.isin(indices[~lost], np.flatnonzero(lost)).any()
    rest = X[~lost] - (X[~lost].mean(1, keepdims=True) if metric == "correlation" else 0)
    true = np.flatnonzero(~lost)[true_neighbors(rest / np.linalg.norm(rest, axis=1, keepdims=True), 12)]
    assert recall(indices[~lost], true) > (0.99 if kind == "exact" else 0.9)


@pytest.mark.parametrize("some", [0, 1, 4])
def test_where_hardly_a_row_has_a_direction_all_neighbours_are_others_still(rapids, some) -> None:
    X = np.zeros((60, 5), np.float32)
    X[7 : 7 + some] = clusters(60, 5)[:some]
    indices, distances = neighbors(X, "cosine", "exact")
    check_graph(indices, distances)
    assert (distances[30:, 1:] == 1).all()


@pytest.mark.parametrize("metric", ["cosine", "correlation"])
def test_maps_of_rows_without_direction_are_drawn(rapids, metric) -> None:
    asked = gpuvis.Settings(
        umap=gpuvis.Umap(metric=metric, n_neighbors=10), tsne=gpuvis.Tsne(perplexity=8, metric=metric)
    )
    for done in gpuvis.reduce(torch.from_numpy(aimless(metric)), asked, backend="gpu").values():
        assert np.isfinite(done.coords).all()


def drawn(X: np.ndarray, settings: gpuvis.Settings) -> gpuvis.Reduction:
    (done,) = gpuvis.reduce(torch.from_numpy(X), settings, backend="gpu").values()
    return done


UMAP = gpuvis.Settings(umap=gpuvis.Umap(n_neighbors=4))


@pytest.mark.parametrize("columns", [1, 6])
@pytest.mark.parametrize("rows", [5, 6, 7, 15])
def test_few_rows_do_not_start_from_eigenvectors(rapids, rows, columns) -> None:
    X = clusters(60, columns + 1)[:rows, :columns]
    assert np.isfinite(drawn(X, UMAP).coords).all()
    (asked,) = rapids.ledger.of("cuml.UMAP")
    assert asked["init"].shape == (rows, 2)
    assert float(abs(asked["init"]).max()) == pytest.approx(10, abs=0.01)
    assert asked["force_serial_epochs"]


def test_equal_rows_start_apart(rapids) -> None:
    assert np.isfinite(drawn(np.ones((7, 3), np.float32), UMAP).coords).all()
    (asked,) = rapids.ledger.of("cuml.UMAP")
    assert len(np.unique(asked["init"].get(), axis=0)) == 7


def test_more_rows_do_not_overflow_the_eigenvectors(rapids, monkeypatch) -> None:
    X = clusters(300, 8)
    monkeypatch.setattr("rapids_double.cuml_umap.MOST_SPECTRAL", 200)
    monkeypatch.setattr("gpuvis.backends.gpu.limits.SPECTRAL", (16, 200))
    done = drawn(X, UMAP)
    (asked,) = rapids.ledger.of("cuml.UMAP")
    first = X - X.mean(0)
    axis = np.linalg.svd(first, full_matrices=False)[2][0]
    assert abs(np.corrcoef(asked["init"].get()[:, 0], first @ axis)[0, 1]) > 0.999
    assert done.notes == ("umap starts from principal components: cuML's spectral start takes 16 to 200 rows",)


@pytest.mark.parametrize("rows", [16, 300])
def test_others_do(rapids, rows) -> None:
    assert drawn(clusters(rows, 8), UMAP).notes == ()
    (asked,) = rapids.ledger.of("cuml.UMAP")
    assert asked["init"] == "spectral"


def test_what_cuml_only_prints_is_noted(monkeypatch, capfd) -> None:
    rapids_double.install(monkeypatch, fails={"cuml.spectral": "cudaErrorInvalidValue"})
    done = drawn(clusters(60, 8), UMAP)
    assert done.notes == ("cuML: Spectral initialization failed, using random initialization instead.",)
    assert "Spectral" not in "".join(capfd.readouterr())


def test_what_cuml_prints_by_the_way_is_no_note(rapids, monkeypatch) -> None:
    from rapids_double import cuml_input, cuml_umap

    monkeypatch.setattr(cuml_umap, "spectral", lambda rows: cuml_input.log("input COO rows", "info") or "random")
    assert drawn(clusters(60, 8), UMAP).notes == ()


def test_the_divergence_that_cuml_tells_is_left_out(rapids) -> None:
    """It is of the stored pairs alone, and 0 after an early stop (tsne/utils.cuh, compute_kl_div)."""
    done = drawn(clusters(60, 8), gpuvis.Settings(umap=None, tsne=gpuvis.Tsne(perplexity=5)))
    assert set(done.layout) == {"iterations"}


@pytest.mark.parametrize(("factor", "noted"), [(1.0, False), (100.0, True)])
def test_a_map_too_wide_for_the_grid_of_cumls_tsne_is_noted(rapids, monkeypatch, factor, noted) -> None:
    from rapids_double import cuml_tsne

    layout = cuml_tsne.layout

    def wide(*args):
        coords, *told = layout(*args)
        return coords / np.ptp(coords) * 1.5 * factor, *told

    monkeypatch.setattr(cuml_tsne, "layout", wide)
    notes = drawn(clusters(60, 8), gpuvis.Settings(umap=None, tsne=gpuvis.Tsne(perplexity=5.5))).notes
    told = "the map is 150 wide, and cuML's t-SNE has a grid of 50 boxes a side however wide it is: it may show tiles"
    assert [note for note in notes if "boxes" in note] == ([f"{told}; --backend cpu has a finer grid"] if noted else [])


@pytest.mark.parametrize("kind", ["nn_descent", "batched"])
def test_a_middle_far_from_zero_costs_no_digit_of_half_precision(rapids, kind) -> None:
    rows = (clusters(400, 24) * 1e-3 + 0.9).astype(np.float32)
    before = rows.copy()
    indices, distances = neighbors(rows, "euclidean", kind, centred=True)
    assert recall(indices, true_neighbors(before, 12)) > 0.9
    assert recall(neighbors(rows, "euclidean", kind)[0], true_neighbors(before, 12)) < 0.6
    far = np.linalg.norm(before[:, None].astype(float) - before[indices], axis=2)
    np.testing.assert_allclose(distances, far, rtol=0.01, atol=1e-5)
    np.testing.assert_array_equal(rows, before)


def test_a_matrix_that_is_in_the_middle_already_is_not_copied(rapids) -> None:
    backend, _ = choose("gpu")
    X = backend.as_array(clusters(4000, 64))
    rapids.ledger.mark()
    backend.neighbors(X, GraphPlan("euclidean", 4, "nn_descent", centred=True))
    assert rapids.ledger.peaks["own"] < 1.8 * X.nbytes


def test_where_there_are_no_memory_pools_the_gpu_is_used_with_the_plain_allocator(monkeypatch) -> None:
    rapids = rapids_double.install(monkeypatch, memory_pools=False)
    backend, reason = choose("gpu", memory_limit=64 << 20)
    assert reason == "a GPU is there, and did a small fit"
    assert backend.describe().details["allocator"] == "cudaMalloc, since memory pools are not supported"
    drawn(clusters(60, 8), UMAP)
    assert 0 < backend.settle()["peak_device_bytes"] < rapids.device.options.memory
    import cupy

    with pytest.raises(MemoryError):
        cupy.empty(65 << 20, cupy.uint8)


def test_where_there_are_they_are_used(rapids) -> None:
    assert choose("gpu")[0].describe().details["allocator"] == "an asynchronous pool"


ARRAYS = {
    "negative strides": lambda X: X[::-1, ::-1],
    "long double": lambda X: X.astype(np.longdouble),
    "the other byte order": lambda X: X.astype(X.dtype.newbyteorder()),
    "a field of records": lambda X: np.rec.fromarrays([X[:, 0], X[:, 0].astype(np.int8)], names="a,b").a[:, None],
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_that_torch_does_not_take_are_taken(rapids, kind) -> None:
    rows = clusters(60, 8)
    X = ARRAYS[kind](rows)
    plain = np.ascontiguousarray(X, np.float32)
    expected = rows[::-1, ::-1] if kind == "negative strides" else rows[:, : X.shape[1]]
    np.testing.assert_array_equal(plain, expected)
    backend, _ = choose("gpu")
    np.testing.assert_array_equal(backend.to_host(backend.as_array(X)), plain)
    for where in ("gpu", "cpu"):
        one, other = (gpuvis.reduce(some, UMAP, backend=where)["umap"].coords for some in (X, plain))
        np.testing.assert_array_equal(one, other)


def test_blocks_do_not_empty_the_pool_of_torch_one_by_one(rapids, monkeypatch) -> None:
    backend, _ = choose("gpu")
    emptied: list[int] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))
    half = torch.from_numpy(clusters(100, 8)).half()
    for start in range(0, 100, 10):
        backend.as_array(half[start : start + 10])
    assert emptied == []
    monkeypatch.setattr("gpuvis.backends.gpu.memory_model.CHUNK", 100)
    backend.as_array(half)
    assert emptied == [1]


def test_blocks_that_are_compared_are_large_enough_for_a_gpu(rapids) -> None:
    backend, _ = choose("gpu")
    anchors, rows = backend.COMPARED
    assert anchors * rows * 4 == 256 << 20
