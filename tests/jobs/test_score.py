"""gpuvis score: how far maps that are there can be trusted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from examples import content

from gpuvis.cli.main import main
from gpuvis.io import cache
from gpuvis.labels import classes
from gpuvis.quality import report


def score(*args: str | Path) -> Result:
    return CliRunner().invoke(main, ["score", *map(str, args), "--backend", "cpu"])


@pytest.fixture
def scored(make_cache) -> Path:
    """A cache with three classes that overlap, and a map of it that someone else has made: its first two columns."""
    folder = make_cache(rows=300, columns=12)
    np.save(folder / "vis_umap_coords.npy", cache.read(folder).embeddings.numpy()[:, :2].astype(np.float64))
    return folder


def test_a_map_of_anyone_is_measured_and_nothing_is_written(scored) -> None:
    before = content(scored)
    result = score(scored)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == str(scored / "vis_umap_coords.npy")
    assert lines[1].split() == ["euclidean", "map", "±", "PCA", "map", "original"]
    told = json.loads(score(scored, "--json").stdout)[str(scored / "vis_umap_coords.npy")]
    for name, title in report.MEASURES.items():
        (line,) = [line for line in lines if line.strip().startswith(title.format(k=15))]
        assert f"{told['euclidean']['map'][name]:.4f}" in line
        assert f"{told['euclidean']['pca'][name]:.4f}" in line
    assert lines[-1] == "  anchors: 300, all rows"
    assert content(scored) == before


def test_the_metric_is_that_of_the_fit(scored, backend) -> None:
    CliRunner().invoke(main, ["reduce", str(scored), "--overwrite", "--umap_metric", "cosine", "--tsne", "--umap"])
    told = json.loads(score(scored, "--json").stdout)
    assert [(one["metric"], "cosine" in one) for one in told.values()] == [("cosine", True)] * 2
    assert list(json.loads(score(scored, "--json", "--tsne").stdout)) == [str(scored / "vis_tsne_coords.npy")]


def warned(folder: Path, coords: np.ndarray) -> str:
    np.save(folder / "vis_umap_coords.npy", coords)
    return score(folder).stderr


def test_what_is_wrong_with_a_map_is_said(scored) -> None:
    draw = np.random.default_rng(0)
    noise = draw.standard_normal((300, 2))
    assert "keeps no more of the nearest neighbours" in warned(scored, noise)
    (scored / "labels.pt").unlink(missing_ok=True)
    table = pd.read_csv(scored / "metadata.csv", dtype=str)
    table.assign(ground_truth_num_label=draw.integers(0, 3, 300)).to_csv(scored / "metadata.csv", index=False)
    labels = classes.of(cache.read(scored).table).codes
    islands = np.stack([np.cos(labels), np.sin(labels)], 1) * 100 + noise
    assert "classes look further apart than they are" in warned(scored, islands)
    flung = noise.copy()
    flung[[5, 9]] = 1e4
    assert "2 points were flung far outside the map" in warned(scored, flung)
    flung[5] = 0
    assert "1 point was flung far outside the map" in warned(scored, flung)


@pytest.mark.parametrize(("columns", "warned"), [(2, False), (12, True)])
def test_a_map_that_keeps_all_neighbours_is_right_although_pca_does_as_well(make_cache, columns, warned) -> None:
    folder = make_cache(rows=300, columns=columns)
    X = cache.read(folder).embeddings.numpy()
    np.save(folder / "vis_umap_coords.npy", X[:, ::-1][:, :2])
    assert ("keeps no more" in score(folder).stderr) == warned


def test_a_file_of_any_name_is_a_map_of_the_cache_that_it_lies_in(make_cache, scored, monkeypatch) -> None:
    other = make_cache("z")
    np.save(other / "vis_tsne_coords.npy", np.random.default_rng(0).standard_normal((40, 2)))
    (scored / "maps").mkdir()
    mine, below = scored / "my map.npy", scored / "maps" / "2.npy"
    (scored / "vis_umap_coords.npy").rename(mine)
    np.save(below, np.asfortranarray(np.load(mine).astype(int)))
    told = json.loads(score(mine, other, below, "--json").stdout)
    assert list(told) == [str(other / "vis_tsne_coords.npy"), str(mine), str(below)]
    assert [one["metric"] for one in told.values()] == ["cosine", "euclidean", "euclidean"]
    assert told[str(mine)]["euclidean"]["map"]["recall"] > told[str(below)]["euclidean"]["map"]["recall"] > 0.1
    assert told[str(mine)]["euclidean"]["pca"] == told[str(below)]["euclidean"]["pca"]
    monkeypatch.chdir(below.parent)
    assert score("2.npy", below).stdout.splitlines()[0] == "2.npy"


def test_a_map_is_the_same_by_its_file(make_cache, backend) -> None:
    folder = make_cache(rows=60)
    CliRunner().invoke(main, ["reduce", str(folder), "--no-html", "--umap_metric", "cosine", "--umap", "--tsne"])
    make_cache(rows=60, seed=1)
    by_folder, by_file = score(folder), score(*sorted(folder.glob("*_coords.npy"), reverse=True))
    assert by_file.stdout == by_folder.stdout
    assert by_file.stdout.count("  cosine") == 2
    assert by_file.stderr == by_folder.stderr
    assert "the cache has changed" in by_file.stderr


HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 2)}"


def _with_header(path: Path, header: str) -> None:
    path.write_bytes(b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode())


@pytest.mark.parametrize(
    ("name", "write", "says"),
    [
        (
            "cache/a.npy",
            lambda path: np.save(path, np.zeros((300, 3))),
            "holds float64 of shape (300, 3); expected two",
        ),
        ("cache/a.npy", lambda path: np.save(path, np.zeros((300, 2), complex)), "holds complex128; expected numbers"),
        ("cache/a.npy", lambda path: np.save(path, np.zeros((299, 2))), "a.npy has 299 rows but"),
        ("cache/a.npy", lambda path: path.write_bytes(b"PK\3\4"), "cannot be read"),
        (
            "cache/a.npy",
            lambda path: _with_header(path, "{'descr': '<f4', 'fortran_order': ("),
            "a.npy cannot be read: ",
        ),
        ("cache/a.npy", lambda path: _with_header(path, HUGE), "a.npy cannot be read: mmap length is greater"),
        ("cache/a.txt", lambda path: path.write_text("1,2"), "cannot be read"),
        ("cache/a.npy", lambda path: None, "a.npy cannot be read: No such file or directory"),
        (
            "a.npy",
            lambda path: np.save(path, np.zeros((300, 2))),
            "a.npy lies in no cache: expected embeddings.pt in its folder",
        ),
        ("nothing", lambda path: None, "nothing is not a folder; expected one with embeddings.pt and metadata.csv"),
    ],
)
def test_a_file_that_cannot_be_measured_does_not_cost_the_next(scored, tmp_path, name, write, says) -> None:
    write(tmp_path / name)
    good = scored / "vis_umap_coords.npy"
    result = score(tmp_path / name, good)
    assert result.exit_code == 1
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert says in error
    assert error.startswith(f"error: {tmp_path / name} ")
    assert result.stdout.startswith(f"{good}\n")


def test_what_has_changed_since_a_map_was_made_is_said(make_cache, backend) -> None:
    folder = make_cache(rows=60)
    CliRunner().invoke(main, ["reduce", str(folder), "--no-html"])
    assert "the cache has changed" not in score(folder).stderr
    make_cache(rows=60, seed=1)  # written over the other
    result = score(folder)
    path = folder / "vis_umap_coords.npy"
    assert f"note: {path}: the cache has changed since the umap map was made\n" in result.stderr
    assert result.exit_code == 0
    np.save(path, np.random.default_rng(0).standard_normal((60, 2)))
    assert f"{path}: vis_umap_coords.npy is not the map that its record describes\n" in score(folder).stderr


def test_a_good_map_has_no_warning(digits, tmp_path) -> None:
    folder = shutil.copytree(digits, tmp_path / "digits")
    assert CliRunner().invoke(main, ["reduce", str(folder), "--tsne", "--backend", "cpu"]).exit_code == 0
    result = score(folder)
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: (folder / "vis_umap_coords.npy").unlink(), "has no vis_umap_coords.npy or vis_tsne_coords.npy"),
        (lambda folder: np.save(folder / "vis_umap_coords.npy", np.zeros((299, 2))), "has 299 rows but"),
        (lambda folder: np.save(folder / "vis_umap_coords.npy", np.full((300, 2), np.nan)), "holds NaN, Inf or too"),
        (lambda folder: (folder / "embeddings.pt").unlink(), "embeddings.pt is missing"),
    ],
)
def test_what_cannot_be_measured_does_not_cost_the_next(make_cache, scored, tmp_path, spoil, says) -> None:
    other = make_cache("z")
    np.save(other / "vis_tsne_coords.npy", np.random.default_rng(0).standard_normal((40, 2)))
    spoil(scored)
    result = score(scored, other)
    assert result.exit_code == 1
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout.startswith(f"{other / 'vis_tsne_coords.npy'}\n")


def test_rows_without_labels_have_no_label_accuracy(make_cache) -> None:
    table = cache.read(make_cache("a")).table.assign(ground_truth_num_label="", ground_truth_word_label="")
    assert not classes.of(table).names
    some = table.assign(ground_truth_word_label=["a", ""] * 20)
    assert classes.of(some).codes[:2].tolist() == [0, -1]


@pytest.mark.parametrize(("worth", "looked"), [(10_000, False), (300, True)])
def test_rapids_is_loaded_only_for_maps_of_many_rows(scored, monkeypatch, worth, looked) -> None:
    asked: list[bool] = []
    monkeypatch.setattr("gpuvis.backends.gpu.probe.obstacle", lambda: None)
    monkeypatch.setattr("gpuvis.backends.gpu.probe.check_gpu", lambda limit=None: asked.append(True) or "it is new")
    monkeypatch.setattr("gpuvis.backends.MIN_GPU_ROWS", worth)
    assert CliRunner().invoke(main, ["score", str(scored)]).exit_code == 0
    assert bool(asked) == looked
