"""What every backend has to do. Each check runs on each backend that this machine has."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gpuvis.backends import Selection, choose
from gpuvis.backends.cpu import backend as cpu
from gpuvis.errors import DataError, NoGpuError, SettingsError
from gpuvis.reduction.reduce import reduce
from gpuvis.settings import INITS, METRICS, Settings, Tsne, Umap


@pytest.fixture(params=["cpu"])
def backend(request):
    return choose(request.param)[0]


@pytest.fixture(scope="module")
def X() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((3, 6))[np.arange(60) % 3] * 4 + rng.standard_normal((60, 6))).astype(np.float32)


def test_it_describes_its_device(backend) -> None:
    device = backend.describe()
    assert device.kind == backend.name
    assert device.name
    assert device.threads >= 1
    assert device.memory_bytes > 2**28
    assert "identical" in backend.promise("umap", backend.plan(60, 6, 4, Settings(), False))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_tensor_becomes_a_float32_array(backend, dtype) -> None:
    tensor = torch.randn(7, 3).to(dtype)
    got = backend.to_host(backend.as_array(tensor))
    assert (got.dtype, got.shape, got.flags.c_contiguous) == (np.float32, (7, 3), True)
    np.testing.assert_array_equal(got, tensor.float().numpy())


def test_a_float32_tensor_crosses_without_a_copy() -> None:
    tensor = torch.randn(7, 3)
    got = cpu.as_array(tensor)
    assert got.ctypes.data == tensor.data_ptr()
    assert cpu.to_host(got) is got


def test_a_tensor_with_strides_or_gradient_becomes_c_ordered(backend) -> None:
    tensor = torch.randn(3, 7, requires_grad=True).T
    got = backend.to_host(backend.as_array(tensor))
    assert got.flags.c_contiguous
    np.testing.assert_array_equal(got, tensor.detach().numpy())


def test_pca_is_the_projection_on_the_principal_axes(backend, X) -> None:
    scores, kept = backend.pca(X, 3, 1, 1.0, backend.plan(*X.shape, 4, Settings(pca_dim=3), False))
    centred = X.astype(np.float64) - X.mean(0, dtype=np.float64)
    _, s, axes = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(backend.to_host(scores)), np.abs(centred @ axes[:3].T), atol=1e-3)
    assert kept == pytest.approx((s[:3] ** 2).sum() / (s**2).sum(), abs=1e-4)


def test_pca_of_equal_rows_has_no_variance_to_keep(backend) -> None:
    X = np.ones((20, 4), np.float32)
    scores, kept = backend.pca(X, 2, 1, 1.0, backend.plan(*X.shape, 4, Settings(pca_dim=2), False))
    np.testing.assert_allclose(backend.to_host(scores), 0, atol=1e-6)
    assert kept is None


def _separation(Y: np.ndarray) -> float:
    """Share of points whose nearest neighbour is of their group."""
    d = ((Y[:, None] - Y[None]) ** 2).sum(-1)
    np.fill_diagonal(d, np.inf)
    return float((d.argmin(1) % 3 == np.arange(len(Y)) % 3).mean())


def test_the_measure_of_separation_can_fail(X) -> None:
    assert _separation(X) == 1
    assert _separation(np.random.default_rng(0).standard_normal((60, 2))) < 0.6


def draw(backend, X: np.ndarray, asked: Umap | Tsne, seed: int = 1) -> np.ndarray:
    return backend.to_host(layout(backend, X, asked, seed).coords)


def layout(backend, X: np.ndarray, asked: Umap | Tsne, seed: int = 1):
    """Go the way of a reduction: plan, graph, start, layout."""
    method = "umap" if isinstance(asked, Umap) else "tsne"
    plan = backend.plan(*X.shape, 4, Settings(**{"umap": None, method: asked}), False)
    X = backend.load(X, 1.0, plan)
    if method not in plan.graphs:
        return backend.layout(method, X, None, asked, seed)
    graph = backend.neighbors(X, plan.graphs[method])
    return backend.layout(method, backend.start(X, asked), graph, asked, seed)


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_gives_a_map_that_separates(backend, X, metric) -> None:
    for asked in (Umap(n_neighbors=10, metric=metric), Tsne(perplexity=8, metric=metric)):
        Y = draw(backend, X, asked)
        assert Y.shape == (60, 2)
        assert _separation(Y) > 0.9


@pytest.mark.parametrize("init", INITS)
def test_every_start_of_tsne_gives_a_map_that_separates(backend, X, init) -> None:
    assert _separation(draw(backend, X, Tsne(perplexity=8, init=init))) > 0.9


@pytest.mark.parametrize(
    ("plain", "others"),
    [
        (Umap(n_neighbors=10), [Umap(n_neighbors=20), Umap(n_neighbors=10, min_dist=0.9)]),
        (Tsne(perplexity=8, init="random"), [Tsne(perplexity=4, init="random")]),
    ],
)
def test_settings_and_seed_reach_the_map(backend, X, plain, others) -> None:
    Y = draw(backend, X, plain)
    np.testing.assert_array_equal(draw(backend, X, plain), Y)
    assert not np.array_equal(draw(backend, X, plain, seed=2), Y)
    for other in others:
        assert not np.array_equal(draw(backend, X, other), Y)


DEGENERATE = {
    "all the same": np.ones((30, 4)),
    "all zero": np.zeros((30, 4)),
    "five rows": np.random.default_rng(0).standard_normal((5, 4)),
    "five rows, all the same": np.ones((5, 4)),
    "a constant column": np.c_[np.ones(30), np.random.default_rng(0).standard_normal((30, 3))],
    "one column": np.random.default_rng(0).standard_normal((30, 1)),
    "each row ten times": np.repeat(np.random.default_rng(0).standard_normal((4, 3)), 10, axis=0),
}


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_degenerate_data_gives_a_finite_map(backend, name, metric) -> None:
    X = DEGENERATE[name].astype(np.float32)
    umap, _ = Umap(metric=metric).fitted_to(*X.shape)
    tsne, _ = Tsne(metric=metric).fitted_to(*X.shape)
    for asked in (umap, tsne):
        Y = draw(backend, X, asked)
        assert Y.shape == (len(X), 2)
        assert np.isfinite(Y).all()


def test_the_start_of_tsne_is_that_of_scikit_learn(X) -> None:
    from sklearn.decomposition import PCA

    told = PCA(2, svd_solver="full").fit_transform(X.astype(np.float64))
    told *= 1e-4 / told[:, 0].std()  # as in TSNE._fit
    np.testing.assert_allclose(cpu.scale_start(cpu.start(X, Tsne())), told, atol=1e-8)


def test_what_was_unusual_is_noted(backend) -> None:
    notes = layout(backend, np.ones((30, 4), np.float32), Tsne(perplexity=8)).notes
    assert notes == ["the rows are all the same, so tsne_init pca has no axes: random is used"]
    notes = layout(backend, np.eye(30, dtype=np.float32), Tsne(perplexity=8, init="random")).notes
    assert notes == []


def test_the_choice_comes_with_its_reason() -> None:
    assert choose("cpu") == (cpu, "the CPU was asked for")
    backend, reason = choose("auto")
    assert backend is cpu
    assert reason.startswith("no GPU can be used: ")


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_hidden_gpu_is_named_as_the_reason(monkeypatch, hidden) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert choose("auto") == (cpu, f"no GPU can be used: CUDA_VISIBLE_DEVICES is {hidden!r}, which hides every GPU")
    with pytest.raises(NoGpuError, match="which hides every GPU; use --backend cpu"):
        choose("gpu")


def test_unknown_backends_are_refused() -> None:
    with pytest.raises(SettingsError, match="one of auto, gpu, cpu; found 'tpu'"):
        choose("tpu")


def test_few_rows_are_not_worth_loading_rapids(monkeypatch) -> None:
    monkeypatch.setattr("gpuvis.backends.gpu.probe.obstacle", lambda: None)
    monkeypatch.setattr("gpuvis.backends.gpu.probe.check_gpu", lambda limit=None: "it was looked at")
    told = (
        "1,400 rows in all are done sooner on the CPU than RAPIDS is loaded: auto takes the GPU from 50,000 rows on, "
        "--backend gpu for any"
    )
    assert choose("auto", rows=1_400) == (cpu, told)
    for rows in (50_000, None):
        assert choose("auto", rows=rows)[1] == "no GPU can be used: it was looked at"
    with pytest.raises(NoGpuError, match="it was looked at"):
        choose("gpu", rows=1_400)
    assert choose("cpu", rows=1_400) == (cpu, "the CPU was asked for")


def test_arrays_are_weighed_unless_they_lie_on_the_device(monkeypatch) -> None:
    asked: list[int | None] = []
    monkeypatch.setattr(
        "gpuvis.backends.matrix.choose", lambda name, rows=None: asked.append(rows) or Selection(cpu, "for the test")
    )
    X = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)

    class There(np.ndarray):
        __cuda_array_interface__ = None

    for one in (X, torch.from_numpy(X), X.tolist(), X.view(There)):
        reduce(one, Settings(umap=Umap(n_neighbors=4)))
    assert asked == [20, 20, 20, None]
    with pytest.raises(DataError):
        reduce(np.float32(1))
