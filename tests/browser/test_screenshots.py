"""Pictures of four pages, made as a reader would come to see them, for the README and to be looked at.

SCREENSHOTS=.github MNIST=cache/with/its/map python -m pytest tests/browser/test_screenshots.py keeps them.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image
from reader import Reader, expect

from gpuvis.cli.main import main
from gpuvis.io import cache

pytestmark = pytest.mark.browser

TILE = (440, 341)
NAME_BOXES = """(spans) => spans.map((span) => {
  const range = document.createRange();
  range.selectNodeContents(span);
  const { left, top, right, bottom } = range.getBoundingClientRect();
  return [left, top, right, bottom];
})"""

Look = Callable[..., Reader]


@pytest.fixture
def look(chromium: Any) -> Look:
    def opened(page: Path, coords: np.ndarray) -> Reader:
        tab = chromium.new_page(viewport={"width": 1280, "height": 800})
        tab.goto(page.as_uri())
        tab.wait_for_selector("html[data-drawn]")
        return Reader(tab, coords)

    return opened


def made_up(folder: Path, sizes: np.ndarray, words: list[str]) -> np.ndarray:
    """Write a table and coordinates of classes of so many points; return the coordinates."""
    draw, codes = np.random.default_rng(1), np.repeat(np.arange(len(sizes)), sizes)
    centers = draw.standard_normal((len(sizes), 2)) * np.sqrt(len(sizes)) * 3
    coords = (centers[codes] + draw.standard_normal((len(codes), 2))).astype(np.float32)
    columns = {
        "file_name": [f"{k:06d}.jpg" for k in range(len(codes))],
        "ground_truth_num_label": codes,
        "ground_truth_word_label": np.array(words)[codes],
        "ground_truth_L2_num_label": codes // 5,
    }
    folder.mkdir()
    pd.DataFrame(columns).to_csv(folder / "metadata.csv", index=False)
    np.save(folder / "vis_umap_coords.npy", coords)
    assert CliRunner().invoke(main, ["plot", str(folder)]).exit_code == 0
    return coords


def keep(reader: Reader, name: str, least_colors: int) -> None:
    """Keep a picture, in which there has to be something to see."""
    picture = Image.open(io.BytesIO(reader.page.screenshot())).convert("RGB")
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        picture.save(Path(folder) / f"{name}.png", optimize=True)
    pixels = np.asarray(picture)[120:560, 20:940]
    colors, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    assert (counts[np.ptp(colors.astype(int), 1) > 60] >= 4).sum() >= least_colors
    assert counts.max() < 0.99 * counts.sum()


def alike(X: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of the nearest ten rows that have the label of each row, and how far the tenth is."""
    apart = np.linalg.norm(X[:, None] - X, axis=2)
    nearest = np.argsort(apart, 1)[:, 1:11]
    return (labels[nearest] == labels[:, None]).mean(1), np.take_along_axis(apart, nearest[:, -1:], 1)[:, 0]


def test_digits_with_their_images(digits, tmp_path, look) -> None:
    folder = tmp_path / "feat_cache_vis/pixels_digits/test/seed1"
    shutil.copytree(digits, folder)
    assert CliRunner().invoke(main, ["reduce", str(folder), "--tsne", "--backend", "cpu"]).exit_code == 0
    coords = np.load(folder / "vis_tsne_coords.npy")
    cached = cache.read(folder)
    labels = cached.labels.numpy()
    truly, _ = alike(cached.embeddings.numpy(), labels)
    seemingly, reach = alike(coords, labels)
    # Where the map misleads most, in the midst of an island.
    row = int(np.argmax(np.where(reach < 2 * np.median(reach), truly - seemingly, 0)))
    apart = np.linalg.norm(coords - coords[row], axis=1)
    around = labels[np.argsort(apart)[1]]
    reader = look(folder / "vis_tsne.html", coords)
    names(reader, 0, 10)
    reader.page.emulate_media(color_scheme="light")
    reader.pin(row)
    reader.page.keyboard.press("l")
    spots = reader.spots
    island = np.flatnonzero((labels == around) & (apart < 12))
    low, high = spots[island].min(0) - 14, spots[island].max(0) + 14
    reader.draw([low, (high[0], low[1]), high, (low[0], high[1])])
    reader.hover(row)
    reader.page.wait_for_function("[...document.images].every((image) => image.complete)")
    keep(reader, "digits", 8)


def names(reader: Reader, row: int, least: int) -> None:
    """Check that names are there and lie over no other, in light and dark; keep pictures of them in one table."""
    for column, theme in enumerate(("light", "dark")):
        reader.page.emulate_media(color_scheme=theme)
        reader.page.wait_for_function(f"document.querySelectorAll('#names span').length >= {least}")
        reader.page.wait_for_timeout(300)
        boxes = np.array(reader.see("#names span").evaluate_all(NAME_BOXES))
        apart = [(boxes[:, None, k] >= boxes[:, k + 2]) | (boxes[:, k + 2][:, None] <= boxes[:, k]) for k in (0, 1)]
        assert (np.logical_or(*apart) | np.eye(len(boxes), dtype=bool)).all()
        folder = os.environ.get("SCREENSHOTS")
        if folder:
            file = Path(folder) / "names.png"
            table = Image.open(file) if file.exists() else Image.new("RGB", (2 * TILE[0], 4 * TILE[1]))
            tile = Image.open(io.BytesIO(reader.see("#map").screenshot())).convert("RGB")
            table.paste(tile.resize(TILE, Image.Resampling.LANCZOS), (column * TILE[0], row * TILE[1]))
            table.save(file, optimize=True)


def test_seventy_thousand_points(tmp_path, look) -> None:
    mnist = os.environ.get("MNIST")  # a cache with its map
    if mnist:
        coords = np.load(Path(mnist) / "vis_umap_coords.npy")
        page = Path(mnist) / "vis_umap.html"
    else:
        coords = made_up(tmp_path / "run", np.full(10, 7_000), [f"digit {k}" for k in range(10)])
        page = tmp_path / "run/vis_umap.html"
    reader = look(page, coords)
    names(reader, 1, 10)
    keep(reader, "many", 10)


def test_habitats(tmp_path, look) -> None:
    words = "Fen, Marsh, Swamp/Woodland/Grassland/Heather/Bog/Montane/Inland rock/Littoral rock/Saltwater/Urban/Quarry"
    words += "/Reedbed/Hay meadow/Sand dune/Mudflat/Hedgerow/River bank"
    sizes = np.array([400, 233, 180, 90, 90, 60, 60, 50, 40, 30, 30, 15, 15, 8, 4, 2, 2])
    reader = look(tmp_path / "run/vis_umap.html", made_up(tmp_path / "run", sizes, words.split("/")))
    assert "Fen, Marsh, Swamp" in reader.see("#names span").all_text_contents()
    names(reader, 2, 8)
    keep(reader, "habitats", 6)


def test_a_thousand_classes_in_the_dark(tmp_path, look) -> None:
    sizes = np.maximum(1, 3_650 / np.arange(1, 1001) ** 0.83).astype(int)
    sizes[0] += 50_000 - sizes.sum()
    coords = made_up(tmp_path / "run", sizes, [f"species {k}" for k in range(1000)])
    reader = look(tmp_path / "run/vis_umap.html", coords)
    expect(reader.see("#names span")).to_have_count(0)  # they are too many
    reader.page.keyboard.press("n")
    names(reader, 3, 30)
    keep(reader, "classes", 40)
