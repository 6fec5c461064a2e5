"""gpuvis outliers: files that viewers know, written whole, never over others, and shown on pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result
from examples import content, table_of

from gpuvis.backends import matrix
from gpuvis.backends.cpu import backend as cpu
from gpuvis.cli.main import main
from gpuvis.errors import OutputError
from gpuvis.io import cache
from gpuvis.io.schema import SCORES
from gpuvis.io.table import read as read_table
from gpuvis.io.writer import write_cache
from gpuvis.jobs import audit
from gpuvis.labels import classes, outliers, tables

FILES = (*SCORES, "scores_run.json")


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [*map(str, args)])


@pytest.fixture
def backend(backend: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The quick backend, with a real search for neighbours."""
    monkeypatch.setattr(backend, "plan", cpu.plan)
    monkeypatch.setattr(backend, "working", cpu.working)
    return backend


@pytest.fixture
def flipped(make_cache, tmp_path) -> Path:
    """A cache in which two labels are wrong, and a row is there twice, with two labels."""
    table = table_of(120)
    for row in (7, 50):
        for name in ("ground_truth_num_label", "ground_truth_word_label"):
            table.loc[row, name] = table.loc[row + 1, name]
    X = cache.read(make_cache("plain", rows=120)).embeddings.clone()
    X[3] = X[4]
    return write_cache(tmp_path / "flipped", X, table).folder


def test_the_files_are_those_of_the_contract(flipped, backend) -> None:
    result = run("outliers", flipped)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [str(flipped / name) for name in FILES]
    centroid, neighbors = (pd.read_csv(flipped / name) for name in SCORES)
    whole = cache.read(flipped)
    found = classes.of(whole.table, whole.labels)
    plan = matrix.plan(whole.embeddings, outliers.search(), cpu, 9.0)
    expected = outliers.measure(whole.embeddings, found.codes, cpu, (plan, 9.0))
    rows = pd.Index(whole.table["file_name"]).get_indexer(centroid["file_name"])
    np.testing.assert_allclose(centroid["sim_to_centroid"], expected.similarities.own[rows], atol=1e-12)
    assert centroid["is_bottom_5pct"].dtype == bool
    assert centroid.columns[0] == "file_name"
    assert not centroid.isna().any().any()
    assert set(neighbors["row"][:3]) == {3, 7, 50}
    assert neighbors["suspect"][:3].tolist() == ["yes"] * 3
    right = table_of(120).loc[[7, 50], "ground_truth_word_label"].to_dict()
    assert neighbors.set_index("row")["suggested_word_label"][[7, 50]].to_dict() == right
    twins = neighbors[neighbors["duplicates"] > 0].set_index("row")
    assert twins["near_duplicate_row"].to_dict() == {3: 4, 4: 3}
    assert twins["duplicates_other_label"].tolist() == [1, 1]


def test_names_that_a_spreadsheet_would_run_stay_as_they_are_for_other_programs(make_cache, backend) -> None:
    names = ["=cmd|' /C calc'!A0", "+1", "@SUM(A1)", "-2", "\t=1", *(f"{k}.png" for k in range(35))]
    table = table_of(40)
    words = [f"={word}" for word in table["ground_truth_word_label"]]
    folder = make_cache()
    table.assign(file_name=names, ground_truth_word_label=words).to_csv(folder / "metadata.csv", index=False)
    run("outliers", folder)
    for name in SCORES:
        found = read_table(folder / name)
        assert sorted(found["file_name"]) == sorted(names)
        assert sorted(found["ground_truth_word_label"]) == sorted(words)


def test_the_worst_are_listed_and_listed_again(flipped, backend) -> None:
    for _ in range(2):
        lines = run("outliers", flipped).stderr.splitlines()
        at = next(k for k, line in enumerate(lines) if line.startswith("suspicion"))
        assert "suspects: " in lines[at - 1]
        assert (
            "rows with a near-duplicate: 2, of another label: 2; with an equal one: 2, of another label: 2"
            in lines[at - 1]
        )
        assert {line.split()[1] for line in lines[at + 1 : at + 4]} == {"3", "7", "50"}
        assert lines[at + 1].split()[0].endswith("!")
    assert lines[-1] == "1 up to date"
    assert run("outliers", flipped, "-q").stderr == ""


def test_nothing_is_computed_again_or_written_over(flipped, backend) -> None:
    run("outliers", flipped)
    before = content(flipped)
    assert run("outliers", flipped).stdout == ""
    assert content(flipped) == before
    (flipped / SCORES[0]).write_text("file_name\n")
    result = run("outliers", flipped)
    assert result.exit_code == 1
    assert f"{SCORES[0]} was changed after it was made; use --overwrite" in result.stderr
    assert run("outliers", flipped, "--overwrite").exit_code == 0
    after = content(flipped)
    assert {name for name in before if before[name] != after[name]} == {"scores_run.json"}  # it tells when


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: (folder / "scores_run.json").unlink(), "no run record vouches for it"),
        (lambda folder: (folder / "scores_run.json").write_text("[]"), "scores_run.json is damaged"),
        (lambda folder: (folder / SCORES[1]).unlink(), f"{SCORES[1]} is missing"),
        (
            lambda folder: write_cache(folder, cache.read(folder).embeddings + 1, table_of(120)),
            "the cache has changed since",
        ),
    ],
)
def test_what_no_record_vouches_for_is_left_alone(flipped, backend, spoil, says) -> None:
    run("outliers", flipped)
    spoil(flipped)
    before = content(flipped)
    result = run("outliers", flipped)
    assert result.exit_code == 1
    assert says in result.stderr
    assert content(flipped) == before


def test_a_run_that_failed_in_writing_is_done_again(flipped, backend, monkeypatch) -> None:
    real, written = audit._save_table, []

    def dying(path: Path, rows: pd.DataFrame) -> str:
        if written:
            raise OutputError("the disk is full")
        written.append(path)
        return real(path, rows)

    monkeypatch.setattr(audit, "_save_table", dying)
    assert run("outliers", flipped).exit_code == 1
    assert (flipped / SCORES[0]).exists()
    monkeypatch.setattr(audit, "_save_table", real)
    assert run("outliers", flipped).exit_code == 0
    assert set(json.loads((flipped / "scores_run.json").read_text())["outputs"]) == set(SCORES)
    assert not list(flipped.glob(".*"))


def test_a_broken_folder_does_not_cost_the_next(flipped, make_cache, backend, tmp_path) -> None:
    broken = make_cache("broken")
    (broken / "embeddings.pt").write_bytes(b"no")
    result = run("outliers", broken, flipped, "--out-dir", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "1 failed, 1 scored"
    assert sorted(p.name for p in (tmp_path / "out/flipped").iterdir()) == sorted(FILES)
    assert not list(flipped.glob("scores*"))


def test_reduce_scores_too_and_its_page_shows_it(flipped, backend) -> None:
    result = run("reduce", flipped, "--outliers")
    assert result.exit_code == 0, result.stderr
    assert [Path(line).name for line in result.stdout.splitlines()][:3] == list(FILES)
    told = json.loads((flipped / "vis_umap_run.json").read_text())["page"]["beside"]
    assert list(told) == [SCORES[1]]
    assert "2 up to date" in run("reduce", flipped, "--outliers").stderr
    (flipped / SCORES[0]).unlink()
    for name in FILES[1:]:
        (flipped / name).unlink()
    result = run("reduce", flipped, "--outliers")
    assert "1 scored" in result.stderr
    assert "drawn again" not in result.stderr  # the same scores as are on the page


def test_an_error_that_map_and_scores_share_is_said_once(make_cache, backend) -> None:
    folder = make_cache()
    X = cache.read(folder).embeddings.clone()
    X[3] = torch.nan
    torch.save(X, folder / "embeddings.pt")
    result = run("reduce", folder, "--outliers")
    assert result.exit_code == 1
    assert result.stderr.count("the first is row 3") == 1
    assert result.stderr.splitlines()[-1] == "2 failed"


def test_scores_that_come_later_are_drawn_by_the_next_run(flipped, backend) -> None:
    run("reduce", flipped)
    before = (flipped / "vis_umap.html").read_bytes()
    run("outliers", flipped)
    assert "drawn again" in run("reduce", flipped).stderr
    assert (flipped / "vis_umap.html").read_bytes() != before


def test_a_train_split_without_names_is_scored(make_cache, tmp_path, backend) -> None:
    table = table_of(60).assign(file_name="", ground_truth_word_label="", ground_truth_L2_num_label="-1")
    folder = write_cache(tmp_path / "train", cache.read(make_cache(rows=60)).embeddings, table).folder
    assert run("outliers", folder).exit_code == 0
    centroid, neighbors = (pd.read_csv(folder / name) for name in SCORES)
    assert centroid["sim_to_centroid"].notna().all()
    assert sorted(neighbors["row"]) == list(range(60))
    assert "not shown" not in run("reduce", folder).stderr


def test_scores_of_earlier_embeddings_are_not_shown(flipped, backend) -> None:
    run("outliers", flipped)
    whole = cache.read(flipped)
    write_cache(flipped, whole.embeddings.clone() + 1, whole.table)
    assert f"{SCORES[1]} is of earlier embeddings; gpuvis outliers --overwrite" in run("reduce", flipped).stderr
    assert run("outliers", flipped, "--overwrite").exit_code == 0
    assert "earlier embeddings" not in run("reduce", flipped).stderr


def test_classes_by_words_alone_have_no_numbers_and_are_shown(make_cache, tmp_path, backend) -> None:
    table = table_of(60).assign(ground_truth_num_label="")
    folder = write_cache(tmp_path / "words", cache.read(make_cache(rows=60)).embeddings, table).folder
    assert run("outliers", folder).exit_code == 0
    neighbors = pd.read_csv(folder / SCORES[1])
    assert neighbors["ground_truth_num_label"].isna().all()
    assert neighbors["suggested_num_label"].isna().all()
    assert set(neighbors["nearest_other_word_label"]) == set(table["ground_truth_word_label"])
    assert "not shown" not in run("reduce", folder).stderr


def test_labels_of_the_file_stand_in_for_a_blank_column(make_cache, tmp_path, backend) -> None:
    table, X = table_of(60)[["file_name"]], cache.read(make_cache(rows=60)).embeddings
    folder = write_cache(tmp_path / "files", X, table, torch.arange(60) % 3).folder
    assert run("outliers", folder).exit_code == 0
    assert sorted(set(pd.read_csv(folder / SCORES[0])["ground_truth_num_label"])) == [0, 1, 2]
    result = run("reduce", folder)
    assert "not shown" not in result.stderr
    assert "labels by kNN" in result.stderr


def test_a_folder_in_the_place_of_a_file_is_told_before_anything(flipped, backend) -> None:
    (flipped / SCORES[0]).mkdir()
    assert f"{flipped / SCORES[0]} is a folder" in run("outliers", flipped, "--overwrite").stderr
    assert not (flipped / SCORES[1]).exists()


def test_what_would_control_a_terminal_is_shown(flipped, backend) -> None:
    whole = cache.read(flipped)
    table = whole.table.assign(file_name="\x1b[31ma\x9b\x07.png", ground_truth_word_label="\x1b]0;b\x7f")
    folder = write_cache(flipped.parent / "\x1b[2J\x07out", whole.embeddings, table).folder
    for command in ("outliers", "reduce", "score"):
        result = run(command, folder)
        told = result.stderr + (result.stdout if command == "score" else "")  # elsewhere it is paths, for programs
        assert result.exit_code == 0, told
        assert "␛[2J␇out" in told
        assert not set(told) & {"\x1b", "\x9b", "\x07", "\x7f"}
        if command == "outliers":
            assert "␛]0;b␡" in told
            assert "␛[31ma�␇.png" in told
    assert "error: " + str(folder).replace("\x1b", "␛").replace("\x07", "␇") in run("reduce", folder / "none").stderr


def test_too_few_rows_are_told_without_a_word_of_maps(make_cache, backend) -> None:
    folder = make_cache()
    torch.save(torch.ones(4, 8), folder / "embeddings.pt")
    result = run("outliers", folder)
    assert result.exit_code == 1
    assert "embeddings.pt has shape (4, 8); 5 rows or more are needed" in result.stderr


def test_labels_that_are_no_classes_are_told(make_cache, backend, monkeypatch) -> None:
    monkeypatch.setattr(outliers, "MOST_CLASSES", 2)
    folder = make_cache()
    result = run("outliers", folder)
    assert result.exit_code == 1
    assert f"error: {folder} has 3 different labels in 40 rows; expected classes, 2 at most" in result.stderr
    assert "written" in run("reduce", folder, "--outliers").stderr  # the map is made all the same


def test_long_names_are_cut_and_odd_ones_stay_on_a_line() -> None:
    one = {
        "row": 3,
        "file_name": "a\nb" * 40,
        "ground_truth_num_label": "1",
        "ground_truth_word_label": "",
        "suspicion": 0.75,
        "suspect": "",
        "suggested_num_label": "2",
        "suggested_word_label": "bog",
    }
    names, line = tables.lines([one])
    assert line.startswith("0.7500     3    1      bog        a b")
    assert len(line) < 90
    assert names.split() == ["suspicion", "row", "label", "suggested", "file"]
    assert tables.lines([]) == []
