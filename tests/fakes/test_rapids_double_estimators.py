"""The doubles of cuML, cuVS and cuDF: they refuse, copy, ruin and compute as the real ones."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pyarrow as pa
import pytest
from rapids_double import tsne_layout
from rapids_double.errors import CuvsException
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

X = load_digits().data[:600].astype(np.float32)
K = 40
TSNE = {"n_neighbors": K, "perplexity": 12.0, "random_state": 1, "learning_rate_method": "none", "init": "pca"}


@pytest.fixture
def cp(rapids):
    return importlib.import_module("cupy")


@pytest.fixture
def cuml(rapids):
    return importlib.import_module("cuml")


@pytest.fixture
def build(rapids, cp):
    """Build a graph in buffers on the device."""
    module = importlib.import_module("cuvs.neighbors.all_neighbors")

    def graph(data, k, **params):
        indices, distances = cp.empty((len(data), k), np.int64), cp.empty((len(data), k), np.float32)
        params = {"algo": "brute_force", "metric": "euclidean"} | params
        module.build(data, k, module.AllNeighborsParams(**params), indices=indices, distances=distances)
        return indices, distances

    return graph


class TestPca:
    def test_like_scikit_learn_with_signs(self, cp, cuml) -> None:
        model, judge = cuml.PCA(n_components=5), PCA(5, svd_solver="full").fit(X)
        scores = model.fit_transform(cp.asarray(X))
        np.testing.assert_allclose(scores.get(), judge.transform(X), atol=1e-3)
        np.testing.assert_allclose(model.explained_variance_ratio_.get(), judge.explained_variance_ratio_, atol=1e-5)
        assert scores.flags.f_contiguous
        assert scores.dtype == np.float32
        assert isinstance(model.components_, cp.ndarray)

    def test_copies_what_is_in_c_order_each_time(self, rapids, cp, cuml) -> None:
        a = cp.asarray(X)
        cuml.PCA(n_components=5).fit_transform(a)
        assert [(copy.why, copy.nbytes) for copy in rapids.ledger.copies] == [("order", X.nbytes)] * 2
        rapids.ledger.mark()
        cuml.PCA(n_components=5).fit_transform(cp.asfortranarray(a))
        assert rapids.ledger.copies == []
        assert rapids.ledger.crossings("device") == []

    def test_refusals(self, cp, cuml) -> None:
        a = cp.asarray(X)
        for keywords, error in (
            ({"random_state": 1}, TypeError),
            ({"n_components": 65}, ValueError),
            ({"n_components": 0.9}, TypeError),
            ({"n_components": 0}, RuntimeError),
            ({"svd_solver": "randomized"}, ValueError),
        ):
            with pytest.raises(error):
                cuml.PCA(**keywords).fit(a)
        with pytest.raises(TypeError):
            cuml.PCA(5)
        a[3, 3] = np.nan
        with pytest.raises(ValueError, match="Input X contains NaN"):
            cuml.PCA(n_components=2).fit(a)
        with pytest.raises(ValueError, match="minimum of 2 is required"):
            cuml.PCA(n_components=1).fit(cp.asarray(X[:, :1]))

    def test_input_on_the_host_crosses_and_the_result_comes_back(self, rapids, cuml) -> None:
        scores = cuml.PCA(n_components=2).fit_transform(X)
        assert isinstance(scores, np.ndarray)
        assert [one.by for one in rapids.ledger.crossings("device", X.nbytes)] == ["cuml", "cuml"]


class TestGraph:
    def test_brute_force_is_exact(self, build, cp) -> None:
        indices, distances = build(cp.asarray(X), K)
        full = np.sqrt(((X[:, None] - X[None]) ** 2).sum(axis=2))
        np.testing.assert_allclose(distances.get(), np.sort(full, axis=1)[:, :K], atol=1e-3)
        assert bool((indices[:, 0] == cp.arange(len(X))).all())

    def test_a_row_with_duplicates_may_not_be_its_own_neighbour(self, build, cp) -> None:
        twins = X.copy()
        twins[10:20] = twins[10]
        indices, distances = (one.get() for one in build(cp.asarray(twins), 5))
        own = np.arange(len(X))[:, None]
        assert not (indices[10:20] == own[10:20]).any()
        assert (distances[10:20] == 0).all()
        assert (indices[20:, 0] == own[20:, 0]).all()
        twice = twins[:30]
        np.testing.assert_array_equal(build(cp.asarray(twice), 15)[0].get(), build(cp.asarray(twice), 15)[0].get())

    @pytest.mark.parametrize("params", [{"algo": "nn_descent"}, {"algo": "nn_descent", "n_clusters": 4}])
    def test_nn_descent_is_approximate_and_never_the_same(self, build, cp, params) -> None:
        data = X if "n_clusters" in params else cp.asarray(X)
        exact = build(cp.asarray(X), 15)[0].get()
        first, second = (build(data, 15, **params)[0].get() for _ in range(2))
        assert (first[:, 0] == np.arange(len(X))).all()
        recall = np.mean([len(set(a) & set(b)) for a, b in zip(exact, first, strict=True)]) / 15
        assert 0.9 < recall < 1
        assert (first != second).any()

    def test_refusals(self, rapids, build, cp) -> None:
        a = cp.asarray(X)
        for params, error in (
            ({"algo": "brute_force", "metric": "manhattan"}, KeyError),
            ({"algo": "brute_force", "metric": "braycurtis"}, CuvsException),
            ({"algo": "nn_descent", "metric": "l1"}, CuvsException),
            ({"algo": "exact"}, ValueError),
            ({"n_clusters": 4}, ValueError),
            ({"clusters": 4}, TypeError),
        ):
            with pytest.raises(error):
                build(a, 5, **params)
        with pytest.raises(CuvsException, match="overlap_factor should be smaller than n_clusters"):
            build(X, 5, n_clusters=2, overlap_factor=2)
        with pytest.raises(TypeError, match="dtype float64 not supported"):
            build(a.astype(np.float64), 5)
        with pytest.raises(ValueError, match="Row major input is expected"):
            build(cp.asfortranarray(a), 5)

    def test_outputs(self, rapids, cp) -> None:
        module = importlib.import_module("cuvs.neighbors.all_neighbors")
        params = module.AllNeighborsParams(algo="brute_force", metric="l1")
        a = cp.asarray(X)
        with pytest.raises(TypeError):
            module.build(a, 5, params, indices=cp.empty((len(X), 5), np.int32))
        with pytest.raises(ValueError, match="Incorrect number of columns"):
            module.build(a, 5, params, distances=cp.empty((len(X), 6), np.float32))
        with pytest.raises(ValueError, match="A device dataset requires device outputs"):
            module.build(a, 5, params, distances=np.empty((len(X), 5), np.float32))
        with pytest.raises(ValueError, match="same memory space"):
            module.build(
                X, 5, params, indices=np.empty((len(X), 5), np.int64), distances=cp.empty((len(X), 5), np.float32)
            )
        made = module.build(a, 5, params)
        assert not isinstance(made, cp.ndarray)  # pylibraft's array
        assert cp.asarray(made).shape == (len(X), 5)


class TestUmap:
    def test_a_good_map_from_the_graph_alone(self, rapids, cp, cuml, build) -> None:
        a = cp.asarray(X)
        graph = build(a, 15)
        rapids.ledger.mark()
        coords = cuml.UMAP(n_neighbors=15, random_state=1).fit_transform(a, knn_graph=graph)
        assert (coords.shape, coords.dtype, coords.flags.c_contiguous) == ((len(X), 2), np.float32, True)
        assert rapids.ledger.transfers == []
        coords = coords.get()
        assert trustworthiness(X, coords) > 0.95
        nothing = cp.zeros_like(a)
        again = cuml.UMAP(n_neighbors=15, random_state=1, precomputed_knn=graph).fit_transform(nothing)
        np.testing.assert_array_equal(again.get(), coords)

    def test_pulls_x_to_the_host_where_the_real_one_does(self, rapids, cp, cuml) -> None:
        a = cp.asarray(X)
        keywords = {"n_neighbors": 5, "init": "random"}
        cuml.UMAP(**keywords, random_state=1).fit(a)
        assert rapids.ledger.crossings("host") == []
        cuml.UMAP(**keywords, build_algo="nn_descent").fit(a)
        cuml.UMAP(**keywords, random_state=1, build_kwds={"knn_n_clusters": 3}).fit(a)
        assert [one.nbytes for one in rapids.ledger.crossings("host")] == [X.nbytes] * 2

    def test_refusals(self, cp, cuml, build) -> None:
        a = cp.asarray(X)
        for keywords, error in (
            ({"init": "pca"}, ValueError),
            ({"metric": "braycurtis"}, ValueError),
            ({"metric": "manhattan", "build_algo": "nn_descent"}, NotImplementedError),
            ({"build_algo": "nn-descent"}, ValueError),
            ({"min_dist": 2}, ValueError),
            ({"low_memory": True}, TypeError),
            ({"init": np.zeros((3, 2), np.float32)}, ValueError),
            ({"build_kwds": {"knn_n_clusters": 2}}, ValueError),
        ):
            with pytest.raises(error):
                cuml.UMAP(**keywords).fit(a)
        with pytest.raises(TypeError, match="data_on_host"):
            cuml.UMAP().fit(a, data_on_host=True)
        with pytest.warns(UserWarning, match="not deterministic"), pytest.raises(ValueError, match="NaN"):
            cuml.UMAP(build_algo="nn_descent", random_state=1).fit(a * np.nan)

    def test_refuses_graphs_that_are_none(self, cp, cuml, build) -> None:
        a = cp.asarray(X)
        indices, distances = build(a, 10)
        with pytest.raises(ValueError, match=r"has 10 neighbors per sample, but n_neighbors=11 was specified"):
            cuml.UMAP(n_neighbors=11).fit(a, knn_graph=(indices, distances))
        with pytest.raises(ValueError, match="include self references"):
            cuml.UMAP(n_neighbors=5).fit(a, knn_graph=(indices[:, 1:], distances[:, 1:]))
        with pytest.raises(ValueError, match="to have shape"):
            cuml.TSNE(n_neighbors=5, learning_rate_method="none").fit(a, knn_graph=(indices, distances[:, 1:]))


class TestTsne:
    def test_a_good_map_from_a_plain_graph(self, rapids, cp, cuml, build) -> None:
        a = cp.asarray(X)
        indices, distances = build(a, K)
        model = cuml.TSNE(**TSNE, learning_rate=200.0)
        coords = model.fit_transform(a, knn_graph=(indices, distances.copy()))
        assert coords.flags.f_contiguous
        assert coords.dtype == np.float32
        assert trustworthiness(X, coords.get()) > 0.95
        assert np.isfinite(model.kl_divergence_)
        again = cuml.TSNE(**TSNE, learning_rate=200.0).fit_transform(a, knn_graph=(indices, distances))
        np.testing.assert_array_equal(again.get(), coords.get())

    def test_ruins_the_distances_that_it_is_given(self, cp, cuml, build) -> None:
        a = cp.asarray(X)
        indices, distances = build(a, K)
        before = distances.get()
        quick = TSNE | {"max_iter": 1}
        cuml.TSNE(**quick).fit(a, knn_graph=(indices, distances.copy()))
        np.testing.assert_array_equal(distances.get(), before)
        cuml.TSNE(**quick).fit(a, knn_graph=(indices, distances))
        np.testing.assert_allclose(distances.get(), before**2 / (before**2).max(), rtol=1e-5)

    def test_takes_a_graph_on_the_host_to_the_device(self, rapids, cp, cuml, build) -> None:
        """As UMAP does not: it leaves the graph where it is."""
        a = cp.asarray(X)
        graph = tuple(one.get() for one in build(a, K))
        rapids.ledger.mark()
        cuml.UMAP(n_neighbors=K, init="random", random_state=1).fit(a, knn_graph=graph)
        assert rapids.ledger.transfers == []
        cuml.TSNE(**(TSNE | {"max_iter": 1})).fit(a, knn_graph=graph)
        assert rapids.ledger.bytes_to("device") == sum(one.nbytes for one in graph)

    def test_its_divergence_is_of_the_stored_pairs_and_none_after_an_early_stop(self, cp, cuml, build) -> None:
        a = cp.asarray(X)
        indices, distances = build(a, K)
        model = cuml.TSNE(**(TSNE | {"max_iter": 300})).fit(a, knn_graph=(indices, distances.copy()))
        assert 0 < model.kl_divergence_ < 0.5  # over all pairs it is about 1
        stopped = cuml.TSNE(**(TSNE | {"max_iter": 500, "min_grad_norm": 1e9})).fit(a, knn_graph=(indices, distances))
        assert (stopped.kl_divergence_, stopped.n_iter_ < 500) == (0, True)

    def test_spares_distances_that_are_trimmed(self, cp, cuml, build) -> None:
        """It works on a copy then, as cuML does: nothing to count on, but so it is."""
        a = cp.asarray(X)
        indices, distances = build(a, K)
        before = distances.get()
        cuml.TSNE(**(TSNE | {"max_iter": 1, "n_neighbors": K - 1})).fit(a, knn_graph=(indices, distances))
        np.testing.assert_array_equal(distances.get(), before)

    def test_never_reads_x_with_a_graph_and_a_random_start(self, cp, cuml, build) -> None:
        a = cp.asarray(X)
        graph = build(a, K)
        quick = TSNE | {"max_iter": 20, "init": "random"}
        maps = [cuml.TSNE(**quick).fit_transform(b, knn_graph=(graph[0], graph[1].copy())) for b in (a, a * 0)]
        np.testing.assert_array_equal(maps[0].get(), maps[1].get())

    def test_the_adaptive_rule_overrides_what_was_asked(self, cp, cuml) -> None:
        model = cuml.TSNE(n_neighbors=10, learning_rate=7.0, max_iter=1).fit(cp.asarray(X))
        assert (model._n_neighbors, model.learning_rate_) == (90, 200)
        model = cuml.TSNE(n_neighbors=10, learning_rate=7.0, max_iter=1, learning_rate_method="none")
        assert model.fit(cp.asarray(X))._n_neighbors == 10
        assert model._rates == (7, 14)

    def test_refusals(self, cp, cuml) -> None:
        a = cp.asarray(X)
        for keywords, error in (
            ({"n_components": 3}, ValueError),
            ({"init": X[:, :2]}, (ValueError, TypeError)),
            ({"metric": "canberra"}, ValueError),
            ({"method": "barnes-hut"}, ValueError),
            ({"learning_rate": "auto"}, TypeError),
            ({"n_iter": 500}, TypeError),
            ({"perplexity": 0}, ValueError),
            ({"method": "barnes_hut"}, AssertionError),
        ):
            with pytest.raises(error):
                cuml.TSNE(**keywords).fit(a)
        with pytest.warns(UserWarning, match="thresholding perplexity to 20"):
            cuml.TSNE(perplexity=30, max_iter=1, init="pca").fit(a[:20])

    def test_the_search_is_the_kernels(self) -> None:
        """The same as a plain loop over rows, steps and neighbours, in float32, as the kernel is written."""
        rng = np.random.default_rng(3)
        distances = np.sort(rng.random((12, 9)).astype(np.float32) ** 2, axis=1)
        distances[:, 0] = 0
        distances /= distances.max()
        for max_iter in (1, 2, 7, 100):
            plain = np.array([plain_search(row, 4.0, max_iter) for row in distances], np.float32)
            np.testing.assert_allclose(tsne_layout.search(distances, 4.0, max_iter), plain, rtol=2e-5, atol=1e-7)


def plain_search(row: np.ndarray, perplexity: float, epochs: int) -> list[np.float32]:
    f = np.float32
    low, high, beta, wanted = f(-np.inf), f(np.inf), f(1), f(math.log(perplexity))
    P = [f(0)] * len(row)
    for _ in range(epochs):
        total = f(np.finfo(f).eps)
        for j, distance in enumerate(row):
            P[j] = f(np.exp(-distance * beta))
            total += P[j]
        weighted = f(0)
        for j, distance in enumerate(row):
            P[j] *= f(1) / total
            weighted += distance * P[j]
        difference = f(np.log(total)) + beta * weighted - wanted
        if abs(difference) <= 1e-5:
            break
        if difference > 0:
            low, beta = beta, beta * f(2) if np.isinf(high) else (beta + high) * f(0.5)
        else:
            high, beta = beta, beta * f(0.5) if np.isinf(low) else (beta + low) * f(0.5)
    return P


LARGE = pa.large_string()


class TestCudf:
    @pytest.fixture
    def labels(self, rapids):
        cudf = importlib.import_module("cudf")

        def bring(values: list[str | None], kind: pa.DataType = LARGE):
            return cudf.DataFrame.from_arrow(pa.table({"label": pa.chunked_array([values[:1], values[1:]], kind)}))

        return bring

    def test_strings_cross_once_each_way(self, rapids, labels) -> None:
        for kind in (pa.large_string(), pa.string()):
            rapids.ledger.mark()
            frame = labels(["007", "NA", ""], kind)
            assert list(frame.columns) == ["label"]
            assert len(frame) == 3
            assert rapids.ledger.crossings("host") == []
            assert [one.dtype for one in rapids.ledger.crossings("device")] == ["str"]
            back = frame["label"].to_arrow()
            assert (back.to_pylist(), back.type) == (["007", "NA", ""], pa.large_string())
            assert [one.dtype for one in rapids.ledger.crossings("host")] == ["str"]

    def test_labels_are_factorised_on_the_device(self, rapids, cp, labels) -> None:
        column = labels(["b", "a", "b", None, "c"])["label"]
        codes, uniques = column.factorize()
        assert rapids.ledger.crossings("host") == []
        assert isinstance(codes, cp.ndarray)
        assert codes.dtype == np.int64
        assert codes.get().tolist() == [0, 1, 0, -1, 2]
        assert uniques.to_arrow().to_pylist() == ["b", "a", "c"]
        assert column.factorize(sort=True)[0].get().tolist() == [1, 0, 1, -1, 2]
        assert column.isnull().any()
        with pytest.raises(TypeError, match="Implicit conversion to a host NumPy array"):
            np.asarray(column)

    def test_refusals(self, labels) -> None:
        from_arrow = importlib.import_module("cudf").DataFrame.from_arrow
        with pytest.raises(TypeError, match="data must be a pyarrow.Table, not ChunkedArray"):
            from_arrow(pa.chunked_array([["a"]]))
        with pytest.raises(TypeError, match="table"):
            from_arrow(data=pa.table({"a": ["b"]}))
        with pytest.raises(NotImplementedError, match="strings only; column 'a' has type int64"):
            from_arrow(pa.table({"a": [1]}))
        with pytest.raises(NotImplementedError, match="from_arrow only"):
            importlib.import_module("cudf").DataFrame({"a": ["b"]})


class TestFaults:
    """What the sources say goes wrong goes wrong here too."""

    def test_zeros_by_cosine_have_row_0_for_all_neighbours_or_are_nearest_to_all(self, cp) -> None:
        rows = np.abs(X[:200]) + 1
        rows[::10] = 0
        module = importlib.import_module("cuvs.neighbors").all_neighbors
        found = {}
        for algo in ("brute_force", "nn_descent"):
            indices, distances = cp.empty((200, 5), np.int64), cp.empty((200, 5), np.float32)
            params = module.AllNeighborsParams(algo=algo, metric="cosine")
            module.build(cp.asarray(rows), 5, params, indices=indices, distances=distances)
            found[algo] = indices.get(), distances.get()
        indices, distances = found["brute_force"]
        assert (indices[::10] == 0).all()
        assert np.isnan(distances[::10]).all()
        assert not np.isin(indices[1::10], np.arange(0, 200, 10)).any()
        indices, distances = found["nn_descent"]
        assert np.isin(indices[1::10, 1:], np.arange(0, 200, 10)).all()
        assert (distances[1::10, 1:] == 0).all()

    def test_umap_minds_a_row_that_is_its_own_neighbour(self, cp, cuml, build) -> None:
        indices, distances = build(cp.asarray(X), 5)
        indices = cp.where(indices == 7, cp.asarray(np.arange(len(X))[:, None]), indices)  # nobody else's either
        indices[7] = 7
        with pytest.raises(AssertionError, match="1 rows have no edge"):
            cuml.UMAP(n_neighbors=5, init="random", random_state=1).fit(cp.asarray(X), knn_graph=(indices, distances))

    def test_umap_minds_too_few_rows_for_eigenvectors(self, cp, cuml, build) -> None:
        a = cp.asarray(X[:7])
        with pytest.raises(AssertionError, match="out of bounds for 5, 6 and 7 rows"):
            cuml.UMAP(n_neighbors=3, random_state=1).fit(a, knn_graph=build(a, 3))
