"""The GPU backend on the double of RAPIDS: which bytes cross, what is asked of the libraries, and the maps that result.

The double is no GPU. What only a GPU can show is in tests/gpu.
"""

from __future__ import annotations

import gc
import json

import numpy as np
import pandas as pd
import pytest
import rapids_double
import torch
from examples import WORDS
from rapids_double.fixtures import rapids
from sklearn.datasets import load_digits
from sklearn.manifold import trustworthiness

import gpuvis
from gpuvis.backends import Selection, choose
from gpuvis.backends.gpu import limits, plan
from gpuvis.backends.gpu.memory_model import Bytes
from gpuvis.errors import NoGpuError, OutOfMemoryError, SettingsError
from gpuvis.io import table
from gpuvis.jobs import job, stages
from gpuvis.jobs.task import Task
from gpuvis.labels import classes
from gpuvis.timing import StepTimer

__all__ = ["rapids"]
X = load_digits().data.astype(np.float32)[:600]
BOTH = gpuvis.Settings(umap=gpuvis.Umap(n_neighbors=15), tsne=gpuvis.Tsne(perplexity=10), pca_dim=30)
QUICK = gpuvis.Settings(umap=gpuvis.Umap(n_neighbors=15), pca_dim=30)


def reduced(rapids, X=X, settings=QUICK):
    choose("gpu")
    rapids.ledger.mark()
    return gpuvis.reduce(X if isinstance(X, torch.Tensor) else torch.from_numpy(X), settings, backend="gpu")


def large(rapids, to: str) -> list[int]:
    """Return the sizes of the transfers that are no scalars."""
    return [one.nbytes for one in rapids.ledger.crossings(to, at_least=1000)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_matrix_crosses_once_in_its_own_type_and_each_map_comes_back_once(rapids, dtype) -> None:
    tensor = torch.from_numpy(X).to(dtype)
    maps = reduced(rapids, tensor, BOTH)
    assert large(rapids, "device") == [tensor.nbytes]
    assert large(rapids, "host") == [600 * 2 * 4] * 2
    for done in maps.values():
        assert (done.coords.dtype, done.coords.shape, done.coords.flags.c_contiguous) == (np.float32, (600, 2), True)


@pytest.mark.parametrize("settings", [BOTH, gpuvis.Settings(tsne=gpuvis.Tsne())])
def test_our_own_copies_of_the_matrix_are_two_at_most(rapids, settings) -> None:
    tall = np.tile(X, (2, 1)) + np.random.default_rng(0).random((1200, 64), np.float32)
    reduced(rapids, tall, settings)
    graph = len(tall) * plan.SHARED_K * 12
    assert tall.nbytes <= rapids.ledger.peaks["own"] <= 2 * tall.nbytes + 2.5 * graph


def test_all_memory_is_given_back(rapids) -> None:
    reduced(rapids, settings=BOTH)
    gc.collect()
    assert rapids.ledger.now == 0
    backend, _ = choose("gpu")
    backend.give_back()
    from gpuvis.backends.gpu import memory

    assert rapids.ledger.held <= memory.KEPT
    assert rapids.ledger.pools["torch"].kept == 0


def test_a_torch_without_cuda_sends_chunks_through_cupy_and_the_record_says_so(rapids, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    maps = reduced(rapids, torch.from_numpy(X).bfloat16())
    assert {one.by for one in rapids.ledger.crossings("device", at_least=1000)} == {"cupy"}
    assert choose("gpu")[0].describe().details["transfer"] == "host → CuPy, in chunks, because this torch has no CUDA"
    assert trustworthiness(X, maps["umap"].coords, n_neighbors=15) > 0.95


def test_maps_are_as_good_as_on_the_cpu(rapids) -> None:
    there, here = reduced(rapids, settings=BOTH), gpuvis.reduce(X, BOTH, backend="cpu")
    for method in BOTH.methods:
        good = trustworthiness(X, here[method].coords, n_neighbors=15)
        assert abs(trustworthiness(X, there[method].coords, n_neighbors=15) - good) < 0.02
        assert good > 0.96
    assert there["umap"].variance_kept == pytest.approx(here["umap"].variance_kept, abs=1e-5)


def test_maps_of_one_metric_share_one_graph_and_neither_depends_on_the_other(rapids) -> None:
    asked = gpuvis.Settings(umap=gpuvis.Umap(metric="cosine"), tsne=gpuvis.Tsne(perplexity=10), pca_dim=30)
    both = reduced(rapids, settings=asked)
    assert len(rapids.ledger.of("cuvs.build")) == 1
    for method in asked.methods:
        alone = reduced(rapids, settings=asked.only(method))
        np.testing.assert_array_equal(alone[method].coords, both[method].coords)


def test_cuml_is_told_what_was_asked(rapids) -> None:
    reduced(rapids, settings=BOTH)
    (umap,), (tsne,) = rapids.ledger.of("cuml.UMAP"), rapids.ledger.of("cuml.TSNE")
    assert umap == {
        "n_neighbors": 15,
        "n_components": 2,
        "metric": "euclidean",
        "min_dist": 0.1,
        "init": "spectral",
        "n_epochs": None,
        "random_state": 1,
        "force_serial_epochs": True,
        "build_algo": "brute_force_knn",
        "output_type": "cupy",
    }
    assert tsne["method"] == "fft"
    assert (tsne["perplexity"], tsne["n_neighbors"], tsne["learning_rate_method"]) == (10, 32, "none")
    assert (tsne["learning_rate"], tsne["init"], tsne["square_distances"]) == (200, "pca", False)


def tight(monkeypatch, device: int) -> None:
    """Leave so little room that nothing is done in core, or nothing fits at all."""
    monkeypatch.setattr("gpuvis.backends.gpu.memory.free", lambda: device)
    monkeypatch.setattr("gpuvis.backends.gpu.memory_model.TILES", 0)
    monkeypatch.setattr("gpuvis.backends.gpu.memory_model.CHUNK", 1 << 14)


def test_tsne_leaves_the_graph_as_it_was(rapids) -> None:
    backend, _ = choose("gpu")
    asked = gpuvis.Tsne(perplexity=31.4)  # as many neighbours as the graph has columns: it is not trimmed, which copies
    planned = backend.plan(*X.shape, 4, gpuvis.Settings(umap=None, tsne=asked), False)
    there = backend.load(torch.from_numpy(X), 1.0, planned)
    graph = backend.neighbors(there, planned.graphs["tsne"])
    before = graph.distances.copy()
    backend.layout("tsne", backend.start(there, asked), graph, asked, 1)
    assert bool((graph.distances == before).all())


def gpu_room(backend) -> Bytes:
    from gpuvis.backends.gpu import memory

    return Bytes(memory.free(), 1 << 40)


def test_a_matrix_that_does_not_fit_twice_is_streamed_to_the_same_scores(rapids, monkeypatch) -> None:
    backend, _ = choose("gpu")
    settings = gpuvis.Settings(umap=gpuvis.Umap(n_neighbors=5), pca_dim=10)
    tall = torch.from_numpy(np.tile(X, (20, 1))).half()
    in_core = backend.plan(*tall.shape, 2, settings, False)
    expected, kept = backend.pca(tall, 10, 1, 2.0**-5, in_core)
    tight(monkeypatch, int(1.9 * 4 * tall.numel()))
    streamed = plan.draft(plan.Work(*tall.shape, 2, settings, gpu_room(backend)))
    assert (in_core.pca, streamed.pca) == ("in core", "streamed")
    rapids.ledger.mark()
    scores, again = backend.pca(tall, 10, 1, 2.0**-5, streamed)
    np.testing.assert_allclose(backend.to_host(scores), backend.to_host(expected), atol=1e-3)
    assert again == pytest.approx(kept, abs=1e-5)
    assert sum(large(rapids, "device")) == 2 * tall.nbytes  # two passes, in half precision
    assert rapids.ledger.peaks["all"] < 4 * tall.numel()


def test_a_graph_too_large_for_the_device_is_built_in_batches_from_the_host(rapids, monkeypatch) -> None:
    backend, _ = choose("gpu")
    settings = gpuvis.Settings(umap=gpuvis.Umap(n_neighbors=15))
    monkeypatch.setattr("gpuvis.backends.gpu.plan.EXACT_WORK", 0)
    wide = torch.from_numpy(np.repeat(X, 40, axis=1)).half()
    tight(monkeypatch, 5_000_000)
    planned = backend.plan(*wide.shape, 2, settings, False)
    assert (planned.on_device, planned.graphs["umap"].kind) == (False, "batched")
    assert planned.repeatable["umap"].startswith("no, because")
    rapids.ledger.mark()
    maps = gpuvis.reduce(wide, settings, backend="gpu")
    assert not [one for one in rapids.ledger.crossings("device", at_least=wide.nbytes) if one.by != "cuvs"]
    assert trustworthiness(X, maps["umap"].coords, n_neighbors=15) > 0.93


def test_an_approximate_graph_is_taken_where_an_exact_one_costs_too_much(rapids, monkeypatch) -> None:
    monkeypatch.setattr("gpuvis.backends.gpu.plan.EXACT_WORK", 0)
    maps = reduced(rapids)
    (search,) = rapids.ledger.of("cuvs.build")
    assert search["algo"] == "nn_descent"
    assert trustworthiness(X, maps["umap"].coords, n_neighbors=15) > 0.93
    forced = reduced(rapids, settings=gpuvis.Settings(umap=QUICK.umap, pca_dim=30, deterministic=True))
    assert forced["umap"].plan.graphs["umap"].kind == "exact"


def test_what_does_not_fit_is_refused_before_anything_is_moved(rapids, monkeypatch) -> None:
    choose("gpu")
    tight(monkeypatch, 10_000)
    rapids.ledger.mark()
    with pytest.raises(OutOfMemoryError, match="of 600 × 64 needs .* on the device .*; there are 10 KiB on the device"):
        gpuvis.reduce(X, QUICK, backend="gpu")
    assert large(rapids, "device") == []


def test_memory_that_runs_out_in_the_work_is_told_with_the_plan(rapids, monkeypatch) -> None:
    from gpuvis.backends.gpu import backend as gpu

    choose("gpu")

    def full(*args):
        raise MemoryError("std::bad_alloc: out_of_memory")

    monkeypatch.setitem(gpu.LAYOUTS, "umap", full)
    told = r"umap of 600 × 64 does not fit in memory \(std::bad_alloc: out_of_memory\); .* on the device were planned"
    with pytest.raises(OutOfMemoryError, match=told):
        gpuvis.reduce(X, QUICK, backend="gpu")


def test_a_limit_holds(monkeypatch) -> None:
    rapids_double.install(monkeypatch)
    choose("gpu", memory_limit=1 << 20)
    with pytest.raises(OutOfMemoryError, match="there are 1 MiB on the device"):
        gpuvis.reduce(np.repeat(X, 40, axis=1), gpuvis.Settings(), backend="gpu")
    import cupy

    with pytest.raises(MemoryError):
        cupy.empty(3 << 20, cupy.uint8)


def test_a_metric_that_the_gpu_does_not_know_is_refused(rapids) -> None:
    with pytest.raises(SettingsError, match="umap_metric braycurtis is not known on the GPU; use --backend cpu"):
        reduced(rapids, settings=gpuvis.Settings(umap=gpuvis.Umap(metric="braycurtis")))


ROWS = ["007", "NA", "", "a,b", 'the "old" wood', "Ö", "null", "1.50", "two\nlines"]


def told_apart(rapids, monkeypatch, values: list[str], least: int = 0) -> list[str]:
    """Number the different values of a column by the GPU's backend, and put them together again."""
    backend, _ = choose("gpu")
    monkeypatch.setattr("gpuvis.backends.gpu.table.LARGE", least)
    rapids.ledger.mark()
    codes, found = backend.factorize(pd.Series(values, name="ground_truth_word_label", dtype="str"))
    assert codes.dtype == np.int64
    assert sorted(found) == sorted(set(values))
    return [found[code] for code in codes]


def test_labels_of_many_rows_are_told_apart_on_the_device(rapids, monkeypatch) -> None:
    assert told_apart(rapids, monkeypatch, ROWS * 9) == ROWS * 9
    assert [one.dtype for one in rapids.ledger.crossings("device")] == ["str"]
    assert sorted(one.dtype for one in rapids.ledger.crossings("host")) == ["int64", "str"]
    assert told_apart(rapids, monkeypatch, ROWS, least=10) == ROWS
    assert rapids.ledger.crossings("device") == []


def test_labels_that_find_no_room_on_the_device_are_told_apart_without_it(rapids, monkeypatch) -> None:
    choose("gpu")
    rapids_double.install(monkeypatch, fails={"cudf.from_arrow": "out_of_memory"})
    assert told_apart(rapids, monkeypatch, ROWS) == ROWS


def test_the_table_is_parsed_once_and_by_the_reader_that_judges_it(rapids, make_cache, monkeypatch) -> None:
    folder, parsed, read = make_cache(rows=60), [], table.arrow_csv.read_csv
    chosen, settings = choose("gpu"), gpuvis.Settings(umap=gpuvis.Umap())
    monkeypatch.setattr("gpuvis.backends.gpu.table.LARGE", 0)
    monkeypatch.setattr(
        table.arrow_csv, "read_csv", lambda *args, **options: parsed.append(1) or read(*args, **options)
    )
    asked = job.Job(folder, folder, settings, page=None)
    source = Task(job.decide(asked), chosen, StepTimer()).source(settings)
    found = classes.of(source.cache.table, source.cache.labels, chosen.backend.factorize)
    np.testing.assert_array_equal(found.codes, np.arange(60) % 3)
    assert found.words == list(WORDS)
    assert len(parsed) == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            {"missing": ("cuml", "cuvs")},
            r"RAPIDS is not installed: no cuml, cuvs \(with an NVIDIA GPU: make install",
        ),
        (
            {"present": False, "absent_error": "cudaErrorInsufficientDriver"},
            r"cuML 26\.10\S* is installed, but no CUDA device is visible: cudaErrorInsufficientDriver",
        ),
        (
            {"present": False, "absent_error": "cudaErrorNoDevice"},
            r"cuML 26\.10\S* is installed, but no CUDA device is visible: cudaErrorNoDevice",
        ),
        (
            {"driver": 12080},
            r"the NVIDIA driver is for CUDA 12\.8, but the libraries are built for CUDA 13: install a newer",
        ),
        (
            {"compute_capability": "70"},
            r"the GPU has compute capability 7\.0, but RAPIDS for CUDA 13 needs 7\.5 or more",
        ),
    ],
)
def test_each_obstacle_has_its_own_sentence(monkeypatch, options, reason) -> None:
    rapids_double.install(monkeypatch, **options)
    backend, told = choose("auto")
    assert backend.name == "cpu"
    assert told.startswith("no GPU can be used: ")
    with pytest.raises(NoGpuError, match=f"the GPU backend cannot be used: {reason}.*; use --backend cpu"):
        choose("gpu")


def test_a_healthy_device_is_taken(rapids) -> None:
    backend, reason = choose("auto")
    assert (backend.name, reason) == ("gpu", "a GPU is there, and did a small fit")
    device = backend.describe()
    assert (device.kind, device.name) == ("gpu", "RAPIDS double (no GPU)")
    assert device.details["compute_capability"] == "9.0"


def test_the_record_of_a_run_says_how_it_was_done(rapids, make_cache) -> None:
    folder = make_cache(rows=120, columns=20)
    backend, reason = choose("gpu")
    asked = job.Job(folder, folder, gpuvis.Settings(umap=gpuvis.Umap(n_neighbors=10), pca_dim=5), page=None)
    (outcome,) = stages.run(job.decide(asked), Selection(backend, reason), StepTimer(settle=backend.settle))
    assert outcome.result == "written"
    told = json.loads((folder / "vis_umap_run.json").read_text())
    assert told["backend"]["name"] == "gpu"
    assert told["plan"]["graphs"]["umap"]["kind"] == "exact"
    assert told["repeatable"] == limits.SAME
    for step in ("pca", "neighbors", "umap"):
        assert 0 < told["steps"][step]["peak_device_bytes"]


def test_memory_that_runs_out_in_the_search_is_told_with_the_plan(monkeypatch) -> None:
    rapids_double.install(monkeypatch, fails={"cuvs.build@600": "out_of_memory"})
    with pytest.raises(OutOfMemoryError, match=r"does not fit in memory \(std::bad_alloc.* on the device were planned"):
        gpuvis.reduce(X, QUICK, backend="gpu")


def test_scores_lie_where_the_plan_wants_them(rapids) -> None:
    from dataclasses import replace

    backend, _ = choose("gpu")
    planned = backend.plan(*X.shape, 4, QUICK, False)
    scores, _ = backend.pca(torch.from_numpy(X), 30, 1, 1.0, replace(planned, on_device=False))
    assert isinstance(scores, np.ndarray)


def test_a_graph_that_fails_lets_the_matrix_go(rapids, monkeypatch) -> None:
    from gpuvis.backends.gpu import backend as gpu
    from gpuvis.backends.matrix import plan
    from gpuvis.reduction.reduce import embed, prepare

    backend, _ = choose("gpu")
    tensor = torch.from_numpy(X)
    prepared = prepare(tensor, BOTH, backend, StepTimer(), plan(tensor, BOTH, backend, 16.0), 16.0)
    with monkeypatch.context() as patch:
        patch.setattr(gpu, "neighbors", lambda *args: (_ for _ in ()).throw(ValueError("no")))
        with pytest.raises(ValueError, match="no"):
            embed(prepared, "umap", backend, StepTimer())
    embed(prepared, "tsne", backend, StepTimer())
    assert prepared.X is None
    assert prepared.graphs == {}


def swapped_keywords(gpu, monkeypatch) -> None:
    from gpuvis.backends.gpu import layout

    real = layout.tsne_keywords

    def swapped(*args):
        told = real(*args)
        return told | {"perplexity": told["n_neighbors"], "n_neighbors": int(told["perplexity"])}

    monkeypatch.setattr(layout, "tsne_keywords", swapped)


def no_copy(gpu, monkeypatch) -> None:
    from gpuvis.backends.gpu import layout

    monkeypatch.setattr(layout, "for_perplexity", lambda distances, xp: distances)


def two_transfers(gpu, monkeypatch) -> None:
    real = gpu.as_array
    monkeypatch.setattr(gpu, "as_array", lambda X, scale=1.0: (real(X, scale), real(X, scale))[0])


def full_precision(gpu, monkeypatch) -> None:
    real = gpu.as_array
    on = gpu.cupy.ndarray
    monkeypatch.setattr(
        gpu, "as_array", lambda X, scale=1.0: real(X if isinstance(X, on) else torch.as_tensor(X).float(), scale)
    )


def graph_of_its_own(gpu, monkeypatch) -> None:
    real = gpu.neighbors
    monkeypatch.setattr(gpu, "neighbors", lambda X, how: (real(X, how), real(X, how))[0])


BREAKS = {
    "swapped keywords": (swapped_keywords, test_cuml_is_told_what_was_asked),
    "no copy": (no_copy, test_tsne_leaves_the_graph_as_it_was),
    "two transfers": (two_transfers, lambda rapids: once(rapids, torch.float32)),
    "full precision": (full_precision, lambda rapids: once(rapids, torch.float16)),
    "a graph of its own": (
        graph_of_its_own,
        test_maps_of_one_metric_share_one_graph_and_neither_depends_on_the_other,
    ),
}


def once(rapids, dtype) -> None:
    test_the_matrix_crosses_once_in_its_own_type_and_each_map_comes_back_once(rapids, dtype)


@pytest.mark.parametrize("name", BREAKS)
def test_the_double_notices_what_is_broken_on_purpose(rapids, monkeypatch, name) -> None:
    choose("gpu")
    from gpuvis.backends.gpu import backend as gpu

    break_it, check = BREAKS[name]
    break_it(gpu, monkeypatch)
    with pytest.raises((AssertionError, ValueError)):
        check(rapids)
