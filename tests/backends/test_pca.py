"""Principal components in blocks, beside scikit-learn's of the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from gpuvis.backends import pca
from gpuvis.backends.cpu import backend as cpu
from gpuvis.settings import Settings


def data(rows: int, columns: int, offset: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(rows + columns)
    axes = np.linalg.qr(rng.standard_normal((columns, columns)))[0]
    spread = np.linspace(5, 0.5, columns)
    return (rng.standard_normal((rows, columns)) * spread @ axes + offset).astype(np.float32)


def blocks(X: np.ndarray, rows: int) -> list[np.ndarray]:
    return [X[start : start + rows] for start in range(0, len(X), rows)]


@pytest.mark.parametrize(
    ("X", "block"),
    [
        (data(3000, 40), 3000),
        (data(3000, 40), 701),
        (data(3000, 40, offset=1000.0), 701),
        (data(300, 200, offset=-7.0), 64),
        (data(60, 3), 1),
    ],
    ids=["whole", "blocks", "far from zero", "nearly square", "one row a block"],
)
def test_components_and_scores_are_those_of_scikit_learn_with_their_signs(X, block) -> None:
    k = min(20, X.shape[1])
    model = pca.fit(blocks(X, block), k, np)
    told = PCA(k, svd_solver="full").fit(X.astype(np.float64))
    np.testing.assert_allclose(model.components, told.components_, atol=1e-3)
    scores = np.concatenate([model.transform(part) for part in blocks(X, block)])
    np.testing.assert_allclose(scores, told.transform(X.astype(np.float64)), atol=1e-3)
    assert model.variance_kept == pytest.approx(told.explained_variance_ratio_.sum(), abs=1e-6)
    assert {model.mean.dtype, model.components.dtype, scores.dtype} == {np.dtype(np.float32)}


def test_rows_that_are_all_the_same_have_no_variance() -> None:
    model = pca.fit(blocks(np.full((50, 4), 0.1, np.float32), 7), 2, np)
    assert model.variance_kept is None
    np.testing.assert_allclose(model.transform(np.full((3, 4), 0.1, np.float32)), 0, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_cpu_goes_through_a_tensor_of_any_type_in_blocks(monkeypatch, dtype) -> None:
    X = torch.from_numpy(data(2000, 30)).to(dtype)
    monkeypatch.setattr(cpu, "BLOCK_BYTES", 4 * 30 * 128)
    taken = []
    monkeypatch.setattr(
        cpu, "as_array", lambda block, scale, real=cpu.as_array: taken.append(len(block)) or real(block, scale)
    )
    scores, kept = cpu.pca(X, 10, 1, 0.5, cpu.plan(2000, 30, X.itemsize, Settings()))
    told = PCA(10, svd_solver="full").fit(X.double().numpy() / 2)
    np.testing.assert_allclose(scores, told.transform(X.double().numpy() / 2), atol=1e-3)
    assert kept == pytest.approx(told.explained_variance_ratio_.sum(), abs=1e-5)
    assert max(taken) == 128
    assert sum(taken) == 2 * len(X) + 128  # the first block's mean, the products, the scores


def test_few_rows_of_many_columns_have_the_same_components() -> None:
    X = data(40, 300)
    scores, kept = cpu.pca(X, 5, 1, 1.0, cpu.plan(40, 300, 4, Settings()))
    told = PCA(5, random_state=1).fit(X)
    np.testing.assert_allclose(scores, told.transform(X), atol=1e-3)
    assert kept == pytest.approx(told.explained_variance_ratio_.sum(), abs=1e-5)
