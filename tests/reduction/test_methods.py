"""A third method: a row of the table, a class of settings and a layout. All else follows."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest
from doubles import Log, results
from pages import read

from gpuvis.backends.base import Layout
from gpuvis.backends.cpu import backend
from gpuvis.backends.gpu import limits
from gpuvis.errors import SettingsError
from gpuvis.jobs import batch, measure
from gpuvis.jobs.batch import Request
from gpuvis.settings import METHODS, Method, Settings, Tsne, TsneSettings, Umap, UmapSettings


@dataclass(frozen=True, kw_only=True)
class Smooth:
    """Principal components, each row at the mean of its neighbours."""

    k: int = 6
    metric: str = "cosine"
    library = None

    def n_graph_neighbors(self, rows: int) -> int:
        return self.k

    def fitted_to(self, rows: int, columns: int) -> tuple[Smooth, list[str]]:
        if self.k <= rows - 1:
            return self, []
        return replace(self, k=rows - 1), [f"smooth_k {self.k} is too large for {rows} rows: {rows - 1} is used"]


def smoothed(X, graph, settings, seed) -> Layout:
    indices, _ = graph.nearest(settings.k)
    return Layout(X[indices].mean(1), [], {"neighbors": settings.k})


@pytest.fixture
def smooth(monkeypatch) -> Settings:
    monkeypatch.setitem(METHODS, "smooth", Method("Smoothed PCA", Smooth))
    monkeypatch.setitem(backend.LAYOUTS, "smooth", smoothed)
    return Settings(umap=None, more=(Smooth(),))


def test_the_main_job_draws_maps_by_a_third_method(make_cache, tmp_path, smooth) -> None:
    folder, other = make_cache("t/a"), make_cache("t/b", seed=1)
    request = Request((tmp_path / "t",), smooth, backend="cpu")
    assert results(batch.run(request, Log())) == [("a", "smooth", "written"), ("b", "smooth", "written")]
    coords = np.load(folder / "vis_smooth_coords.npy")
    assert (coords.shape, coords.dtype) == ((40, 2), np.float32)
    assert len(np.load(folder / "vis_smooth_quality.npy")) == 40

    record = json.loads((folder / "vis_smooth_run.json").read_text())
    assert record["effective"] == {"method": "smooth", "k": 6, "metric": "cosine", "pca_dim": None, "seed": 1}
    assert record["plan"]["graphs"] == {"smooth": {"metric": "cosine", "k": 6, "seed": 1}}
    assert record["layout"] == {"neighbors": 6}
    assert record["steps"]["smooth"]["seconds"] >= 0
    heading = read((folder / "vis_smooth.html").read_text()).header["heading"]
    assert heading["caption"].startswith("Smoothed PCA · 40 × 8 · k 6 · metric cosine")
    front_page = (tmp_path / "t" / "index.html").read_text()
    assert "a/vis_smooth.html" in front_page
    assert "b/vis_smooth.html" in front_page

    assert results(batch.run(request, Log())) == [("a", "smooth", "up to date"), ("b", "smooth", "up to date")]
    (changed,) = batch.run(
        replace(request, roots=(other,), settings=replace(smooth, more=(Smooth(k=9),))), Log()
    ).outcomes
    assert "it was made with k 6 (now 9)" in str(changed.error)


def test_a_third_method_is_measured_drawn_again_and_drawn_with_others(make_cache, smooth) -> None:
    folder = make_cache()
    everything = Settings(tsne=Tsne(perplexity=5), more=smooth.more)
    done = batch.run(Request((folder,), everything, backend="cpu"), Log())
    assert results(done) == [("cache", method, "written") for method in ("umap", "tsne", "smooth")]
    (score,) = measure.scores([], [folder / "vis_smooth_coords.npy"], backend)
    assert score.measured | {"points": 40} == done.outcomes[2].quality
    again = batch.run(Request((folder,), Settings.of("smooth"), only_draw=True), Log())
    assert results(again) == [("cache", "smooth", "drawn again")]


def test_settings_carry_a_third_method(smooth) -> None:
    both = Settings(more=(Smooth(k=50),), pca_dim=4)
    assert both.maps == {"umap": Umap(), "smooth": Smooth(k=50)}
    assert both.only("umap") == Settings(pca_dim=4)
    assert both.only("smooth") == Settings(umap=None, more=(Smooth(k=50),), pca_dim=4)
    assert pickle.loads(pickle.dumps(both)) == both
    assert hash(replace(both)) == hash(both)
    fitted, notes = both.fitted_to(20, 8)
    assert fitted.maps == {"umap": Umap(n_neighbors=19), "smooth": Smooth(k=19)}
    assert notes[1] == "smooth_k 50 is too large for 20 rows: 19 is used"
    assert Settings.of("smooth") == smooth


def test_the_gpu_refuses_a_method_that_it_does_not_know(smooth) -> None:
    with pytest.raises(SettingsError, match="smooth is not known on the GPU; use --backend cpu"):
        limits.check(smooth)


@pytest.mark.parametrize(
    "more", [(Smooth(),), (Umap(),), (Tsne(), Tsne(perplexity=5))], ids=["unknown", "again", "two"]
)
def test_settings_of_no_method_or_of_one_twice_are_refused(more) -> None:
    with pytest.raises(SettingsError, match="more has to be"):
        Settings(more=more)


def test_the_table_names_the_methods_and_the_defaults_of_each() -> None:
    assert list(METHODS) == ["umap", "tsne"]
    assert Settings.of("umap") == Settings()
    assert Settings.of("tsne") == Settings(umap=None, tsne=Tsne())
    assert Settings.of(*METHODS) == Settings(tsne=Tsne())
    assert (Umap, Tsne) == (UmapSettings, TsneSettings)


def test_each_method_says_how_many_neighbors_its_graph_needs() -> None:
    assert Umap(n_neighbors=15, optimizer="umap-learn").n_graph_neighbors(100) == 15
    assert [Tsne(perplexity=30).n_graph_neighbors(rows) for rows in (92, 91, 1000)] == [92, 91, 92]
    assert Tsne(method="exact").n_graph_neighbors(100) == 0
