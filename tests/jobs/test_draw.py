"""Drawing again from saved coordinates, what lies beside a page, and the front page of a batch."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result
from doubles import FirstColumns
from examples import content, table_of
from pages import read, shades
from PIL import Image

from gpuvis.cli.main import main
from gpuvis.errors import OutputError
from gpuvis.io import cache
from gpuvis.jobs import batch
from gpuvis.jobs import draw as drawing
from gpuvis.page import thumbnails
from gpuvis.results.outputs import Outputs
from gpuvis.results.record import CacheRecord, RunRecord
from gpuvis.settings import Settings, Umap


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def page_of(folder: Path, method: str = "umap") -> str:
    return (folder / f"vis_{method}.html").read_text(encoding="utf-8")


@pytest.fixture
def coords_only(tmp_path: Path) -> Callable[[int], Path]:
    """Write a folder with nothing but a table and coordinates, as other programs leave them."""

    def make(rows: int) -> Path:
        folder = tmp_path / "old"
        folder.mkdir()
        table_of(rows).to_csv(folder / "metadata.csv", index=False)
        np.save(folder / "vis_umap_coords.npy", np.random.default_rng(0).standard_normal((rows, 2)))
        return folder

    return make


@pytest.mark.parametrize("rows", [1, 2, 30])
def test_any_number_of_points_is_drawn_without_the_embeddings(coords_only, rows) -> None:
    folder = coords_only(rows)
    result = run("plot", folder)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [str(folder / "vis_umap.html")]
    told = read(page_of(folder))
    assert told.header["heading"]["caption"] == f"UMAP · {rows} rows"
    assert told.texts("file_name") == table_of(rows)["file_name"].tolist()
    assert sorted(content(folder)) == ["metadata.csv", "vis_umap.html", "vis_umap_coords.npy"]


def test_a_map_is_drawn_again_and_its_record_vouches_for_it(make_cache, backend) -> None:
    folder = make_cache()
    assert run("reduce", folder, "--umap", "--tsne").exit_code == 0
    before = content(folder)
    result = run("plot", folder, "--tsne", "--color_by", "ground_truth_num_label", "--theme", "dark")
    assert result.exit_code == 0, result.stderr
    changed = {name for name, data in content(folder).items() if before[name] != data}
    assert changed == {"vis_tsne.html", "vis_tsne_run.json"}
    told = read(page_of(folder, "tsne")).header
    assert (told["colorBy"], told["theme"]) == ("ground_truth_num_label", "dark")
    asked = ("--tsne", "--color_by", "ground_truth_num_label", "--theme", "dark")
    assert "1 up to date" in run("reduce", folder, *asked).stderr


def test_pages_of_all_maps_are_drawn_if_none_is_named(make_cache, backend) -> None:
    folder = make_cache()
    run("reduce", folder, "--umap", "--tsne")
    pages = [folder / "vis_tsne.html", folder / "vis_umap.html"]
    for page in pages:
        page.unlink()
    assert run("plot", folder).exit_code == 0
    assert all(page.exists() for page in pages)


def test_what_was_drawn_here_is_drawn_again_without_a_record(coords_only) -> None:
    folder, kinds = coords_only(30), ("--static", "png", "--static", "svg", "--static", "pdf")
    assert run("plot", folder, *kinds).exit_code == 0
    assert run("plot", folder, *kinds).exit_code == 0
    (folder / "vis_umap.pdf").write_bytes(b"mine")
    assert "vis_umap.pdf was made by something else" in run("plot", folder, *kinds).stderr


def test_a_page_that_was_changed_since_is_left_alone(make_cache, backend) -> None:
    folder = make_cache()
    run("reduce", folder)
    (folder / "vis_umap.html").write_text(page_of(folder) + "<!-- mine -->")
    result = run("plot", folder)
    assert result.exit_code == 1
    assert "vis_umap.html was changed after it was made" in result.stderr
    assert page_of(folder).endswith("<!-- mine -->")
    assert run("plot", folder, "--overwrite").exit_code == 0
    assert "mine" not in page_of(folder)


def test_a_page_that_only_speaks_of_gpuvis_is_left_alone(coords_only) -> None:
    folder = coords_only(30)
    (folder / "vis_umap.html").write_text("<p>How I use gpuvis</p>")
    assert "was made by something else" in run("plot", folder).stderr


def test_coordinates_that_differ_from_their_record_are_drawn_without_it(make_cache, backend) -> None:
    folder = make_cache()
    run("reduce", folder)
    np.save(folder / "vis_umap_coords.npy", np.random.default_rng(0).standard_normal((40, 2)))
    before = (folder / "vis_umap_run.json").read_bytes()
    for _ in range(2):
        result = run("plot", folder)
        assert result.exit_code == 0, result.stderr
        assert "is not the map that its record describes" in result.stderr
        assert read(page_of(folder)).header["heading"]["caption"] == "UMAP · 40 rows"
    assert (folder / "vis_umap_run.json").read_bytes() == before


def test_a_page_that_something_else_made_is_left_alone(coords_only) -> None:
    folder = coords_only(30)
    (folder / "vis_umap.html").write_text("mine")
    result = run("plot", folder)
    assert result.exit_code == 1
    assert "was made by something else" in result.stderr
    assert page_of(folder) == "mine"
    assert run("plot", folder, "--overwrite").exit_code == 0
    assert page_of(folder) != "mine"


@pytest.mark.parametrize(
    ("name", "spoil", "says"),
    [
        (
            "vis_umap_coords.npy",
            lambda path: path.unlink(),
            "has no vis_umap_coords.npy or vis_tsne_coords.npy to draw",
        ),
        ("vis_umap_coords.npy", lambda path: path.write_bytes(b"x"), "cannot be read"),
        ("vis_umap_coords.npy", lambda path: np.save(path, np.zeros((29, 2))), "has 29 rows but"),
        ("vis_umap_coords.npy", lambda path: np.save(path, np.zeros(30)), "expected two columns"),
        (
            "vis_umap_coords.npy",
            lambda path: np.save(path, np.zeros((30, 3))),
            "float64 of shape (30, 3); expected two",
        ),
        ("vis_umap_coords.npy", lambda path: np.save(path, np.full((30, 2), np.nan)), "holds NaN, Inf or too"),
        ("vis_umap_coords.npy", lambda path: np.save(path, np.full((30, 2), 1e39)), "holds NaN, Inf or too"),
        ("metadata.csv", lambda path: path.unlink(), "cannot be read"),
    ],
)
def test_what_cannot_be_drawn_is_told(coords_only, name, spoil, says) -> None:
    folder = coords_only(30)
    spoil(folder / name)
    result = run("plot", folder)
    assert result.exit_code == 1
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert not (folder / "vis_umap.html").exists()


def test_neighbours_are_those_of_the_original_space(make_cache) -> None:
    folder = make_cache(rows=60, columns=8)
    assert run("reduce", folder, "--backend", "cpu", "--pca_dim", "2", "--tsne").exit_code == 0
    told = read(page_of(folder, "tsne"))
    found = told.numbers(told.header["neighbors"]["ids"]).reshape(10, 60).T
    X = cache.read(folder).embeddings.numpy()
    X = X / np.linalg.norm(X, axis=1, keepdims=True)  # t-SNE's metric is the cosine
    apart = np.linalg.norm(X[:, None] - X, axis=2)
    np.fill_diagonal(apart, np.inf)
    np.testing.assert_array_equal(found, np.argsort(apart, 1)[:, :10])
    before = page_of(folder, "tsne")
    assert run("plot", folder).exit_code == 0
    assert page_of(folder, "tsne") == before
    assert run("plot", folder, "--no-neighbors").exit_code == 0
    assert "neighbors" not in read(page_of(folder, "tsne")).header


def test_neighbours_of_many_rows_are_found_only_if_asked_for(make_cache, backend, monkeypatch) -> None:
    monkeypatch.setattr("gpuvis.page.options.MOST_ROWS_SEARCHED", 39)
    folder = make_cache(rows=40)
    run("reduce", folder)
    assert "neighbors" not in read(page_of(folder)).header
    run("plot", folder, "--neighbors")
    assert read(page_of(folder)).header["neighbors"]["k"] == 10
    monkeypatch.setattr("gpuvis.page.options.MOST_ROWS_SHOWN", 39)
    monkeypatch.setattr("gpuvis.jobs.draw.MOST_ROWS_SHOWN", 39)
    result = run("plot", folder, "--neighbors")
    assert "no neighbours: a page has room for those of 39 rows, and these are 40" in result.stderr
    assert "neighbors" not in read(page_of(folder)).header


def test_a_map_is_drawn_without_neighbours_where_they_cannot_be_found(make_cache, backend, monkeypatch) -> None:
    def fail(self: FirstColumns, *args: object) -> None:
        raise MemoryError("no more is given")

    monkeypatch.setattr(FirstColumns, "nearest", fail)
    folder = make_cache()
    result = run("reduce", folder)
    assert result.exit_code == 0
    assert "no neighbours" in result.stderr
    assert "neighbors" not in read(page_of(folder)).header


def test_what_a_page_lacks_is_put_there_as_soon_as_it_can_be(make_cache, backend, tmp_path) -> None:
    folder = make_cache(rows=5)
    run("reduce", folder, "--no-html")
    (folder / "embeddings.pt").rename(tmp_path / "away")
    (folder / "images").mkdir()
    assert run("plot", folder, "--thumbnails", "--image-root", folder / "images").exit_code == 0
    assert "thumbnails-0" not in page_of(folder)
    (tmp_path / "away").rename(folder / "embeddings.pt")
    for name in table_of(5)["file_name"]:
        (folder / "images" / name).write_bytes(Path(shades(tmp_path, 1)[0]).read_bytes())
    for told in ("1 drawn again", "1 up to date"):
        assert told in run("reduce", folder, "--thumbnails", "--image-root", folder / "images").stderr
        assert {"neighbors", "thumbnails"} <= read(page_of(folder)).header.keys()


def test_images_are_found_beside_the_table_or_where_they_are_said_to_be(make_cache, backend, tmp_path) -> None:
    folder = make_cache(rows=5)
    (folder / "images").mkdir()
    for name in table_of(5)["file_name"]:
        (folder / "images" / name).write_bytes(Path(shades(tmp_path, 1)[0]).read_bytes())
    run("reduce", folder)
    assert read(page_of(folder)).header["imageRoot"] == "images/"
    run("plot", folder, "--image-root", folder / "images", "--thumbnails")
    told = read(page_of(folder))
    assert told.numbers(told.header["thumbnails"]["places"]).tolist() == [1, 2, 3, 4, 5]
    assert 'id="thumbnails-0"' in page_of(folder)
    run("plot", folder, "--image_root", "https://host/x")
    assert read(page_of(folder)).header["imageRoot"] == "https://host/x/"


def test_thumbnails_take_what_room_their_page_leaves(make_cache, backend, monkeypatch) -> None:
    folder = make_cache(rows=40)
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for name in table_of(40)["file_name"]:
        Image.fromarray(rng.integers(0, 256, (96, 96, 3), np.uint8)).save(folder / "images" / name)
    run("reduce", folder, "--plotlyjs", "cdn")
    alone = len(page_of(folder))
    for room in (60_000, 0):
        monkeypatch.setattr(thumbnails, "MOST_BYTES", alone + room)
        assert run("plot", folder, "--plotlyjs", "cdn", "--thumbnails", "--overwrite").exit_code == 0
        assert room / 2 <= len(page_of(folder)) - alone <= room + 500  # which thumbnail is whose
        assert "1 up to date" in run("reduce", folder, "--plotlyjs", "cdn", "--thumbnails").stderr


@pytest.mark.parametrize("blank", [False, True])
def test_labels_of_their_file_colour_a_map_whose_table_has_none(make_cache, backend, blank) -> None:
    rows, base = table_of(40)[["file_name"]], 10**18
    if blank:
        rows = rows.assign(ground_truth_num_label="", ground_truth_word_label="")
    labels = torch.tensor([base + k % 3 for k in range(40)])
    folder = make_cache()
    rows.to_csv(folder / "metadata.csv", index=False)
    torch.save(labels, folder / "labels.pt")
    for command, told in (("reduce", "the labels of labels.pt are used, since metadata.csv has no"), ("plot", "")):
        result = run(command, folder)
        assert told in " ".join(result.stderr.split())
        assert "one colour" not in result.stderr
        assert "ground_truth_num_label is used" in result.stderr
        page = read(page_of(folder))
        assert page.header["colorBy"] == "ground_truth_num_label"
        assert page.texts("ground_truth_num_label") == list(map(str, labels.tolist()))
        assert len(set(page.column("ground_truth_num_label")["colors"])) == 3
    (folder / "labels.pt").write_bytes(b"cut")
    assert f"{folder}/labels.pt is " in "".join(run("plot", folder).stderr.splitlines())


def test_thumbnails_of_images_that_have_changed_are_drawn_again(make_cache, backend, tmp_path) -> None:
    folder = make_cache(rows=5)
    (folder / "images").mkdir()
    paths = [folder / "images" / name for name in table_of(5)["file_name"]]
    for path, shade in zip(paths, shades(tmp_path, 5), strict=True):
        path.write_bytes(Path(shade).read_bytes())
    assert "1 written" in run("reduce", folder, "--thumbnails").stderr
    first = page_of(folder)
    assert "1 up to date" in run("reduce", folder, "--thumbnails").stderr
    paths[0].write_bytes(paths[4].read_bytes())
    assert "1 drawn again" in run("reduce", folder, "--thumbnails").stderr
    assert page_of(folder) != first
    assert "1 up to date" in run("reduce", folder, "--thumbnails").stderr
    paths[1].unlink()
    assert "1 drawn again" in run("reduce", folder, "--thumbnails").stderr
    assert "1 drawn again" in run("reduce", folder).stderr
    paths[2].unlink()  # a page without thumbnails shows what is there
    assert "1 up to date" in run("reduce", folder).stderr


def test_images_that_are_not_there_are_told(make_cache, backend, tmp_path) -> None:
    folder = make_cache(rows=5)
    assert "no image" not in run("reduce", folder).stderr
    (folder / "images").mkdir()
    told = run("plot", folder).stderr
    assert "no image was found: of 5 that were looked for" in " ".join(told.split())
    assert read(page_of(folder)).header["imageRoot"] == "images/"
    (folder / "images" / table_of(5)["file_name"][3]).touch()  # the first is missing
    assert "no image" not in run("plot", folder).stderr
    assert read(page_of(folder)).header["imageRoot"] == "images/"
    assert "no image was found" in " ".join(run("plot", folder, "--image-root", tmp_path).stderr.split())


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--image-root", "nowhere"), "image_root has to be a folder that is there, or a URL; found 'nowhere'"),
        (("--image-root", "https://host/x", "--thumbnails"), "image_root has to be a folder, if thumbnails"),
        (("--theme", "pink"), "'pink' is not one of"),
        (("--static", "bmp"), "'bmp' is not one of"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_done(make_cache, backend, args, says) -> None:
    folder = make_cache()
    before = content(folder)
    result = run("reduce", folder, *args)
    assert result.exit_code == 2
    assert says in result.stderr
    assert content(folder) == before


def test_pictures_are_drawn_beside_the_page_and_vouched_for(make_cache, backend) -> None:
    folder = make_cache()
    result = run("reduce", folder, "--static", "svg", "--static", "png")
    names = [Path(line).name for line in result.stdout.splitlines()]
    ends = ("_coords.npy", "_quality.npy", ".html", ".png", ".svg", "_run.json")
    assert names == [f"vis_umap{end}" for end in ends]
    assert "1 up to date" in run("reduce", folder, "--static", "svg", "--static", "png").stderr
    (folder / "vis_umap.png").unlink()
    assert "1 drawn again" in run("reduce", folder, "--static", "svg", "--static", "png").stderr
    (folder / "vis_umap.svg").write_text("mine")
    assert "vis_umap.svg was changed after it was made" in run("reduce", folder, "--static", "svg").stderr


def test_a_caption_is_one_line_whatever_the_cache_says_of_itself() -> None:
    source = CacheRecord(5, 3, {}, info={"timestamp": "today\nrecall@15 100 %"})
    run = RunRecord(source, {}, {"name": "cpu"}, effective={"method": "umap"})
    assert run.caption == "UMAP · 5 × 3 · CPU · cache of today recall@15 100 %"


def test_a_picture_that_fails_costs_neither_the_page_nor_the_others(make_cache, backend, monkeypatch) -> None:
    from gpuvis.page import static

    folder, draw = make_cache(), static.draw
    run("reduce", folder, "--static", "svg")
    before = (folder / "vis_umap.svg").read_bytes()
    monkeypatch.setattr(static, "draw", lambda *how: 1 / 0 if how[-1] == "svg" else draw(*how))
    result = run("reduce", folder, "--static", "svg", "--static", "png", "--theme", "dark")
    assert result.exit_code == 0
    assert f"note: {folder}: no svg was drawn: ZeroDivisionError: division by zero\n" in result.stderr
    assert {"vis_umap.html", "vis_umap.png"} <= {Path(line).name for line in result.stdout.splitlines()}
    assert (folder / "vis_umap.svg").read_bytes() == before
    monkeypatch.setattr(static, "draw", draw)
    assert "1 drawn again" in run("reduce", folder, "--static", "svg", "--static", "png", "--theme", "dark").stderr
    assert "1 up to date" in run("reduce", folder, "--static", "svg", "--static", "png", "--theme", "dark").stderr


NOTEBOOK = """
import os, sys
from gpuvis.cli.main import main
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
try:
    main(["plot", sys.argv[1], "--static", "png"])
finally:
    print(os.environ["MPLBACKEND"])
"""


def test_pictures_are_drawn_in_a_notebook(coords_only) -> None:
    """Which names a way to show them that need not be installed where gpuvis is."""
    folder = coords_only(30)
    done = subprocess.run([sys.executable, "-c", NOTEBOOK, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "module://matplotlib_inline.backend_inline"
    assert (folder / "vis_umap.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_names_with_what_is_not_seen_are_written_in_pictures(make_cache, backend, kind) -> None:
    folder = make_cache()
    table = pd.read_csv(folder / "metadata.csv", dtype=str)
    unseen = "\ufeffa\u200bb\u202ec\u00ad"
    table.assign(ground_truth_word_label=unseen).to_csv(folder / "metadata.csv", index=False)
    result = run("reduce", folder, "--static", kind)
    assert f"no {kind} was drawn" not in result.stderr
    assert (folder / f"vis_umap.{kind}").stat().st_size > 1_000


def test_several_folders_have_a_front_page(make_cache, backend, tmp_path) -> None:
    for name in ("study/a b/seed1", "study/c/seed1"):
        make_cache(name)
    (tmp_path / "study/broken").mkdir()
    (tmp_path / "study/broken/metadata.csv").write_text("x\n")
    result = run("reduce", tmp_path / "study", "--umap", "--tsne")
    assert result.exit_code == 1
    assert "all maps: " in result.stderr
    index = (tmp_path / "study/index.html").read_text()
    links = re.findall(r'<a href="([^"]+)"><img src="(data:image/png;base64,[^"]+)" alt="">', index)
    assert [link for link, _ in links] == [
        *("a%20b/seed1/vis_tsne.html", "a%20b/seed1/vis_umap.html"),
        *("c/seed1/vis_tsne.html", "c/seed1/vis_umap.html"),
    ]
    assert index.count("40 × 8 · ") == 4
    before = content(tmp_path / "study")
    run("reduce", tmp_path / "study", "--umap", "--tsne")
    assert content(tmp_path / "study") == before


def test_the_front_page_keeps_the_maps_that_are_not_asked_for(make_cache, backend, tmp_path) -> None:
    for name in ("study/a", "study/b", "study/c"):
        make_cache(name)
    (tmp_path / "study/a").rename(tmp_path / "study/a&ü")
    run("reduce", tmp_path / "study", "--umap", "--tsne", "--out_prefix", "old")
    (tmp_path / "study/c/old_umap.html").unlink()
    run("reduce", tmp_path / "study/b", tmp_path / "study/c")
    links = re.findall(r'<a href="([^"]+)">', (tmp_path / "study/index.html").read_text())
    old = [f"{folder}/old_{method}.html" for folder in ("a%26%C3%BC", "b", "c") for method in ("tsne", "umap")]
    assert sorted(links) == sorted([*old[:-1], "b/vis_umap.html", "c/vis_umap.html"])


@pytest.mark.parametrize("spoil", [{"backend": None}, {"input": {"rows": 1}}, {"effective": []}, {"outputs": None}])
def test_a_batch_goes_on_where_a_record_is_malformed(make_cache, backend, tmp_path, spoil) -> None:
    for name in ("study/a", "study/b"):
        make_cache(name)
    run("reduce", tmp_path / "study")
    record = tmp_path / "study/a/vis_umap_run.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), **spoil}))
    result = run("reduce", tmp_path / "study", "--tsne")
    assert result.exit_code == 0, result.stderr
    assert "b/vis_umap.html" in (tmp_path / "study/index.html").read_text()
    assert "vis_umap_run.json is damaged, or not one of gpuvis" in run("reduce", tmp_path / "study").stderr


def test_labels_that_are_a_pipe_are_not_waited_for_by_plot(make_cache, backend) -> None:
    folder = make_cache()
    table_of(40)[["file_name"]].to_csv(folder / "metadata.csv", index=False)
    assert run("reduce", folder).exit_code == 0
    (folder / "labels.pt").unlink()
    os.mkfifo(folder / "labels.pt")
    result = run("plot", folder)
    assert result.exit_code == 1
    assert "labels.pt cannot be read: it is no ordinary file" in result.stderr


@pytest.mark.parametrize("quality", ["auto", "none"])
def test_what_is_unusual_about_the_rows_is_said_on_the_page(make_cache, backend, quality) -> None:
    same = make_cache(embeddings=np.ones((40, 8), np.float32))
    result = run("reduce", same, "--quality", quality)
    assert "note: " in result.stderr
    assert "all rows are the same, so a map shows nothing" in result.stderr
    heading = read(page_of(same)).header["heading"]
    assert heading["warnings"] == ["embeddings.pt: all rows are the same, so a map shows nothing"]
    assert bool(heading["verdict"]) == bool(heading["measures"]) == (quality == "auto")


def test_a_single_folder_has_none_and_that_of_others_is_left_alone(make_cache, backend, tmp_path) -> None:
    folder = make_cache("study/a")
    run("reduce", folder)
    assert not list(tmp_path.rglob("index.html"))
    make_cache("study/b")
    (tmp_path / "study/index.html").write_text("mine")
    result = run("reduce", tmp_path / "study")
    assert result.exit_code == 0
    assert "no front page was written" in result.stderr
    assert (tmp_path / "study/index.html").read_text() == "mine"


def test_pages_of_a_batch_can_share_plotly_js(make_cache, backend, tmp_path) -> None:
    folder = make_cache("study/a/seed1")
    make_cache("study/b/seed1")
    run("reduce", tmp_path / "study", "--plotlyjs", "shared", "--no-neighbors")
    (shared,) = (tmp_path / "study").glob("plotly-*.min.js")
    assert f'<script src="../../{shared.name}"></script>' in page_of(folder)
    assert len(page_of(folder)) < 2e5
    run("plot", tmp_path / "study", "--plotlyjs", "cdn")
    assert "https://cdn.plot.ly/plotly-" in page_of(folder)
    assert json.loads((folder / "vis_umap_run.json").read_text())["page"]["plotlyjs"] == "cdn"


def test_a_shared_file_is_written_whole_by_whoever_comes_first(tmp_path, monkeypatch) -> None:
    path, write = tmp_path / "plotly.js", Path.write_bytes

    def interrupted(temporary: Path, content: bytes) -> None:
        write(temporary, content)
        monkeypatch.undo()
        drawing._share(path, content)  # as another process does

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    drawing._share(path, b"whole")
    assert content(tmp_path) == {"plotly.js": b"whole"}
    path.write_bytes(b"wh")
    drawing._share(path, b"whole")
    assert content(tmp_path) == {"plotly.js": b"whole"}


def test_a_map_of_a_cache_that_has_changed_is_drawn_with_a_warning(make_cache, backend) -> None:
    folder = make_cache(seed=0)
    run("reduce", folder)
    assert "has changed" not in run("plot", folder).stderr
    make_cache(seed=1)
    result = run("plot", folder)
    assert result.exit_code == 0
    assert "the cache has changed since the umap map was made" in result.stderr
    make_cache(seed=0)
    assert "1 drawn again" in run("reduce", folder).stderr  # with the labels of its own cache
    assert "1 up to date" in run("reduce", folder).stderr


def test_pictures_of_an_earlier_map_are_removed(make_cache, backend) -> None:
    folder = make_cache()
    run("reduce", folder, "--static", "png")
    (folder / "vis_umap.svg").write_text("of someone else")
    result = run("reduce", folder, "--seed", "2", "--overwrite")
    assert "vis_umap.png showed an earlier map and was removed" in result.stderr
    assert not (folder / "vis_umap.png").exists()
    assert (folder / "vis_umap.svg").read_text() == "of someone else"


def test_pictures_without_a_record_go_with_their_map(make_cache, backend) -> None:
    folder = make_cache()
    np.save(folder / "vis_umap_coords.npy", np.zeros((40, 2)))
    run("plot", folder, "--static", "svg", "--static", "pdf")
    run("reduce", folder, "--overwrite")
    assert not {"vis_umap.svg", "vis_umap.pdf"} & content(folder).keys()


def test_drawing_again_that_fails_midway_is_taken_up_again(make_cache, backend, monkeypatch) -> None:
    folder = make_cache()
    run("reduce", folder)
    save = Outputs.save_drawn

    def fail(self: Outputs, path: Path, content: bytes) -> str:
        if path.suffix == ".png":
            raise OutputError(f"{path} could not be written: the disk is full")
        return save(self, path, content)

    with monkeypatch.context() as patched:
        patched.setattr(Outputs, "save_drawn", fail)
        assert run("plot", folder, "--theme", "dark", "--static", "png").exit_code == 1
    assert read(page_of(folder)).header["theme"] == "dark"
    for command in ("reduce", "plot"):
        assert "1 drawn again" in run(command, folder, "--theme", "light").stderr


def test_a_page_of_someone_else_outlives_overwrite(make_cache, backend) -> None:
    folder = make_cache()
    (folder / "vis_umap.html").write_text("<h1>notes</h1>")
    assert run("reduce", folder, "--no-html", "--overwrite").exit_code == 0
    assert page_of(folder) == "<h1>notes</h1>"


def test_a_page_is_drawn_again_if_what_it_loads_is_gone(make_cache, backend, tmp_path) -> None:
    folder = make_cache("study/a")
    run("reduce", tmp_path / "study", "--plotlyjs", "shared")
    assert "1 up to date" in run("reduce", tmp_path / "study", "--plotlyjs", "shared").stderr
    (shared,) = (tmp_path / "study").glob("plotly-*.min.js")
    shared.unlink()
    assert "1 drawn again" in run("reduce", tmp_path / "study", "--plotlyjs", "shared").stderr
    assert shared.exists()
    assert folder.exists()


def test_a_page_is_drawn_again_if_its_images_are_elsewhere_or_there_by_now(
    make_cache, backend, tmp_path, monkeypatch
) -> None:
    folder = make_cache(rows=5)
    run("reduce", folder)
    for root in (folder / "images", tmp_path / "one/images", tmp_path / "two/images"):
        root.mkdir(parents=True)
        for name in table_of(5)["file_name"]:
            (root / name).write_bytes(Path(shades(tmp_path, 1)[0]).read_bytes())
    assert "1 drawn again" in run("reduce", folder).stderr
    assert read(page_of(folder)).header["imageRoot"] == "images/"
    for place in ("one", "two"):
        monkeypatch.chdir(tmp_path / place)
        assert "1 drawn again" in run("reduce", folder, "--image-root", "images").stderr
        assert "1 up to date" in run("reduce", folder, "--image-root", "images").stderr
        assert read(page_of(folder)).header["imageRoot"] == f"../{place}/images/"


def test_pictures_that_are_not_drawn_again_are_no_longer_vouched_for(make_cache, backend) -> None:
    folder = make_cache()
    run("reduce", folder, "--static", "png")
    result = run("plot", folder, "--theme", "dark")
    assert "vis_umap.png was drawn earlier and stays as it is" in result.stderr
    assert "vis_umap.png" not in json.loads((folder / "vis_umap_run.json").read_text())["outputs"]
    assert "1 drawn again" in run("reduce", folder, "--theme", "dark", "--static", "png").stderr


def test_the_front_page_is_no_page_of_a_map_and_links_to_none_of_others(make_cache, backend, tmp_path) -> None:
    for name in ("study/a", "study/b"):
        make_cache(name)
    run("reduce", tmp_path / "study")
    (tmp_path / "study/a/vis_tsne.html").write_text("notes")
    run("reduce", tmp_path / "study")
    index = tmp_path / "study/index.html"
    assert "a/vis_tsne.html" not in index.read_text()
    index.write_text(page_of(tmp_path / "study/a"))
    assert "no front page was written" in run("reduce", tmp_path / "study").stderr


def test_folders_with_nothing_in_common_have_no_front_page() -> None:
    request = batch.Request((Path("/one/a"), Path("/two/b")), Settings(umap=Umap()))
    assert request.root is None
