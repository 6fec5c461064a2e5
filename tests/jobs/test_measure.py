"""How far to trust each map, told by every run: in its record, its table and its page, and judged if that is asked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from measures import true_neighbors
from pages import read
from sklearn.manifold import trustworthiness

from gpuvis.backends.base import Layout
from gpuvis.cli.main import main
from gpuvis.io import cache
from gpuvis.quality import measure as quality
from gpuvis.quality import report


def reduce(*args: str | Path) -> Result:
    return CliRunner().invoke(main, ["reduce", *map(str, args)])


def record_of(folder: Path, method: str = "umap") -> dict:
    return json.loads((folder / f"vis_{method}_run.json").read_text())


def parts(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return embeddings, coordinates, and the recall of each point."""
    X = cache.read(folder).embeddings.numpy()
    return X, np.load(folder / "vis_umap_coords.npy"), np.load(folder / "vis_umap_quality.npy")


def recall_of(X: np.ndarray, Y: np.ndarray, k: int = 15) -> np.ndarray:
    near, on_map = true_neighbors(X, k + 1)[:, 1:], true_neighbors(Y, k + 1)[:, 1:]
    return np.array([len(set(a) & set(b)) / k for a, b in zip(near, on_map, strict=True)])


def test_the_record_the_table_and_the_page_tell_the_same(make_cache, backend) -> None:
    folder = make_cache(rows=120)
    result = reduce(folder, "--umap")
    told = record_of(folder)["quality"]
    X, Y, _ = parts(folder)
    here = told["euclidean"]["map"]
    assert here["trustworthiness"] == pytest.approx(trustworthiness(X, Y, n_neighbors=15), abs=1e-6)
    assert here["recall"] == pytest.approx(recall_of(X, Y).mean(), abs=1e-6)
    assert f"{here['recall']:.1%} ({told['euclidean']['pca']['recall']:.1%})" in result.stderr
    assert f"{folder}: umap {report.line(told)}" in result.stderr
    for measure in ("recall@15", "trustworthiness@15", "triplets ", "labels by kNN"):
        assert measure in report.line(told)


@pytest.mark.parametrize(("asked", "known"), [("auto", 120), ("full", 120)])
def test_the_recall_of_each_point_is_saved(make_cache, backend, asked, known) -> None:
    folder = make_cache(rows=120)
    reduce(folder, "--quality", asked)
    X, Y, recall = parts(folder)
    assert (recall.dtype, recall.shape) == (np.float32, (120,))
    np.testing.assert_allclose(recall, recall_of(X, Y), atol=1e-6)
    assert record_of(folder)["quality"]["points"] == known


def test_of_many_points_a_sample_is_measured_unless_all_are_asked_for(make_cache, backend, monkeypatch) -> None:
    monkeypatch.setattr("gpuvis.jobs.measure.MOST_ROWS_SEARCHED", 100)
    monkeypatch.setattr(quality, "EXACT_ROWS", 50)
    monkeypatch.setattr(quality, "ANCHORS", 40)
    folder = make_cache(rows=120)
    reduce(folder, "--no-neighbors")
    X, Y, recall = parts(folder)
    some = np.isfinite(recall)
    assert (some.sum(), record_of(folder)["quality"]["points"]) == (40, 40)
    np.testing.assert_allclose(recall[some], recall_of(X, Y)[some], atol=1e-6)
    result = reduce(folder, "--no-neighbors", "--quality", "full")
    assert "drawn again" in result.stderr
    np.testing.assert_allclose(parts(folder)[2], recall_of(X, Y), atol=1e-6)
    assert "up to date" in reduce(folder, "--no-neighbors", "--quality", "full").stderr
    assert "up to date" in reduce(folder, "--no-neighbors").stderr


def test_a_map_below_what_is_asked_fails_and_keeps_its_files(make_cache, backend) -> None:
    folder, good = make_cache(rows=120), make_cache("good", rows=120)
    for again in range(2):  # a map that is there already is judged by its record
        result = reduce(folder, "--min-trust", "0.999")
        assert result.exit_code == 5
        assert f"error: {folder}: the umap map has a trustworthiness of 0." in result.stderr
        assert ("up to date" if again else "written") + ", not trusted" in result.stderr
        assert f"{folder}: umap recall@15 " in result.stderr
    assert len(list(folder.glob("vis_umap*"))) == 4
    assert reduce(folder, good, "--min-trust", "0.3").exit_code == 0
    assert len(reduce(good, "--overwrite", "--min-trust", "1").stdout.splitlines()) == 4


def test_what_was_not_measured_is_measured_by_the_next_run(make_cache, backend) -> None:
    folder = make_cache(rows=120)
    assert reduce(folder, "--quality", "none").exit_code == 0
    assert record_of(folder)["quality"] is None
    assert not (folder / "vis_umap_quality.npy").exists()
    assert "up to date" in reduce(folder, "--quality", "none").stderr
    result = reduce(folder, "--no_html", "--min-trust", "0.3")
    assert "1 measured" in result.stderr
    assert Path(result.stdout.splitlines()[0]) == folder / "vis_umap_quality.npy"
    assert record_of(folder)["quality"]["points"] == 120
    assert "drawn again" in reduce(folder).stderr  # the page lacks it still
    (folder / "vis_umap_quality.npy").unlink()
    assert "drawn again" in reduce(folder).stderr
    assert (folder / "vis_umap_quality.npy").exists()


def test_measures_of_an_earlier_map_do_not_stay(make_cache, backend) -> None:
    folder = make_cache(rows=120)
    reduce(folder)
    result = reduce(folder, "--overwrite", "--quality", "none")
    assert "vis_umap_quality.npy showed an earlier map and was removed" in result.stderr
    np.save(folder / "vis_umap_quality.npy", np.zeros(3))
    assert "vis_umap_quality.npy was made by something else" in reduce(folder).stderr


def test_a_map_that_cannot_be_measured_is_whole(make_cache, backend, monkeypatch) -> None:
    monkeypatch.setattr(quality, "measure_map", lambda *args: 1 / 0)
    folder = make_cache(rows=120)
    result = reduce(folder)
    assert result.exit_code == 0
    assert "note: " in result.stderr
    assert "the map was not measured" in result.stderr
    assert (folder / "vis_umap.html").exists()
    assert reduce(folder, "--min-trust", "0.5").exit_code == 5


@pytest.mark.parametrize("least", ["1.5", "-0.1", "nan"])
def test_a_trustworthiness_that_cannot_be_is_refused(make_cache, backend, least) -> None:
    folder = make_cache()
    assert reduce(folder, "--min-trust", least).exit_code == 2
    assert reduce(folder, "--min-trust", "0.5", "--quality", "none").exit_code == 2
    assert not list(folder.glob("vis*"))


def test_a_map_that_means_nothing_is_told(make_cache, backend, monkeypatch) -> None:
    noise = np.random.default_rng(0).standard_normal((120, 2))
    monkeypatch.setattr(backend, "umap", lambda *how: Layout(noise, []))
    folder = make_cache(rows=120)
    page, pages = folder / "vis_umap.html", []
    for theme, result in [
        ("auto", "written"),
        ("auto", "up to date"),
        ("dark", "drawn again"),
        ("auto", "drawn again"),
    ]:
        told = reduce(folder, "--theme", theme).stderr
        assert f"{folder}: umap {result}" in told
        assert told.count(f"note: {folder}: umap: the map keeps no more of the nearest neighbours") == 1
        pages.append(page.read_bytes())
    assert pages[0] == pages[3] != pages[2]
    heading, quality = read(page.read_text()).header["heading"], record_of(folder)["quality"]
    assert heading["verdict"] == report.verdict(quality)
    assert heading["measures"] == [list(measure) for measure in report.explained(quality)]
    assert heading["warnings"] == report.warnings(quality)
    assert "note: " not in reduce(folder, "-q").stderr
