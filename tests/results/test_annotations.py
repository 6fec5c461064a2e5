"""What lies beside a map comes to its page: scores, predictions, and how far to trust each point."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from examples import table_of

from gpuvis.cli.main import main
from gpuvis.io import table
from gpuvis.page.options import Page
from gpuvis.results.annotations import read_annotations
from gpuvis.results.folder import Folder

RECALL = np.array([np.nan, 0.2, *[1.0] * 10], np.float32)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder of twelve samples."""
    table.write(tmp_path / "metadata.csv", table_of(12))
    return tmp_path


def joined(
    here: Path, recall: np.ndarray | None = None, rows: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, list[str]]:
    rows = table_of(12) if rows is None else rows
    read = read_annotations(rows, here, here)
    return read.joined(rows, recall), read.notes


def scores(here: Path, **changes: list) -> None:
    """Write what `gpuvis outliers` writes, the rows in an order of their own."""
    columns = {
        "row": range(12),
        "file_name": table_of(12)["file_name"],
        "suspicion": np.linspace(0.4, 0.62, 12).round(6),
        "suspect": ["", "yes"] * 6,
        "suggested_num_label": ["2"] * 12,
        "suggested_word_label": ["bog", ""] * 6,
        "outlier_score": [None, *[0.123456] * 11],
        "near_duplicates": [0] * 12,
        "near_duplicate_row": [None] * 12,
    }
    pd.DataFrame(columns | changes).iloc[::-1].to_csv(here / "scores_neighbors.csv", index=False)


def test_nothing_beside_adds_nothing(here) -> None:
    found, notes = joined(here)
    pd.testing.assert_frame_equal(found, table_of(12))
    assert notes == []


def test_the_recall_of_points_is_a_column(here) -> None:
    assert joined(here, RECALL)[0]["recall"].tolist() == ["", "0.2000", *["1.0000"] * 10]


def test_scores_come_in_the_order_of_the_rows(here) -> None:
    scores(here)
    found, notes = joined(here)
    assert notes == []
    assert list(found.columns[4:]) == ["suspicion", "outlier_score", "suspect", "suggested_label"]  # no column of zeros
    assert found["suspicion"].tolist() == [f"{value:.4f}" for value in np.linspace(0.4, 0.62, 12)]
    assert found["outlier_score"].tolist() == ["", *["0.1235"] * 11]
    assert found["suggested_label"].tolist() == [""] * 5 + ["2", "bog", "2", "bog", "2", "bog", "2"]


@pytest.mark.parametrize(
    "changes", [{"row": range(1, 13)}, {"file_name": ["x"] * 12}, {"row": [0] * 12}], ids=["rows", "names", "twice"]
)
def test_scores_of_other_samples_are_not_shown(here, changes) -> None:
    scores(here, **changes)
    found, notes = joined(here)
    assert list(found.columns) == list(table_of(12).columns)
    assert "scores_neighbors.csv is of other samples" in notes[0]


def test_scores_of_another_program_are_told_by_file(here) -> None:
    frame = pd.DataFrame({"file_name": ["003.png", "001.png"], "outlier_score": [0.5, 0.25]})
    frame.to_csv(here / "scores_centroid.csv", index=False)
    assert joined(here)[0]["outlier_score"].tolist() == ["", "0.2500", "", "0.5000", *[""] * 8]
    frame.assign(file_name="001.png").to_csv(here / "scores_centroid.csv", index=False)
    assert "cannot be matched to rows" in joined(here)[1][0]


def predictions(here: Path, name: str, files: list[int], **columns: list[str]) -> None:
    frame = pd.DataFrame({"file_name": [f"{k:03d}.png" for k in files], **columns})
    frame.to_csv(here / f"{name}.csv", index=False)


def test_predictions_become_columns_and_sets(here) -> None:
    predictions(here, "mis_A", [0, 1], predicted_label=["2", "1"], predicted_word_label=["bog", ""])
    predictions(here, "correct_A", [2, 3], predicted_label=["0", "1"], predicted_word_label=["a, b", "c"])
    predictions(here, "mis_B", [0, 3], predicted_label=["1", "1"], top3_prob_1=["0.9", "0.5"])
    predictions(here, "correct_B", [1, 2], predicted_label=["1", "1"])
    found, notes = joined(here)
    assert notes == []
    told = ["missed by all", "missed by some", "correct by all", "missed by some", *[""] * 8]
    assert found["predictions"].tolist() == told
    assert found["predicted A"].tolist() == ["bog", "1", "a, b", "c", *[""] * 8]
    assert found["predicted B"].tolist() == ["1", "1", "1", "1", *[""] * 8]
    assert found["probability B"].tolist() == ["0.9", "", "", "0.5", *[""] * 8]


def test_a_sample_that_a_model_does_not_list_is_neither_missed_nor_right_by_all(here) -> None:
    predictions(here, "mis_A", [0, 1])
    predictions(here, "mis_B", [0, 2])
    assert joined(here)[0]["predictions"].tolist() == ["missed by all", *["missed by some"] * 2, *[""] * 9]
    predictions(here, "correct_A", [2, 3])  # of the third, and of others, B has not said that it was right
    assert joined(here)[0]["predictions"].tolist() == ["missed by all", *["missed by some"] * 2, *[""] * 9]
    predictions(here, "correct_B", [3])
    assert joined(here)[0]["predictions"].tolist()[2:5] == ["missed by some", "correct by all", ""]
    predictions(here, "mis_C", [])  # which has missed nothing
    assert joined(here)[0]["predictions"].tolist() == [*["missed by some"] * 3, *[""] * 9]


def test_predictions_of_samples_that_are_not_there_are_told(here) -> None:
    predictions(here, "mis_A", [0, 12, 13])
    found, notes = joined(here)
    told = "mis_A.csv: rows left out, which match no file_name of metadata.csv: 2 of 3, as '012.png'"
    assert notes == [f"{told}; write the names as they are there, as '000.png'"]
    predictions(here, "mis_B", [12])  # a model of other samples does not keep ours from being missed by all
    found, notes = joined(here)
    assert notes[1].startswith("mis_B.csv: rows left out")
    assert found["predictions"].tolist() == ["missed by all", *[""] * 11]
    nameless = table_of(12).assign(file_name="")
    assert joined(here, rows=nameless)[1][1].endswith("; it names no files")
    _, notes = joined(here, rows=nameless.drop(columns="file_name"))
    assert notes[0] == "not shown: mis_A.csv: metadata.csv has no column file_name"


def test_samples_that_a_model_has_both_missed_and_not_are_told(here) -> None:
    predictions(here, "mis_A", [0, 1], predicted_label=["2", "1"])
    predictions(here, "correct_A", [1, 2], predicted_label=["0", "0"])
    found, notes = joined(here)
    assert notes == ["correct_A.csv: samples that are in mis_A.csv too, and taken as missed: 1"]
    assert found["predictions"].tolist()[:3] == ["missed by all", "missed by all", "correct by all"]
    assert found["predicted A"].tolist()[:3] == ["2", "1", "0"]


def test_predictions_that_cannot_be_read_are_told(here) -> None:
    (here / "mis_A.csv").write_text("name\nx\n")
    assert joined(here)[1] == ["not shown: mis_A.csv has no column file_name"]
    (here / "mis_A.csv").write_text('file_name,b\n"x\n')
    assert "mis_A.csv is broken" in joined(here)[1][0]


def test_a_name_that_is_there_twice_tells_nothing(here) -> None:
    predictions(here, "mis_A", [0, 0, 1])
    predictions(here, "correct_A", [2, 3, 4])
    twice = table_of(12)
    twice.loc[2, "file_name"] = "003.png"
    assert joined(here)[0]["predictions"].tolist()[:4] == ["", "missed by all", "correct by all", "correct by all"]
    found, _ = joined(here, rows=twice)
    assert found["predictions"].tolist()[2:5] == ["", "", "correct by all"]


@pytest.mark.parametrize(
    "text", ["file_name,suspicion\n000.png,high\n", "row,file_name\n99999999999999999999,000.png\n", "a\n"]
)
def test_scores_that_are_none_are_told_with_their_file(here, text) -> None:
    (here / "scores_neighbors.csv").write_text(text)
    predictions(here, "mis_A", [0])
    found, notes = joined(here)
    assert notes[0].startswith("not shown: scores_neighbors.csv ")
    assert found["predictions"][0] == "missed by all"


def test_what_cannot_be_read_does_not_fail_the_page(make_cache, backend) -> None:
    folder = make_cache()
    (folder / "mis_A.csv").mkdir()
    (folder / "correct_A.csv").symlink_to("nowhere")
    (folder / "mis_B.csv").write_text("")
    run = CliRunner()
    result = run.invoke(main, ["reduce", str(folder)])
    assert result.exit_code == 0, result.stderr
    assert "not shown: " in result.stderr
    assert "mis_B.csv is empty" in result.stderr
    assert "up to date" in run.invoke(main, ["reduce", str(folder)]).stderr


def test_a_column_of_the_table_stays_as_it_is(here) -> None:
    own = table_of(12).assign(recall="mine")
    assert joined(here, RECALL, own)[0]["recall"].tolist() == ["mine"] * 12


def test_the_record_knows_what_the_page_was_made_of(here) -> None:
    before = Folder(here, here).describe_page(Page())
    scores(here)
    predictions(here, "mis_A", [0])
    assert list(Folder(here, here).describe_page(Page())["beside"]) == ["scores_neighbors.csv", "mis_A.csv"]
    assert before["beside"] == {}


def test_predictions_bring_a_page_up_to_date(make_cache, backend) -> None:
    folder = make_cache()
    run = CliRunner()
    run.invoke(main, ["reduce", str(folder)])
    predictions(folder, "mis_A", [0, 5], predicted_label=["2", "1"])
    assert "drawn again" in run.invoke(main, ["reduce", str(folder)]).stderr
    assert "up to date" in run.invoke(main, ["reduce", str(folder)]).stderr
    assert list(json.loads((folder / "vis_umap_run.json").read_text())["page"]["beside"]) == ["mis_A.csv"]
    assert run.invoke(main, ["plot", str(folder), "--color_by", "predictions"]).exit_code == 0
