"""The page as Python makes it: colours, columns, what is packed. What a browser makes of it: tests/browser."""

from __future__ import annotations

import base64
import gzip
import html
import io
import os
import re
import struct
import subprocess
import sys
import threading
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urljoin, urlsplit
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from examples import WORDS, table_of
from pages import read, shades
from PIL import Image
from plotly.offline import get_plotlyjs

from gpuvis.errors import DataError
from gpuvis.page import coloring, columns, icon, image_links, index, palette, static, subsample, thumbnails
from gpuvis.page import html as figure
from gpuvis.page.heading import Heading
from gpuvis.page.options import Page

NASTY = '</script><script>document.title="pwned"</script><img src=x onerror="document.title=\'pwned\'"><b>%{x}</b>&lt;'


def coords_of(rows: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rows, 2)).astype(np.float32)


def draw(table: pd.DataFrame, **page: Any) -> tuple[str, list[str]]:
    return figure.draw(coords_of(len(table)), table, Page(**page), Heading(caption="UMAP of a test"))


def color_of(html: str) -> dict[str, str]:
    told = read(html)
    column = told.column(told.header["colorBy"])
    return dict(zip(column["values"], column["colors"], strict=True))


def test_plotly_js_is_packed_once_and_beside_other_work(monkeypatch) -> None:
    packed, compressed = [], figure.compressed

    def watched(content: bytes) -> str:
        packed.append((threading.current_thread(), len(content)))
        return compressed(content)

    figure._plotly_packed.cache_clear()
    monkeypatch.setattr(figure, "compressed", watched)
    figure.prepare(Page(plotlyjs="cdn"))
    assert not packed
    for _ in range(2):
        figure.prepare(Page())
        figure.draw(np.zeros((3, 2), np.float32), table_of(3), Page(), Heading())
    [(thread, size)] = packed
    assert thread is not threading.current_thread()
    assert size == len(get_plotlyjs().encode())


@pytest.mark.parametrize("rows", [1, 2, 30, 300])
def test_the_browser_is_told_all_of_the_table(rows) -> None:
    table = table_of(rows).assign(
        number=[f"{k / 7}" for k in range(rows)], text=[f"é😀{k}" * (k % 3) for k in range(rows)]
    )
    told = read(draw(table)[0])
    assert [column["name"] for column in told.header["columns"]] == list(table.columns)
    for name in table:
        assert told.texts(name) == table[name].tolist(), name
    np.testing.assert_array_equal(told.coords, coords_of(rows))
    assert told.header["shown"] == told.header["total"] == rows
    assert told.header["hover"] == list(Page().hover)


def test_columns_that_follow_from_another_are_not_sent_again() -> None:
    table = table_of(300)
    told = read(draw(table)[0])
    assert [("codes" in column, "which" in column) for column in told.header["columns"]] == [
        *[(False, False), (True, False)],
        *[(False, True), (False, True)],
    ]


@pytest.mark.parametrize("count", [2, 11, 40, 1000])
def test_each_class_has_a_colour_of_its_own(count) -> None:
    names = [f"class {k % count}" for k in range(2 * count)]
    colors = color_of(draw(pd.DataFrame({"x": names}, dtype="str"), color_by="x")[0])
    assert len(set(colors.values())) == len(colors) == count


def test_colours_differ_and_keep_their_place() -> None:
    many = palette.colors(palette.MOST)
    assert len(set(many)) == palette.MOST
    assert palette.colors(20) == many[:20]
    rgb = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in many[:40]])
    lab = palette._oklab(rgb)
    apart = np.sqrt(((lab[:, None] - lab[None]) ** 2).sum(-1))[np.triu_indices(40, 1)]
    assert apart.min() > 0.06  # about three times the least difference that people notice


def test_oklab_of_known_colours() -> None:
    known = np.array([[255, 255, 255], [255, 0, 0], [0, 0, 255]])
    got = palette._oklab(known)
    np.testing.assert_allclose(got, [[1, 0, 0], [0.628, 0.2249, 0.1258], [0.452, -0.0325, -0.3115]], atol=1e-3)
    np.testing.assert_array_equal(palette._srgb(got), known)


def test_classes_of_one_parent_are_shades_of_one_hue() -> None:
    parents = np.repeat(np.arange(5), 6)
    rgb = np.array([list(bytes.fromhex(color[1:])) for color in palette.families(parents, np.arange(30))])
    assert len(np.unique(rgb, axis=0)) == 30
    lab = palette._oklab(rgb)
    hue = np.exp(1j * np.arctan2(lab[:, 2], lab[:, 1]))
    within = np.abs(np.angle(hue[:, None] / hue[None]))[parents[:, None] == parents]
    between = np.abs(np.angle(hue[:, None] / hue[None]))[parents[:, None] != parents]
    assert within.max() < between.min()


def test_a_family_is_told_only_where_parents_are_known() -> None:
    table = table_of(60).assign(ground_truth_L2_num_label=[str(k % 3 // 2) for k in range(60)])
    word = read(draw(table)[0]).column("ground_truth_word_label")
    assert len(set(word["families"])) == 3
    assert read(draw(table_of(60))[0]).column("ground_truth_word_label")["families"] == []
    torn = table.assign(ground_truth_L2_num_label=[str(k % 2) for k in range(60)])
    assert read(draw(torn)[0]).column("ground_truth_word_label")["families"] == []
    long = table.assign(ground_truth_L2_num_label=[f"{k % 3 // 2:030d}" + "7" * 30 for k in range(60)])
    assert len(set(read(draw(long)[0]).column("ground_truth_word_label")["families"])) == 3


def test_a_class_keeps_its_colour_where_others_are_missing() -> None:
    table = table_of(30)
    fewer = table[table["ground_truth_num_label"] != "0"].reset_index(drop=True)
    whole, part = color_of(draw(table)[0]), color_of(draw(fewer)[0])
    assert len(part) == 2
    assert part.items() <= whole.items()


def test_labels_that_were_predicted_have_the_colours_of_labels() -> None:
    table = table_of(30).assign(**{"suggested_label": ["bog", "", "2"] * 10, "predicted A": ["bog", "fen", "x"] * 10})
    told = read(draw(table)[0])

    def colors(name: str) -> dict[str, str]:
        return dict(zip(told.column(name)["values"], told.column(name)["colors"], strict=True))

    bog, two = colors("ground_truth_word_label")["bog"], colors("ground_truth_num_label")["2"]
    assert colors("suggested_label") == {"": palette.GREY, "2": two, "bog": bog}
    assert colors("predicted A")["bog"] == bog


def test_suspects_are_all_kept_where_points_are_too_many(monkeypatch) -> None:
    monkeypatch.setattr(subsample, "MOST_POINTS", 2_000)
    coords = np.random.default_rng(0).integers(0, 30, (50_000, 2)).astype(np.float32)
    wanted = np.arange(50_000) % 100 == 0
    kept = subsample.rows(coords, np.zeros(50_000, np.uint8), wanted)
    assert kept is not None
    assert wanted[kept].sum() == 500
    assert len(kept) == 2_000


def test_classes_stand_in_the_order_of_their_numbers() -> None:
    names = ["9", "٣", "010", "A", "b 0", "b 02", "b 2", "b ٢", "b 10", f"b {'7' * 5_000}"]
    assert palette.in_order(reversed(names)) == names
    assert list(color_of(draw(table_of(30))[0])) == ["Fen, Marsh, Swamp", 'the "old" wood', "bog"]


@pytest.mark.parametrize(
    ("values", "is_scale"),
    [
        ([f"{k / 7}" for k in range(50)], True),
        ([f"{k / 7}" if k % 5 else "" for k in range(50)], True),
        ([str(k) for k in range(300)], True),
        ([str(k % 9) for k in range(300)], False),
        ([" .5", "-5.", "+1e-3 ", "6E+2"], True),
        (["1e400" if k else "0.5" for k in range(50)], False),
        *((["0.5", odd], False) for odd in ("1_0.5", "٣.٥", "0x10", "Infinity", "nan", "-1e308", "1" * 9_999 + "x")),
        ([f"{k / 7} cm" for k in range(50)], False),
    ],
)
def test_measurements_are_told_from_classes(values, is_scale) -> None:
    told = read(draw(pd.DataFrame({"x": values}, dtype="str"), color_by="x")[0])
    assert told.column("x")["scale"] is is_scale
    assert ("values" in told.column("x")) is not is_scale
    assert told.texts("x") == values


@pytest.mark.parametrize("name", sorted(columns.MEASURES))
@pytest.mark.parametrize(("values", "is_scale"), [("01 ", True), ("   ", False), ("01x", False)])
def test_measures_are_on_a_scale_wherever_they_are_numbers(name, values, is_scale) -> None:
    table = pd.DataFrame({name: [value.strip() for value in values]}, dtype="str")
    assert columns.of_table(table, None)[0].is_scale is is_scale


def test_a_page_is_told_which_columns_tell_of_labels_in_doubt() -> None:
    table = table_of(3)
    assert read(draw(table)[0]).header["review"] == {"label": 2}
    full = table.assign(suspicion=["0.5", "", "1"], suspect=["", "yes", ""], suggested_label=["", "bog", ""])
    told = {"label": 2, "doubt": 4, "suspect": 5, "yes": 1, "suggested": 6}
    assert read(draw(full)[0]).header["review"] == told
    assert read(draw(full.assign(ground_truth_word_label=""))[0]).header["review"] == told | {"label": 1}
    other = full.assign(suspicion="high", suspect="no", suggested_label="")
    assert read(draw(other)[0]).header["review"] == {"label": 2}
    assert read(draw(full.assign(outlier_score="0.5"))[0]).header["review"] == told
    assert read(draw(other.assign(outlier_score=["0.5", "", "1"]))[0]).header["review"] == {"label": 2, "doubt": 7}


def test_labels_are_classes_however_many_numbers_there_are() -> None:
    numbers = [str(k % 1000) for k in range(2000)]
    table = pd.DataFrame({"ground_truth_num_label": numbers, "ground_truth_word_label": ""}, dtype="str")
    assert len(set(color_of(draw(table)[0]).values())) == 1000


def test_rare_classes_are_drawn_over_common_ones() -> None:
    names = ["common"] * 90 + ["rare"] * 3 + ["common"] * 7
    painted = coloring.of_table(coords_of(100), pd.DataFrame({"x": names}, dtype="str"), "x")
    assert painted.order[-3:].tolist() == [90, 91, 92]
    assert sorted(painted.order) == list(range(100))


def test_no_class_covers_another_because_it_comes_later() -> None:
    table = table_of(3000).assign(ground_truth_word_label=np.repeat(["a", "b", "c"], 1000), ground_truth_num_label="")
    for column in ("ground_truth_word_label", "nothing"):
        order = coloring.of_table(np.zeros((3000, 2)), table, column).order
        assert sorted(order) == list(range(3000))
        third = np.bincount(order[-300:] // 1000)
        assert third.min() > 80


def test_of_too_many_points_rare_classes_and_lonely_points_are_kept(monkeypatch) -> None:
    monkeypatch.setattr(subsample, "MOST_POINTS", 2_000)
    monkeypatch.setattr(subsample, "RARE", 10)
    table = table_of(20_000)
    table.loc[[5, 17_000], ["ground_truth_num_label", "ground_truth_word_label"]] = ["9", "rare"]
    coords = np.random.default_rng(0).standard_normal((20_000, 2)).astype(np.float32) * 0.001
    coords[123] = 50, 50
    html, _ = figure.draw(coords, table, Page(), Heading(caption="many"))
    told = read(html)
    rows = told.numbers(told.header["rows"])
    assert (told.header["shown"], told.header["total"]) == (2_000, 20_000)
    assert len(rows) == 2_000
    assert (np.diff(rows.astype(int)) > 0).all()
    assert {5, 123, 17_000} <= set(rows.tolist())
    assert told.texts("file_name") == table["file_name"].iloc[rows].tolist()
    assert told.texts("ground_truth_word_label") == table["ground_truth_word_label"].iloc[rows].tolist()
    np.testing.assert_array_equal(told.coords, coords[rows])
    assert html == figure.draw(coords, table, Page(), Heading(caption="many"))[0]


def test_coordinates_of_very_many_points_are_close(monkeypatch) -> None:
    monkeypatch.setattr(figure, "EXACT_ROWS", 100)
    coords = coords_of(300)
    told = read(figure.draw(coords, table_of(300), Page(), Heading())[0])
    assert told.header["coords"][0]["type"] == "u2"
    assert np.abs(told.coords - coords).max() <= np.ptp(coords, axis=0).max() / 65535


def test_neighbours_are_told() -> None:
    near = np.arange(90).reshape(30, 3) % 30
    html, notes = figure.draw(coords_of(30), table_of(30), Page(), Heading(), near)
    told = read(html)
    assert told.header["neighbors"]["k"] == 3
    np.testing.assert_array_equal(told.numbers(told.header["neighbors"]["ids"]).reshape(3, 30).T, near)
    assert notes == []


def test_blank_labels_are_replaced_where_all_are_blank() -> None:
    table = table_of(30)
    table.loc[:9, "ground_truth_word_label"] = ""
    assert "" in color_of(draw(table)[0])
    html, notes = draw(table.assign(ground_truth_word_label=""))
    assert list(color_of(html)) == ["0", "1", "2"]
    assert notes == [
        "--color_by column 'ground_truth_word_label' is blank in every row: ground_truth_num_label is used"
    ]


def test_unknown_columns_are_noted() -> None:
    _, notes = draw(table_of(30), color_by="nothing", hover=("file_name", "nix"))
    assert notes == [
        "--hover column 'nix' is not in metadata.csv",
        "--color_by column 'nothing' is not in metadata.csv: ground_truth_word_label is used",
    ]
    html, notes = draw(table_of(30)[["file_name"]])
    assert "one colour is used" in notes[-1]
    assert read(html).header["colorBy"] is None


def test_no_text_can_become_markup() -> None:
    table = table_of(30).assign(ground_truth_word_label=NASTY, file_name=NASTY)
    table[NASTY] = [f"{NASTY}{k}" for k in range(30)]
    html, _ = figure.draw(
        coords_of(30), table, Page(hover=("file_name", NASTY)), Heading(caption=NASTY), images=image_links.Images(NASTY)
    )
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)  # type: ignore[method-assign]
    parser.feed(html)
    assert tags.count("script") == 4
    assert not {"img", "b", "a", "iframe"} & set(tags)
    assert "pwned" in html
    assert read(html).texts(NASTY) == table[NASTY].tolist()


def test_the_page_is_self_contained_and_the_same_each_time() -> None:
    html, _ = draw(table_of(30))
    assert html == draw(table_of(30))[0]
    packed = re.search(r'id="plotly">([^<]*)<', html)[1]
    assert gzip.decompress(base64.b64decode(packed)).decode() == get_plotlyjs()
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)|@import|<link(?! rel="icon")""", html)
    assert "default-src 'none'" in html
    assert len(html) < 2.4e6


def test_plotly_js_can_lie_elsewhere() -> None:
    coords, table = coords_of(30), table_of(30)
    html, _ = figure.draw(coords, table, Page(), Heading(), plotly_js="../../plotly.min.js")
    assert '<script src="../../plotly.min.js"></script>' in html
    assert len(html) < 2e5
    html, _ = figure.draw(coords, table, Page(), Heading(), plotly_js=figure.plotly_cdn())
    assert re.search(r'<script src="https://cdn.plot.ly/plotly-[\d.]+.min.js" integrity="sha256-[^"]+" cross', html)
    assert "script-src 'unsafe-inline' 'unsafe-eval' https://cdn.plot.ly;" in html


def test_the_icon_is_the_map() -> None:
    coords = np.array([[0, 0], [10, 10], [0, 10]], np.float32)
    address = icon.data_url(coords, np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8))
    file = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(file)) as image:
        pixels = np.array(image.convert("RGBA"))
    rows, across = np.nonzero(pixels[..., 3])
    red = (pixels[..., 0] > 200) & (pixels[..., 3] > 0)
    blue = (pixels[..., 2] > 200) & (pixels[..., 3] > 0)
    assert np.nonzero(red)[0].min() > np.nonzero(blue)[0].max()  # what is low on the map is low in the picture
    assert (np.ptp(rows), np.ptp(across)) == (np.ptp(rows), np.ptp(rows))  # of one scale


@pytest.mark.parametrize(
    ("root", "link"),
    [
        ("https://host/images", "https://host/images/"),
        ("https://host/images/", "https://host/images/"),
        ("/data/my images", "../../data/my%20images/"),
        ("/study/run/images", "images/"),
        ("/study/run/a\udcff", "a%FF/"),
    ],
)
def test_images_are_linked_relative_to_the_page(root, link) -> None:
    assert image_links.link(root, Path("/study/run/vis_umap.html")) == link


@pytest.mark.parametrize("folder", ["50%20 of", "what?", "no #1", "a:b", "x&amp;y", 'say "é"', "a\udcff"])
def test_the_front_page_links_to_folders_of_any_name(tmp_path, folder) -> None:
    drawn = index.draw([index.Entry(Path(folder, "vis_umap.html"), "", "")], "")
    (tmp_path / "index.html").write_bytes(drawn.encode("utf-8", "backslashreplace"))
    assert index.links(tmp_path / "index.html") == [f"{folder}/vis_umap.html"]
    address = urljoin("file:///study/index.html", html.unescape(re.search(r'<li><a href="([^"]*)"', drawn)[1]))
    parts = urlsplit(address)
    assert os.fsdecode(unquote_to_bytes(parts.path)) == f"/study/{folder}/vis_umap.html"
    assert parts.query == parts.fragment == ""


def test_classes_of_19_digits_are_told_apart() -> None:
    numbers = [str(10**18 + k % 3) for k in range(30)]
    told = read(draw(table_of(30).assign(ground_truth_num_label=numbers), color_by="ground_truth_num_label")[0])
    column = told.column("ground_truth_num_label")
    assert column["values"] == [str(10**18 + k) for k in range(3)]
    assert len(set(column["colors"])) == 3
    assert told.texts("ground_truth_num_label") == numbers


def test_the_usual_folder_is_taken_if_it_is_there(tmp_path) -> None:
    assert image_links.folder_of(None, tmp_path) is None
    assert image_links.folder_of("elsewhere", tmp_path) == "elsewhere"
    (tmp_path / "images").mkdir()
    assert image_links.folder_of(None, tmp_path) == str(tmp_path / "images")


def test_images_of_which_none_is_there_are_told(tmp_path) -> None:
    (tmp_path / "é?#%20.png").touch()
    names = ["", *(f"{k}.png" for k in range(1_000))]
    told = f"no image was found: of 91 that were looked for the first is '{tmp_path}/0.png'; name the folder with"
    assert image_links.missing(str(tmp_path), names).startswith(told)
    for odd in ("é" * 200 + ".png", "a\0.png", "../images/b.png"):
        assert image_links.missing(str(tmp_path), [odd])
    assert image_links.missing(str(tmp_path), ["first.png", "é?#%20.png"]) == ""
    assert image_links.missing(str(tmp_path), ["", ""]) == ""
    assert image_links.missing("https://host/images", names) == ""


def test_names_that_are_whole_paths_are_found_from_the_top(tmp_path) -> None:
    whole = str(tmp_path / "a.png")
    (tmp_path / "a.png").touch()
    assert image_links.missing(str(tmp_path), [whole]).endswith("file_name is the whole path, so use --image_root /")
    assert image_links.missing("/", [whole]) == ""
    assert image_links.file_of("/", whole) == whole


@pytest.mark.parametrize(("named", "there"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC")])
def test_accents_may_be_written_in_another_way_than_in_the_name(tmp_path, named, there) -> None:
    name = "Moor/Überflutung é.png"
    file = tmp_path / unicodedata.normalize(there, name)
    file.parent.mkdir()
    file.touch()
    assert image_links.file_of(tmp_path, unicodedata.normalize(named, name)) == str(file)
    assert image_links.file_of(tmp_path, "Ä.png") == str(tmp_path / "Ä.png")


def test_a_stamp_changes_with_an_image(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    names = ["a.png", "", "b.png", "a\0"]
    stamps = [image_links.stamp(str(tmp_path), names)]
    assert stamps == [image_links.stamp(str(tmp_path), names)]
    os.utime(tmp_path / "a.png", ns=(1, 1))
    stamps.append(image_links.stamp(str(tmp_path), names))
    (tmp_path / "a.png").write_bytes(b"12")
    os.utime(tmp_path / "a.png", ns=(1, 1))
    stamps.append(image_links.stamp(str(tmp_path), names))
    (tmp_path / "b.png").touch()
    stamps.append(image_links.stamp(str(tmp_path), names))
    assert len(set(stamps)) == 4


@pytest.mark.parametrize("name", ["../secret.png", "/secret.png", "a/../../secret.png", "..\\secret.png"])
def test_no_file_name_leads_out_of_the_images(name) -> None:
    assert ".." not in image_links.path_of("/data/images", name)
    assert image_links.path_of("/data/images", name).startswith("/data/images/")


def cell(sheets: thumbnails.Sheets, row: int) -> np.ndarray:
    number = int(sheets.places[row]) - 1
    sheet, at = divmod(number, sheets.across**2)
    file = base64.b64decode(sheets.files[sheet])
    with Image.open(io.BytesIO(file)) as image:
        down, right = divmod(at, sheets.across)
        left, top = right * sheets.size, down * sheets.size
        return np.array(image.crop((left, top, left + sheets.size, top + sheets.size)).convert("RGB"))


def test_thumbnails_are_packed_and_found_again(tmp_path) -> None:
    paths: list[str | None] = [*shades(tmp_path, 30), None, str(tmp_path / "missing.png"), str(tmp_path / "bad.png")]
    (tmp_path / "bad.png").write_bytes(b"no image")
    sheets = thumbnails.sheets(paths)
    assert sheets.places[30:].tolist() == [0, 0, 0]
    for row in (0, 7, 29):
        middle = cell(sheets, row)[sheets.size // 2, sheets.size // 2].astype(int)
        np.testing.assert_allclose(middle, [row * 7, 100, 200], atol=12)
    assert "2 of 32 images could not be read" in sheets.notes[0]
    assert sheets.notes[-1].startswith("thumbnails: 30 of 96 × 96 pixels, 0.0 MB")
    assert sheets.files == thumbnails.sheets(paths).files


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: Path(path).write_text("no image"), "cannot identify image file: PNG: not a PNG file"),
        (lambda path: Path(path).touch(), "cannot identify image file"),
        (lambda path: Image.effect_noise((60, 60), 9).save(path) or os.truncate(path, 900), "truncated"),
        (lambda path: Image.new("1", (50, 50)).save(path), "could be decompression bomb"),
        (os.mkfifo, "not a file"),
        (os.mkdir, "not a file"),
    ],
)
def test_what_is_no_image_is_told(tmp_path, monkeypatch, make, says) -> None:
    make(str(tmp_path / "a.png"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000 if "bomb" in says else None)
    assert says in thumbnails.sheets([str(tmp_path / "a.png")]).notes[0]


def tiff(path: Path, bands: int) -> None:
    """Write an image of 8 × 8 pixels and so many bands, as programs for satellites' images do."""
    tags = {256: 8, 257: 8, 259: 1, 262: 1, 273: 8 + 2 + 12 * 8 + 4, 277: bands, 278: 8, 279: 64 * bands}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, 8) + entries + bytes(4) + bytes(64 * bands))


def test_images_that_pillow_cannot_read_are_named_with_the_cause(tmp_path) -> None:
    tiff(tmp_path / "a.tif", 18)
    (tmp_path / "b.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (tmp_path / "c.jpg").write_bytes((tmp_path / "b.heic").read_bytes())
    names = ["a.tif", "b.heic", "c.jpg"]
    told = [thumbnails.sheets([str(tmp_path / name)]).notes[0].partition(name)[2] for name in names]
    assert told == [
        " (cannot identify image file: TIFF: Invalid value for samples per pixel)",
        " (Pillow reads no .heic files; save the images as JPEG or PNG)",
        " (cannot identify image file: JPEG: not a JPEG file)",
    ]


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "YCbCr", "LA", "I;16", "F"])
def test_images_of_any_colours_become_thumbnails(tmp_path, mode) -> None:
    Image.new(mode, (40, 40)).save(tmp_path / "a.tif")
    assert thumbnails.sheets([str(tmp_path / "a.tif")]).places.tolist() == [1]


def test_an_error_without_a_text_is_told_by_its_name(monkeypatch) -> None:
    def fail(path: str) -> None:
        raise EOFError

    monkeypatch.setattr(Image, "open", fail)
    assert thumbnails.sheets([__file__]).notes[0].endswith("(EOFError)")


def test_pillow_does_not_warn_the_user(tmp_path) -> None:
    paths = [*shades(tmp_path, 1), str(tmp_path / "a.tif")]
    tiff(tmp_path / "a.tif", 18)
    make = "from gpuvis.page.thumbnails import *; Image.MAX_IMAGE_PIXELS = 500"
    run = [sys.executable, "-c", f"{make}; ThreadPoolExecutor().submit(sheets, {paths!r}).result()"]
    assert subprocess.run(run, check=True, capture_output=True, text=True).stderr == ""


@pytest.mark.parametrize(
    ("dtype", "dark", "light"),
    [(np.uint16, 13_107, 39_321), (np.int32, -300, 70_000), (np.float32, -1.5, 2.5), (np.float32, -3e38, 3e38)],
)
def test_fine_greys_are_neither_white_nor_black(tmp_path, dtype, dark, light) -> None:
    greys = np.full((40, 40), dark, dtype)
    greys[:, 20:] = light
    if dtype is np.float32:
        greys[0, :3] = np.nan, np.inf, -np.inf
    Image.fromarray(greys).save(tmp_path / "a.tif")
    shown = cell(thumbnails.sheets([str(tmp_path / "a.tif")]), 0)[48, [24, 72], 0]
    np.testing.assert_allclose(shown, (51, 153) if dtype is np.uint16 else (0, 255), atol=3)


def test_thumbnails_stand_upright(tmp_path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # its first row is to stand at the right
    image = Image.new("RGB", (40, 20), "blue")
    image.paste("red", (0, 0, 40, 10))
    image.save(tmp_path / "a.jpg", exif=exif)
    shown = cell(thumbnails.sheets([str(tmp_path / "a.jpg")]), 0)[48]
    assert (shown[[36, 60]].argmax(-1) == [2, 0]).all()
    assert (shown[[5, 90]] == 0).all()


def test_thumbnails_get_smaller_and_then_fewer_where_there_is_no_room(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(thumbnails, "ACROSS", 4)
    monkeypatch.setattr(thumbnails, "SAMPLE", 16)
    rng = np.random.default_rng(0)
    paths = [str(tmp_path / f"{k}.png") for k in range(40)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (96, 96, 3), np.uint8)).save(path)
    monkeypatch.setattr(thumbnails, "MOST_BYTES", 80_000)
    alone, with_page = thumbnails.sheets(paths), thumbnails.sheets(paths, 60_000)
    assert 96 > alone.size > with_page.size
    for sheets, room in ((alone, 80_000), (with_page, 20_000)):
        assert (sheets.places > 0).all()
        assert room / 4 < sum(map(len, sheets.files)) <= room
        assert not sheets.is_full
    sheets = thumbnails.sheets(paths, 78_000)
    assert sheets.size == thumbnails.SIZES[-1]
    assert 0 < (sheets.places > 0).sum() < 40
    assert sheets.notes[0].startswith("there is no room for more thumbnails")
    sheets = thumbnails.sheets(paths, 80_000)
    assert not sheets.files
    assert sheets.is_full


def pictured(table: pd.DataFrame, kind: str, color_by: str = Page().color_by, caption: str = "UMAP") -> bytes:
    coords = coords_of(len(table))
    return static.draw(coords, coloring.of_table(coords, table, color_by), caption, kind)


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_pictures_for_papers_are_the_same_each_time(kind) -> None:
    table = table_of(300).assign(ground_truth_word_label=[f"$x_{k % 60}$ &<b>" for k in range(300)])
    first = pictured(table, kind)
    assert first == pictured(table, kind)
    assert first.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind])
    if kind == "svg":
        text = first.decode()
        assert text.count("<image") == 1  # the points, rasterised
        assert "$x_3$ &amp;&lt;b&gt;" in text
        assert "and 20 more" in text


def test_a_picture_has_a_scale_for_numbers_and_none_without_labels() -> None:
    table = table_of(30).assign(score=[f"{k / 7}" for k in range(30)])
    assert b"score" in pictured(table, "svg", "score")
    dated = table.assign(taken=[f"2024-06-{day + 1:02}" for day in range(30)])
    assert b"2024-06-01" in pictured(dated, "svg", "taken")
    assert b"zero" not in pictured(table[["file_name"]], "svg")
    assert pictured(table_of(1), "png")


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_picture_can_have_any_text(kind) -> None:
    odd = "a\x00b\x0b\ufffe"
    made = pictured(pd.DataFrame({odd: [odd, "c"]}, dtype="str"), kind, odd, f"{odd}\udcff")
    if kind == "svg":
        texts = ["".join(text.itertext()) for text in ET.fromstring(made).iter("{http://www.w3.org/2000/svg}text")]
        assert sorted(texts) == ["a b �", "a b �", "a b ��", "c"]


@pytest.mark.parametrize(("far", "dtype"), [(3e38, "f4"), (1e308, "f8"), (1e-310, "f8"), (0, "f4")])
def test_a_map_can_be_as_large_as_numbers_are(far, dtype) -> None:
    coords = (np.array([[-1, 1], [1, -1], [0, 1]]) * far).astype(dtype)
    table = pd.DataFrame({"x": ["-1e308", "1e308", "0.5"]}, dtype="str")
    assert static.draw(coords, coloring.of_table(coords, table, "x"), "UMAP", "svg")
    if dtype == "f4":
        assert figure.draw(coords, table, Page(), Heading(caption="UMAP"))
        assert subsample._lonely(coords).all() == (far > 0)


def test_class_numbers_are_looked_up_once_for_all_columns() -> None:
    made = {column.name: column for column in columns.of_table(table_of(30), None)}
    assert made["ground_truth_word_label"].values == [WORDS[k] for k in range(3)]
    assert made["ground_truth_word_label"].colors == made["ground_truth_num_label"].colors == palette.colors(3)
    assert made["file_name"].values == []


@pytest.mark.parametrize(
    ("rows", "neighbors", "told"),
    [
        (0, None, "N at least 1"),
        (5, np.full((5, 2), -1), "rows from 0 to 4"),
        (5, np.full((5, 2), 5), "rows from 0 to 4"),
        (5, np.zeros(5, int), r"shape \(N, k\)"),
    ],
)
def test_what_cannot_be_drawn_is_refused(rows, neighbors, told) -> None:
    with pytest.raises(DataError, match=told):
        figure.draw_page(np.zeros((rows, 2)), neighbors=neighbors)
