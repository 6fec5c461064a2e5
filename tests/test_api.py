"""The public names: they are found, documented, and their examples run as they stand."""

from __future__ import annotations

import doctest
import inspect

import numpy as np
import pytest
import torch

import gpuvis
from gpuvis.errors import DataError, SettingsError

FUNCTIONS = [name for name in gpuvis.__all__ if inspect.isfunction(getattr(gpuvis, name))]
X = np.random.default_rng(0).normal(size=(60, 8)) + 9 * np.eye(3, 8).repeat(20, 0)
LABELS = ["cat"] * 20 + ["dog"] * 20 + ["fox"] * 20


@pytest.mark.parametrize("name", FUNCTIONS)
def test_examples_run_as_they_stand(name, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (test,) = doctest.DocTestFinder(recurse=False).find(getattr(gpuvis, name), name, globs={"gpuvis": gpuvis})
    assert test.examples, f"{name} has no example"
    assert doctest.DocTestRunner(optionflags=doctest.FAIL_FAST).run(test).failed == 0


@pytest.mark.parametrize("name", gpuvis.__all__)
def test_all_names_are_there_and_documented(name) -> None:
    found = getattr(gpuvis, name)
    assert name == "__version__" or inspect.getdoc(found)


def test_names_of_before_stay() -> None:
    assert (gpuvis.Umap, gpuvis.Tsne, gpuvis.Page) == (gpuvis.UmapSettings, gpuvis.TsneSettings, gpuvis.PageOptions)


def test_a_run_from_python_is_that_of_the_command(tmp_path) -> None:
    gpuvis.write_cache(tmp_path / "a", X, {"ground_truth_word_label": LABELS})

    class Steps(gpuvis.Progress):
        def __init__(self) -> None:
            self.names: list[str] = []

        def step(self, name: str) -> None:
            self.names.append(name)

    progress = Steps()
    request = gpuvis.Request([str(tmp_path / "a")], backend="cpu", outliers=True, out_dir=str(tmp_path / "out"))
    report = gpuvis.run(request, progress)
    assert [(outcome.method, outcome.result) for outcome in report.outcomes] == [
        ("outliers", "scored"),
        ("umap", "written"),
    ]
    assert {"read", "outliers", "umap", "draw"} <= set(progress.names)
    saved = gpuvis.load_map(tmp_path / "a", out=tmp_path / "out")
    assert {"suspicion", "recall"} <= set(saved.table)
    assert saved.record["finished"]
    measured = gpuvis.measure(X.astype(np.float32), saved.coords, LABELS, backend="cpu")
    assert measured.measures["euclidean"]["map"] == pytest.approx(saved.record["quality"]["euclidean"]["map"])
    np.testing.assert_array_equal(measured.recall, saved.recall)


def test_labels_that_are_none_have_no_say() -> None:
    labels = np.repeat([0, 1, 2], 20)
    labels[:3] = -1
    found = gpuvis.find_outliers(X, labels, backend="cpu")
    assert np.isnan(found.votes.suspicion[:3]).all()
    assert np.isfinite(found.votes.suspicion[3:]).all()
    tensor = gpuvis.find_outliers(X, torch.from_numpy(labels), backend="cpu")
    np.testing.assert_array_equal(found.votes.suspicion, tensor.votes.suspicion)
    words = ["", "", "", *np.array(["a", "b", "c"])[labels[3:]]]
    np.testing.assert_array_equal(found.votes.suspicion, gpuvis.find_outliers(X, words, backend="cpu").votes.suspicion)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: gpuvis.measure(X, X[:, :3]), DataError, r"coords has shape \(60, 3\); expected finite numbers of"),
        (lambda: gpuvis.measure(X, X[:, :2], metric="far"), SettingsError, "metric has to be one of euclidean"),
        (lambda: gpuvis.measure(X, X[:, :2], [1]), DataError, "labels has 1 entries; expected one for each of the 60"),
        (lambda: gpuvis.find_outliers(X[:3], [1, 2, 3]), DataError, "^X "),
        (lambda: gpuvis.draw(X), DataError, r"coords has shape \(60, 8\)"),
        (lambda: gpuvis.draw(X[:, :2], {"a": [1]}), DataError, "table has 1 rows; expected 60"),
        (lambda: gpuvis.load_map("nowhere"), gpuvis.CacheError, "is not there; make the map with gpuvis reduce"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, text) -> None:
    with pytest.raises(error, match=text):
        call()
