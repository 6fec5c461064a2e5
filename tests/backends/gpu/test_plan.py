"""Plans: arithmetic, tried up to 10⁹ rows, and held against the worked examples of cuVS's own guides."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from gpuvis.backends.gpu import limits, memory_model, plan
from gpuvis.backends.gpu.memory_model import Bytes
from gpuvis.backends.gpu.plan import Work
from gpuvis.errors import DataError, GpuvisError, OutOfMemoryError, SettingsError
from gpuvis.settings import Settings, Tsne, Umap

GIB = 1 << 30
BOTH = Settings(tsne=Tsne())


def work(rows: float, columns: int = 1152, settings: Settings = BOTH, itemsize: int = 4, **room: float) -> Work:
    fitted, _ = settings.fitted_to(int(rows), columns)
    host = room.get("host")
    size = Bytes(int(room.get("device", 80) * GIB), int((host or 0) * GIB))
    return Work(int(rows), columns, itemsize, fitted, size, host is not None)


def kinds(done: plan.Plan) -> dict[str, str]:
    return {method: graph.kind for method, graph in done.graphs.items()}


def test_nn_descent_takes_what_its_guide_works_out() -> None:
    got = memory_model.nn_descent(10**6, 128, 32)
    assert got.device + memory_model.matrix(10**6, 128) == 1_304_000_000
    # the guide's example leaves out its own term for distances; and all-neighbors makes its indices 8 bytes each
    assert got.host == 2_320_000_000 + 4 * 64 * 10**6 + 8 * 32 * 10**6


def test_nn_descent_reads_a_matrix_on_the_device_as_it_is_and_one_of_few_columns_in_single_precision() -> None:
    """nn_descent.cuh, GNND::build: only float32 from the host becomes half precision, above 16 columns."""
    there = memory_model.nn_descent(10**6, 128, 32, on_device=True)
    assert memory_model.nn_descent(10**6, 128, 32).device - there.device == 2 * 128 * 10**6
    assert memory_model.nn_descent(10**6, 16, 32).device - there.device == 4 * 16 * 10**6
    graph = memory_model.approximate_graph(10**6, 32)
    assert graph.device == int(1.3 * (there.device + 12 * 32 * 10**6))


def test_a_batched_graph_is_merged_into_the_callers_arrays() -> None:
    """all_neighbors_batched.cuh, batch_build of one GPU: 12 bytes of each entry, there or on the host."""
    device, host = (memory_model.batched_graph(10**8, 50, 22, 64, on_host=on_host) for on_host in (False, True))
    entries = int(1.25 * 12 * 22 * 10**8)
    assert (device.device - host.device, host.host - device.host) == pytest.approx((entries, entries), abs=2)


def test_pca_in_core_copies_the_matrix_once_at_a_time() -> None:
    """pca.pyx: fit and transform each copy it to Fortran order, one after the other."""
    whole = memory_model.matrix(10**6, 512)
    assert memory_model.pca_in_core(10**6, 512, 50).device == pytest.approx(
        1.05 * (whole + 2 * 200e6 + 3 * 512**2 * 4), rel=1e-6
    )


def test_tsne_takes_what_its_source_allocates() -> None:
    """tsne_runner.cuh sorts 2 N k entries by keys of 24 bytes while P is there; the FFT has arrays for each row."""
    done = plan.plan(work(10**6, 50, Settings(umap=None, tsne=Tsne()), device=80))
    assert done.steps["tsne"].device / 10**6 == pytest.approx(96 * 92 + 12 * 92 + 12 * 96, rel=0.005)
    assert memory_model.tsne_layout(10**6, 5).device == pytest.approx(10**6 * (52 * 5 + 332), rel=0.01)


def test_the_promise_is_weaker_where_ties_are_broken_as_they_come() -> None:
    few, many = (
        plan.plan(work(10_000, 50, Settings(umap=Umap(n_neighbors=k)), device=80)).repeatable["umap"]
        for k in (256, 257)
    )
    assert few == limits.SAME
    assert (
        many
        == f"{limits.SAME}, unless the last of its more than 256 neighbours is as far as the next: one of them is taken"
    )


def test_more_rows_than_a_spectral_start_takes_count_the_start_from_principal_components() -> None:
    few, many = (
        plan.draft(work(rows, 50, Settings(umap=Umap(n_neighbors=5)), device=900)).steps["start"].device / rows
        for rows in (107_374_182, 107_374_183)
    )
    assert many - few == pytest.approx(memory_model.pca_streamed(107_374_183, 50).device / 107_374_183, rel=0.01)


def test_centring_before_nn_descent_counts_its_copy_unless_pca_did_it() -> None:
    asked, whole = work(4e6, 64, Settings()), memory_model.matrix(4 * 10**6, 64)
    done = plan.plan(asked)
    assert kinds(done) == {"umap": "nn_descent"}
    graph = memory_model.approximate_graph(4 * 10**6, done.graphs["umap"].k).device
    assert done.steps["neighbors"].device == 2 * whole + graph
    cosine = plan.plan(work(4e6, 64, Settings(umap=Umap(metric="cosine"))))
    assert cosine.steps["neighbors"].device == whole + graph
    reduced = plan.plan(work(4e6, 1152, Settings(pca_dim=64)))
    assert reduced.steps["neighbors"].device == whole + graph
    assert [one.graphs["umap"].centred for one in (done, cosine, reduced)] == [True, False, False]


def test_rows_are_centred_where_there_is_room_for_it() -> None:
    for host, centred in ((512, True), (100, False)):
        done = plan.plan(work(20e6, settings=Settings(umap=Umap(n_neighbors=15)), host=host))
        assert (done.on_device, kinds(done), done.graphs["umap"].centred) == (False, {"umap": "batched"}, centred)
    tight = plan.draft(work(4e6, 2048, Settings(umap=Umap(n_neighbors=15)), device=48, host=32))
    assert (tight.on_device, kinds(tight), tight.graphs["umap"].centred) == (True, {"umap": "nn_descent"}, False)


def test_a_batched_graph_takes_what_its_guide_works_out() -> None:
    output = 384_000_000
    cluster = (
        224_000_000  # the example's, of clusters that are all as large; here the largest may be half as large again
    )
    local = memory_model.nn_descent(250_000, 128, 32)
    got = memory_model.batched_graph(10**6, 128, 32, 8, on_host=False)
    assert 1.25 * (output + cluster + local.device) < got.device
    assert got.device < 1.25 * (output + 2 * (cluster + local.device))
    assert 1.25 * (16_000_128 + local.host) < got.host


def test_umap_takes_about_what_its_source_allocates() -> None:
    assert memory_model.umap_layout(10**6, 15).device == pytest.approx(1.2e9, rel=0.1)


def test_small_data_is_done_in_core_with_one_exact_graph_for_both_maps() -> None:
    done = plan.plan(work(70_000, settings=Settings(umap=Umap(metric="cosine"), tsne=Tsne(), pca_dim=50)))
    assert (done.pca, done.on_device, kinds(done)) == ("in core", True, {"umap": "exact", "tsne": "exact"})
    assert done.graphs["umap"] == done.graphs["tsne"]
    assert set(done.repeatable.values()) == {limits.SAME}


def test_large_data_is_approximate_and_says_so() -> None:
    done = plan.plan(work(10e6, settings=Settings(umap=Umap(n_neighbors=15), pca_dim=50)))
    assert (done.pca, done.on_device, kinds(done)) == ("streamed", True, {"umap": "nn_descent"})
    assert done.repeatable["umap"].startswith("no, because the neighbour graph is built by NN-descent")


def test_data_larger_than_the_device_is_streamed_and_searched_in_batches() -> None:
    done = plan.plan(work(20e6, settings=Settings(), host=512))
    assert (done.pca, done.on_device, kinds(done)) == (None, False, {"umap": "batched"})
    assert done.graphs["umap"].n_clusters >= 4
    streamed = plan.plan(work(20e6, settings=Settings(pca_dim=50), host=512))
    assert (streamed.pca, streamed.on_device) == ("streamed", True)


ROWS = (5, 1_400, 70_000, 10**6, 10**7, 5 * 10**7, 10**8, 10**9)
GRID = list(product(ROWS, (2, 64, 512, 1152, 4096), (2, 4), (None, 50), (16, 80)))


@pytest.mark.parametrize(("rows", "columns", "itemsize", "pca_dim", "device"), GRID)
def test_every_plan_fits_or_is_refused_with_advice(rows, columns, itemsize, pca_dim, device) -> None:
    asked = work(rows, columns, Settings(pca_dim=pca_dim), itemsize, device=device, host=256)
    if plan._excess(asked, plan.draft(asked)):
        assert rows >= 10**6
        with pytest.raises(OutOfMemoryError, match="; (use |umap alone would fit)"):
            plan.plan(asked)
        return
    done = plan.plan(asked)
    assert 0 < done.peak.device <= device * GIB
    assert 0 <= done.peak.host <= 256 * GIB
    more = plan.plan(replace(asked, room=Bytes(4 * asked.room.device, 4 * asked.room.host)))
    assert kinds(more)["umap"] in {"exact", kinds(done)["umap"], "nn_descent"}  # more room never makes a map worse


@pytest.mark.parametrize("rows", [1_400, 10**6, 3 * 10**6, 2 * 10**7])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_the_graph_of_a_map_does_not_depend_on_the_other_map(rows, metric) -> None:
    asked = Settings(umap=Umap(metric=metric), tsne=Tsne(perplexity=10, metric="cosine"), pca_dim=50)
    both = plan.draft(work(rows, settings=asked, host=512))
    for method in asked.methods:
        alone = plan.draft(work(rows, settings=asked.only(method), host=512))
        assert alone.graphs[method] == both.graphs[method]
        assert (alone.pca, alone.on_device) == (both.pca, both.on_device)


def test_advice_is_the_mildest_change_that_fits() -> None:
    with pytest.raises(OutOfMemoryError, match="step umap of 50,000,000 × 1,152 needs .* use --umap_neighbors 16$"):
        plan.plan(work(50e6, settings=Settings()))
    plan.plan(work(50e6, settings=Settings(umap=Umap(n_neighbors=16))))
    with pytest.raises(OutOfMemoryError):
        plan.plan(work(50e6, settings=Settings(umap=Umap(n_neighbors=17))))
    with pytest.raises(OutOfMemoryError, match="umap alone would fit"):
        plan.plan(work(20e6, settings=replace(BOTH, pca_dim=50)))
    with pytest.raises(OutOfMemoryError, match="tsne of 50,000,000 rows with 92 neighbours each has more entries"):
        plan.plan(work(50e6, settings=Settings(umap=None, tsne=Tsne(), pca_dim=50)))


def test_too_little_host_memory_is_refused_too() -> None:
    settings = Settings(umap=Umap(n_neighbors=15), pca_dim=50)
    plan.plan(work(20e6, settings=settings, host=256))
    with pytest.raises(OutOfMemoryError, match=r"there are 80\.0 GiB on the device and 8\.0 GiB on the host"):
        plan.plan(work(20e6, settings=settings, host=8))


def test_deterministic_takes_an_exact_graph_or_refuses_with_the_cost() -> None:
    settings = Settings(umap=Umap(n_neighbors=15), pca_dim=50)
    assert kinds(plan.plan(work(5e6, settings=settings))) == {"umap": "nn_descent"}
    forced = plan.plan(work(5e6, settings=replace(settings, deterministic=True)))
    assert (kinds(forced), forced.repeatable) == ({"umap": "exact"}, {"umap": limits.SAME})
    with pytest.raises(SettingsError, match="--deterministic needs an exact neighbour graph: .* some 11 hours"):
        plan.plan(work(60e6, settings=replace(settings, umap=Umap(n_neighbors=5), deterministic=True)))


def test_metrics_without_an_approximate_search_are_exact_or_refused() -> None:
    manhattan = Settings(umap=Umap(metric="manhattan"), pca_dim=50)
    assert kinds(plan.plan(work(5e6, settings=manhattan))) == {"umap": "exact"}
    with pytest.raises(SettingsError, match="umap_metric manhattan needs an exact neighbour graph"):
        plan.plan(work(60e6, settings=manhattan))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(umap=Umap(metric="braycurtis")), "umap_metric braycurtis is not known on the GPU; use --backend cpu"),
        (Settings(tsne=Tsne(perplexity=341)), "tsne_perplexity 341 is too large for the GPU, .*: at most 340; use"),
    ],
)
def test_what_the_gpu_does_not_know_is_refused(settings, message) -> None:
    with pytest.raises(SettingsError, match=message):
        limits.check(settings)


def test_what_the_gpu_knows_is_not_refused() -> None:
    for metric in ("euclidean", "cosine", "correlation", "manhattan", "chebyshev", "canberra"):
        limits.check(Settings(umap=Umap(metric=metric), tsne=Tsne(perplexity=340, metric=metric)))


def test_more_rows_than_can_be_counted_are_refused() -> None:
    with pytest.raises(DataError, match="has 2,147,483,648 rows; cuML counts up to 2,147,483,647"):
        plan.plan(work(2**31, columns=2))


def test_a_graph_too_large_for_the_device_to_count_lies_on_the_host() -> None:
    done = plan.draft(work(150e6, settings=Settings(umap=Umap(n_neighbors=15), pca_dim=50), device=1000, host=4000))
    assert done.graphs["umap"].on_host
    assert done.graphs["umap"].kind == "batched"


def test_a_plan_is_ready_for_json() -> None:
    import json

    told = json.loads(json.dumps(plan.plan(work(1_400)).describe()))
    assert told["graphs"]["tsne"] == {
        "metric": "cosine",
        "k": 96,
        "kind": "exact",
        "n_clusters": 1,
        "on_host": False,
        "centred": False,
    }
    assert told["steps"]["umap"]["device"] > 0


def test_all_errors_of_a_plan_are_ours() -> None:
    for rows in (10**9, 2 * 10**9):
        with pytest.raises(GpuvisError):
            plan.plan(work(rows))


def test_an_exact_graph_of_a_matrix_on_the_host_counts_the_copy_of_it() -> None:
    tall = work(100_000, 10_000, Settings(umap=Umap(metric="manhattan")), device=4.0)
    done = plan.draft(tall)
    assert (done.on_device, kinds(done)) == (False, {"umap": "exact"})
    assert done.steps["neighbors"].device > memory_model.matrix(100_000, 10_000)


def test_every_step_of_a_reduction_is_planned_by_its_name() -> None:
    assert set(plan.plan(work(1_400)).steps) == {"load", "neighbors", "start", "umap", "tsne"}
    assert set(plan.plan(work(1_400, settings=Settings(pca_dim=50))).steps) == {"pca", "neighbors", "start", "umap"}


def test_an_exact_graph_with_more_entries_than_can_be_counted_is_refused() -> None:
    asked = Settings(umap=None, tsne=Tsne(metric="euclidean"), pca_dim=50, deterministic=True)
    with pytest.raises(OutOfMemoryError, match="tsne of 25,000,000 rows with 92 neighbours each has more"):
        plan.plan(work(25e6, settings=asked, device=1000))


def test_a_mapped_file_is_no_copy_on_the_host_unless_it_is_scaled() -> None:
    asked = work(20e6, settings=Settings(umap=Umap(n_neighbors=15)), host=512)
    whole = memory_model.matrix(20_000_000, 1152)
    assert plan.draft(asked).steps["load"].host == 0
    assert plan.draft(replace(asked, scaled=True)).steps["load"].host == whole
    assert plan.draft(replace(asked, itemsize=2)).steps["load"].host == whole
