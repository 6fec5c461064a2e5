"""Records of earlier versions still say what is up to date."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from examples import content

from gpuvis.cli.main import main
from gpuvis.results.record import FORMAT

ARCHIVE = Path(__file__).parent / "data" / "format_0.zip"
COMMAND = ("--umap", "--tsne", "--outliers", "--plotlyjs", "cdn", "--backend", "cpu")


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder as gpuvis left it before its records had a format number."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(tmp_path)
    return tmp_path / "cache"


def test_a_folder_of_format_0_is_up_to_date(folder) -> None:
    before = content(folder)
    result = CliRunner().invoke(main, ["reduce", str(folder), *COMMAND])
    assert result.exit_code == 0
    assert "3 up to date" in result.stderr
    assert content(folder) == before


@pytest.mark.parametrize("died", [False, True])
def test_a_record_of_format_0_is_brought_up_to_date(folder, died) -> None:
    """A run of then that died before its coordinates were written has no SHA-256 of them in its record."""
    path = folder / "vis_umap_run.json"
    record = json.loads(path.read_text())
    record["outputs"]["vis_umap_coords.npy" if died else "vis_umap.html"] = None
    path.write_text(json.dumps(record))
    result = CliRunner().invoke(main, ["reduce", str(folder), *COMMAND])
    assert result.exit_code == 0
    assert f"2 up to date, 1 {'written' if died else 'drawn again'}" in result.stderr
    record = json.loads(path.read_text())
    assert (record["format"], record["finished"]) == (FORMAT, True)
    assert all(record["outputs"].values())
