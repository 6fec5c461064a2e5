"""The page in a browser, worked by mouse and keyboard as its readers do."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pytest
from examples import WORDS, table_of
from matplotlib.path import Path as Outline
from PIL import Image
from reader import DRAWN, HOSTILE, expect, nearest

from gpuvis.page import coloring, columns, palette, thumbnails
from gpuvis.page.image_links import Images
from gpuvis.page.options import Page

if TYPE_CHECKING:
    import pandas as pd

pytestmark = pytest.mark.browser

PAPER = {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 24, 28)"}
FORMULAS = ("=cmd|' /C calc'!A0", "+1+1", "@x", "-2+3", "\t=1", "-1", "+1.5e3", 'a, "b"', "two\nlines")


def pictures(folder: Path, rows: int) -> list[str]:
    """Write an image for each row, each of another colour, and return their paths."""
    folder.mkdir()
    paths = [str(folder / f"{row:03d}.png") for row in range(rows)]
    for row, path in enumerate(paths):
        Image.new("RGB", (150, 100), color_of(row)).save(path)
    return paths


def color_of(row: int) -> tuple[int, int, int]:
    return row * 67 % 256, row * 131 % 256, row * 29 % 256


def rgb_of(colors: Sequence[str]) -> np.ndarray:
    return np.array([list(bytes.fromhex(color[1:])) for color in colors])


def shot(place: Any) -> np.ndarray:
    """Return a picture of what is seen."""
    return np.asarray(Image.open(io.BytesIO(place.screenshot())).convert("RGB")).astype(int)


def changed(before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Return which pixels have changed; the same shape may be drawn again with slightly other edges."""
    return np.argwhere(np.abs(now - before).max(-1) > 60)


# Images


def test_hovering_shows_the_image_and_the_fields_of_a_point(read, tmp_path) -> None:
    pictures(tmp_path / "images", 12)
    table = table_of(12)
    reader = read(table, images=Images("images/"))
    for row in (3, 7):
        reader.hover(row)
        expect(reader.see("#point .card")).to_have_attribute("data-row", str(row))
        expect(reader.see("#point img")).to_have_js_property("naturalWidth", 150)
        fields = reader.fields
        place = [float(part) for part in fields.pop("x, y").split(", ")]
        assert place == pytest.approx(reader.coords[row], rel=1e-5)
        assert fields == {**table.loc[row], "row": str(row)}
        assert list(fields)[:3] == list(Page().hover)


def test_a_huge_image_is_shown_within_its_place(read, tmp_path) -> None:
    (path,) = pictures(tmp_path / "images", 1)
    Image.new("RGB", (9000, 6000), (200, 30, 30)).save(path)
    reader = read(table_of(2), images=Images("images/"))
    reader.hover(0)
    expect(reader.see("#point img")).to_have_js_property("naturalWidth", 9000)
    place = reader.see("#point img").bounding_box()
    middle = int(place["y"] + place["height"] / 2), int(place["x"] + place["width"] / 2)
    for _ in range(50):  # it is decoded beside the page's work
        if np.abs(shot(reader.page)[middle] - (200, 30, 30)).max() < 5:
            break
        reader.page.wait_for_timeout(100)
    else:
        pytest.fail("the image is not to be seen")
    assert 300 < place["width"] < 344
    reader.pin(0)
    assert reader.see("#point img").bounding_box() == place


def test_a_point_without_an_image_tells_where_it_was_sought(read, folder, tmp_path) -> None:
    pictures(tmp_path / "images", 1)
    (tmp_path / "images/broken.png").write_bytes(b"no image")
    names = ["\ufeffnowhere.png", "broken.png", "50% of ä.png", ""]
    reader = read(
        table_of(4).assign(file_name=names),
        images=Images("images/"),
        missing=("%EF%BB%BFnowhere.png", "50%25%20of%20%C3%A4.png", "50%25%20of%20a%CC%88.png"),
    )
    for row, name in enumerate(names):
        address = (folder / "images" / name).as_uri().replace(quote(name), name)
        told = f"no image: {address}" if name else "no file name"
        reader.keyboard.press("0")
        reader.hover(row)
        expect(reader.see("#point .missing")).to_have_text(told)
        reader.pin(row)
        expect(reader.see("#point .missing")).to_have_text(told)
        reader.button("Unpin").click()
    expect(reader.see("img")).to_have_count(0)


def test_images_are_found_by_names_of_any_characters(read, tmp_path) -> None:
    names = ["a b.png", "a%20b.png", "what?.png", "no #1.png", unicodedata.normalize("NFC", "März.png"), "x&y+z=1;.png"]
    there = [*names[:4], unicodedata.normalize("NFD", names[4]), names[5]]
    for path, name in zip(pictures(tmp_path / "images", 6), there, strict=True):
        Path(path).rename(tmp_path / "images" / name)
    reader = read(table_of(6).assign(file_name=names), images=Images("images/"), missing=("M%C3%A4rz.png",))
    for row in range(6):
        reader.hover(row)
        expect(reader.see("#point img")).to_have_js_property("naturalWidth", 150)
    reader.pin(4)
    expect(reader.see("#point .card img").first).to_have_js_property("naturalWidth", 150)
    assert reader.see("#point .card a").first.get_attribute("href").endswith(quote(there[4]))


def test_kinds_of_images_that_few_browsers_show_are_told(read, folder, tmp_path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.TIFF").write_bytes(b"II*")
    reader = read(table_of(1).assign(file_name="a.TIFF"), images=Images("images/"))
    reader.hover(0)
    address = (folder / "images/a.TIFF").as_uri()
    expect(reader.see("#point .missing")).to_have_text(f"no image, or one that few browsers show (.TIFF): {address}")


def test_images_are_found_in_another_folder_now_and_later(read, tmp_path) -> None:
    pictures(tmp_path / "100% elsewhere", 6)
    reader = read(table_of(7), missing=("006.png",))
    reader.hover(4)
    expect(reader.see("#point .missing")).to_have_text("no image: 004.png")
    reader.see("summary", has_text="Where the images are").click()
    reader.see("#image-root").click()
    reader.keyboard.type(str(tmp_path / "100% elsewhere"))
    reader.keyboard.press("Enter")
    expect(reader.see("#point img")).to_have_js_property("naturalWidth", 150)
    reader.page.reload()
    reader.page.wait_for_selector("html[data-drawn]")
    reader.hover(1)
    expect(reader.see("#point img")).to_have_js_property("naturalWidth", 150)
    expect(reader.see("#image-root")).to_have_value(f"{tmp_path}/100% elsewhere/")
    reader.hover(6)
    expect(reader.see("#point .missing")).to_contain_text("elsewhere/006.png")


def test_thumbnails_are_cut_from_their_sheet(read, tmp_path) -> None:
    paths = pictures(tmp_path / "images", 40)
    reader = read(table_of(41), images=Images(None, thumbnails.sheets([*paths, None])), neighbors=nearest(41))
    for row in (0, 31, 32, 39):
        reader.hover(row)
        expect(reader.see("#point .card")).to_have_attribute("data-row", str(row))
        thumbnail = reader.see("#point figure .thumbnail")
        assert "blob:" in thumbnail.evaluate("thumbnail => thumbnail.style.getPropertyValue('--sheet')")
        middle = shot(thumbnail)[108:128, 150:170].mean((0, 1))
        assert middle == pytest.approx(color_of(row), abs=8)
    reader.hover(40)
    expect(reader.see("#point .missing")).to_have_text("no image: 040.png")
    reader.pin(33)
    small = reader.see("#point .small .thumbnail").nth(2)
    assert shot(small)[20:30, 23:33].mean((0, 1)) == pytest.approx(color_of(36), abs=8)


# Pins


def test_the_last_pin_fills_the_panel_and_several_lie_in_the_tray(read) -> None:
    reader = read(table_of(30))
    reader.pin(2)
    expect(reader.see("#tray")).to_be_hidden()
    reader.pin(5)
    expect(reader.see("#pins strong")).to_have_text("2 pinned")
    reader.see("#pins .small").nth(1).hover()
    expect(reader.see("#point .card")).to_have_attribute("data-row", "2")
    reader.mouse.move(1100, 20)
    expect(reader.see("#point .card")).to_have_attribute("data-row", "5")
    reader.hover(9)
    expect(reader.see("#tip")).to_have_text(WORDS[0])
    expect(reader.see("#point .card")).to_have_attribute("data-row", "5")  # to be compared with what is pointed at
    reader.button("Unpin").click()
    expect(reader.see("#point .card")).to_have_attribute("data-row", "2")
    expect(reader.see("#tray")).to_be_hidden()
    assert reader.window["height"] == pytest.approx(reader.see("#plot").bounding_box()["height"], abs=1)
    reader.pin(5)
    reader.button("Unpin all").click()
    expect(reader.see("#tray")).to_be_hidden()
    expect(reader.see("#point").get_by_role("button", name="Pin", exact=True)).to_be_visible()


def test_a_pinned_point_shows_its_neighbours_which_can_be_pinned(read) -> None:
    reader = read(table_of(30), neighbors=nearest(30))
    reader.pin(2)
    expect(reader.see("#point h2")).to_have_text("5 nearest in the original space, 1 with the same label")
    expect(reader.see("#point .small span")).to_have_text([WORDS[row % 3] for row in range(3, 8)])
    expect(reader.see("#point .small.differs")).to_have_count(4)
    reader.see("#point .small").nth(3).click()
    expect(reader.see("#point .card")).to_have_attribute("data-row", "6")
    expect(reader.see("#pins .small")).to_have_count(2)


def test_the_address_names_a_point_and_so_does_a_copied_link(read) -> None:
    reader = read(table_of(30), place="#row=12")
    expect(reader.see("#point .card")).to_have_attribute("data-row", "12")
    assert reader.middle == pytest.approx(reader.coords[12], abs=1e-3)
    reader.see("#map").focus()
    reader.keyboard.press("ArrowLeft")
    assert reader.middle != pytest.approx(reader.coords[12], abs=1e-3)
    reader.button("Centre").click()
    assert reader.middle == pytest.approx(reader.coords[12], abs=1e-3)
    reader.button("Fit").click()
    reader.pin(8)
    reader.button("Copy link").first.click()
    expect(reader.see("#said")).to_contain_text("copied: file:///")
    assert reader.copied == reader.page.url.replace("#row=12", "#row=8")
    reader.page.goto(reader.page.url.replace("#row=12", "#row=99"))
    expect(reader.see("#said")).to_have_text("row 99 is not on this page")


# Colours and legend


def varied(rows: int) -> pd.DataFrame:
    """Nine classes of three parents, another column of classes, and numbers of which some are missing."""
    label = np.arange(rows) % 9
    return table_of(rows).assign(
        ground_truth_num_label=label.astype(str),
        ground_truth_word_label=[f"class {k}" for k in label],
        ground_truth_L2_num_label=(label // 3).astype(str),
        kind=["round" if k % 4 else "" for k in range(rows)],
        score=[f"{k / 7:.3f}" if k % 5 else "" for k in range(rows)],
    )


def test_a_column_colours_the_points_as_in_pictures(read) -> None:
    table = varied(45)
    reader = read(table, more={"color_by": "ground_truth_num_label"})
    for name in ("ground_truth_word_label", "ground_truth_L2_num_label", "kind"):
        reader.color_by(name, coloring.of_table(reader.coords, table, name).rgb)
        counts = table[name].replace("", "(blank)").value_counts()
        assert dict(zip(reader.classes, reader.counts, strict=True)) == counts.to_dict()
        assert reader.counts == sorted(reader.counts, reverse=True)


def test_numbers_are_coloured_on_a_scale_as_in_pictures(read) -> None:
    table = varied(45)
    reader = read(table)
    reader.color_by("score", coloring.of_table(reader.coords, table, "score").rgb)
    numbers = [float(score) for score in table["score"] if score]
    ends = [f"{sign} {end:.6g}" for sign, end in zip("≤≥", np.percentile(numbers, coloring.ENDS), strict=True)]
    expect(reader.see("#classes .ends span")).to_have_text(ends)
    expect(reader.see("#classes .ramp")).to_have_css("background-image", re.compile("linear-gradient"))
    expect(reader.see("#classes li").last).to_have_text("(blank) 9")
    expect(reader.see("#legend-find")).to_be_hidden()


def test_points_are_drawn_in_the_order_of_pictures(read) -> None:
    table = varied(60).assign(other=["common"] * 40 + ["rare"] * 20)
    reader = read(table, more={"color_by": "other"})
    row_of = {tuple(place): row for row, place in enumerate(reader.coords.tolist())}
    drawn = [row_of[x, y] for x, y, _ in reader.page.evaluate(DRAWN)]
    assert drawn == coloring.of_table(reader.coords, table, "other").order.tolist()
    assert drawn != sorted(drawn)


def test_colours_follow_the_parents_or_nothing(read) -> None:
    table = varied(45)
    reader = read(table)
    label = next(column for column in columns.of_table(table, None) if column.name == columns.WORD)
    reader.color_by(f"{label.name} by parent", rgb_of(label.families)[label.codes])
    assert len(set(label.families)) == 9
    reader.color_by("nothing", np.tile(rgb_of(palette.colors(1)), (45, 1)))
    expect(reader.see("#classes")).to_be_hidden()
    reader.hover(20)
    expect(reader.see("#point .card")).to_have_attribute("data-row", "20")


def test_a_click_hides_a_class_and_its_points_cannot_be_found(read) -> None:
    reader = read(table_of(30))
    expect(reader.see("#status")).to_have_text("30 of 30 points shown")
    expect(reader.see("#classes .count")).to_have_text(["10"] * 3)
    entry = reader.see("#classes .class", has_text="bog")
    entry.click()
    expect(entry).to_have_attribute("aria-pressed", "false")
    expect(reader.see("#status")).to_have_text("20 of 30 points shown")
    assert set(reader.colors) == {row for row in range(30) if row % 3 != 2}
    reader.hover(7)
    expect(reader.see("#map")).to_have_class("pointing")
    reader.hover(17)
    expect(reader.see("#map")).not_to_have_class("pointing")
    assert reader.fields["row"] == "7"
    entry.click()
    expect(reader.see("#status")).to_have_text("30 of 30 points shown")
    reader.hover(17)
    expect(reader.see("#point .card")).to_have_attribute("data-row", "17")


def test_a_class_is_shown_alone_and_then_all_are_again(read) -> None:
    reader = read(table_of(30))
    entry = reader.see("#classes .class", has_text="bog")
    only = reader.see("#classes li", has_text="bog").locator(".only")
    for isolate in (entry.dblclick, only.click, lambda: only.press("Enter")):
        isolate()
        expect(reader.see("#status")).to_have_text("10 of 30 points shown")
        expect(reader.see("#classes .class[aria-pressed=true]")).to_have_text("bog10")
        assert set(reader.colors) == set(range(2, 30, 3))
        isolate()
        expect(reader.see("#status")).to_have_text("30 of 30 points shown")


def test_all_classes_are_hidden_and_shown_at_once(read) -> None:
    reader = read(table_of(30))
    before = shot(reader.see("#map"))
    reader.button("none").click()
    expect(reader.see("#status")).to_have_text("0 of 30 points shown")
    assert not reader.colors
    reader.button("all").click()
    expect(reader.see("#status")).to_have_text("30 of 30 points shown")
    assert len(reader.colors) == 30
    reader.page.wait_for_timeout(300)
    assert not len(changed(before, shot(reader.see("#map"))))


def test_the_classes_that_a_search_has_left_are_hidden_at_once(read) -> None:
    reader = read(table_of(30))
    reader.see("#legend-find").fill("bog")
    reader.button("none").click()
    expect(reader.see("#status")).to_have_text("20 of 30 points shown")
    reader.see("#color-by").select_option(label="nothing")
    expect(reader.see("#classes .hint")).to_contain_text("1 of ground_truth_word_label hidden")
    reader.button("show").click()
    expect(reader.see("#status")).to_have_text("30 of 30 points shown")


def test_classes_are_sorted_and_searched(read) -> None:
    labels = ["oak"] * 3 + ["Ash 10"] * 5 + ["ash 9"] * 1 + [""] * 2
    reader = read(table_of(11).assign(ground_truth_word_label=labels, ground_truth_num_label=""))
    assert reader.classes == ["Ash 10", "oak", "(blank)", "ash 9"]
    expect(reader.see("#classes .count")).to_have_text(["5", "3", "2", "1"])
    reader.button("by size").click()
    assert reader.classes == ["(blank)", "ash 9", "Ash 10", "oak"]
    expect(reader.see("#classes .count")).to_have_text(["2", "1", "5", "3"])
    reader.see("#legend-find").click()
    reader.keyboard.type("ASH")
    assert reader.classes == ["ash 9", "Ash 10"]
    reader.keyboard.type("!")
    expect(reader.see("#classes li")).to_have_text("no such class")


def test_a_thousand_classes_of_many_points_are_one_trace(read) -> None:
    labels = [f"class {k % 1000}" for k in range(50_000)]
    reader = read(table_of(50_000).assign(ground_truth_word_label=labels))
    expect(reader.see("#status")).to_have_text("50,000 of 50,000 points shown")
    assert reader.page.evaluate("document.getElementById('plot').data.map(trace => trace.type)") == ["scattergl"]
    expect(reader.see("#classes .class")).to_have_count(1000)
    assert len(set(reader.colors.values())) == 1000
    reader.see("#legend-find").click()
    reader.keyboard.type("class 77")
    reader.see("#classes .class").first.click()
    expect(reader.see("#status")).to_have_text("49,950 of 50,000 points shown")


# Finding


def test_points_are_found_by_their_fields(read) -> None:
    reader = read(table_of(30))
    for text, told in [
        ("007.png", "1 hit"),
        ("MARSH", "10 hits"),
        ('"old"', "10 hits"),
        ("row 3", "1 hit"),
        ("png00", "0 hits"),  # goes over the end of a name
        (" ", ""),
    ]:
        reader.find(text)
        expect(reader.see("#find-count")).to_have_text(told)


def test_one_key_pins_what_is_found(read) -> None:
    reader = read(table_of(30))
    reader.find("007.png")
    reader.keyboard.press("Control+Enter")
    expect(reader.see("#point .card .buttons")).to_be_visible()
    expect(reader.see("#point .card")).to_have_attribute("data-row", "7")


def test_enter_walks_from_hit_to_hit(read) -> None:
    reader = read(table_of(30))
    whole = reader.window
    reader.find("bog")
    for row, keys, told in [
        (2, "Enter", "1 of 10"),
        (5, "Enter", "2 of 10"),
        (2, "Shift+Enter", "1 of 10"),
        (29, "Shift+Enter", "10 of 10"),
        (2, "Enter", "1 of 10"),
    ]:
        reader.keyboard.press(keys)
        expect(reader.see("#find-count")).to_have_text(told)
        assert reader.fields["row"] == str(row)
        assert reader.middle == pytest.approx(reader.coords[row], abs=1e-3)
    reader.button("Next hit").click()
    expect(reader.see("#find-count")).to_have_text("2 of 10")
    reader.button("Previous hit").click()
    expect(reader.see("#find-count")).to_have_text("1 of 10")
    reader.keyboard.press("Escape")
    assert reader.window["x"] + reader.window["y"] == pytest.approx(whole["x"] + whole["y"])


def test_what_is_sought_can_be_kept_to_one_field(read) -> None:
    """The fields that hold it are counted; first come the hits in the name of the file."""
    reader = read(table_of(30).assign(note=["bog" if row == 4 else "see 007" if row == 3 else "" for row in range(30)]))
    where, count = reader.see("#find-in"), reader.see("#find-count")
    expect(where).to_be_hidden()
    reader.find("bog")
    expect(where.locator("option")).to_have_text(["in any field", "ground_truth_word_label (10)", "note (1)"])
    expect(count).to_have_text("11 hits")
    where.select_option(label="note (1)")
    expect(count).to_have_text("1 hit")
    reader.find("007")
    expect(count).to_have_text("1 hit")
    where.select_option(label="in any field")
    reader.see("#find-text").press("Enter")
    assert reader.fields["row"] == "7", "a name comes before a note"
    reader.keyboard.press("Escape")
    expect(where).to_be_hidden()


def test_what_is_found_has_rings_and_is_shown_only_as_far_as_the_legend_shows_it(read) -> None:
    reader = read(table_of(30))

    def ringed() -> set[int]:
        accent = np.argwhere(np.abs(shot(reader.page) - rgb_of(["#d6006c"])).max(-1) < 40)[:, ::-1]
        return {row for row, spot in enumerate(reader.spots) if (np.hypot(*(accent - spot).T) < 14).sum() > 20}

    assert not ringed()
    reader.find("2.png")
    expect(reader.see("#find-count")).to_have_text("3 hits")
    assert ringed() == {2, 12, 22}
    reader.see("#classes .class", has_text="bog").click()
    expect(reader.see("#status")).to_have_text("20 of 30 points shown")
    assert ringed() == {12, 22}
    expect(reader.see("#find-count")).to_have_text("2 hits, 1 hidden")


# Selecting


@pytest.mark.parametrize("mode", ["Lasso", "Box"])
def test_exactly_the_points_within_an_outline_are_selected(read, mode) -> None:
    reader = read(table_of(150))
    reader.button(mode).click()
    chosen: set[int] = set()
    for corners, key in [
        ([(500, 120), (700, 450), (300, 480), (420, 300)], None),
        ([(600, 200), (800, 300), (560, 380)], "Shift"),
        ([(400, 250), (640, 350), (480, 420)], "Alt"),
    ]:
        spots = reader.spots
        shape = corners if mode == "Lasso" else box(corners[0], corners[-1])
        inside = set(np.flatnonzero(Outline(shape).contains_points(spots)).tolist())
        assert inside
        reader.draw(corners, *[key] if key else [])
        chosen = chosen - inside if key == "Alt" else chosen | inside
        expect(reader.see("#selection strong")).to_have_text(f"{len(chosen)} points selected")
        assert sorted(reader.selected) == sorted(chosen)
    reader.button("Clear").click()
    expect(reader.see("#tray")).to_be_hidden()


def box(start: tuple[float, float], end: tuple[float, float]) -> list[tuple[float, float]]:
    return [start, (start[0], end[1]), end, (end[0], start[1])]


def test_what_is_unlike_the_rest_of_a_selection_comes_first_and_is_listed_alone(read) -> None:
    labels = ["fen"] * 27 + ["bog"] * 2 + ["oak"]
    reader = read(table_of(30).assign(ground_truth_word_label=labels, ground_truth_num_label=""))
    reader.button("Box").click()
    reader.draw_around_all()
    expect(reader.see("#selection strong")).to_have_text("30 points selected")
    assert reader.selected == [29, 27, 28, *range(27)]
    expect(reader.see(".shares button")).to_have_text(["fen 27", "bog 2", "oak 1"])
    share = reader.see(".shares button", has_text="bog")
    for rows in ([27, 28], [29, 27, 28, *range(27)]):
        share.click()
        expect(share).to_have_attribute("aria-pressed", str(len(rows) == 2).lower())
        assert reader.selected == rows
    reader.see(".shares button", has_text="oak").hover()
    expect(reader.see("#selection strong")).to_have_text("30 points selected")
    assert reader.see("#selection .small[tabindex='0']").count() == 1
    reader.see("#selection .small").first.focus()
    reader.keyboard.press("ArrowRight")
    expect(reader.see("#selection .small").nth(1)).to_be_focused()  # one step, however often they were listed


def test_hits_and_classes_can_be_selected(read) -> None:
    reader = read(table_of(30))
    expect(reader.see("#find-select")).to_be_hidden()
    reader.find("7.png")
    reader.button("Select").click()
    assert sorted(reader.selected) == [7, 17, 27]
    entry = reader.see("#classes li", has_text="bog")
    entry.hover()
    entry.locator(".choose").click(modifiers=["Shift"])
    assert sorted(reader.selected) == sorted({7, 17, 27, *range(2, 30, 3)})
    entry.locator(".choose").click()
    assert reader.selected == list(range(2, 30, 3))
    entry.locator(".choose").click(modifiers=["Alt"])
    expect(reader.see("#tray")).to_be_hidden()


def test_all_of_many_selected_points_can_be_listed(read) -> None:
    reader = read(table_of(300))
    reader.keyboard.press("b")
    reader.draw_around_all()
    expect(reader.see("#selection .small")).to_have_count(120)
    count = int(reader.see("#selection strong").text_content().split()[0])
    assert count > 240
    reader.button(f"{count - 120} more").click()
    reader.button(f"{count - 240} more").click()
    expect(reader.see("#selection .small")).to_have_count(count)


def test_a_selection_is_saved_as_csv_that_no_spreadsheet_runs(read) -> None:
    rows = len(FORMULAS)
    table = table_of(rows).assign(file_name=FORMULAS, **{"=1+1": FORMULAS[::-1]})
    reader = read(table)
    reader.keyboard.press("b")
    reader.draw_around_all()
    expect(reader.see("#selection strong")).to_contain_text("selected")
    chosen = sorted(reader.selected)
    assert len(chosen) > 5
    with reader.page.expect_download() as download:
        reader.button("Save CSV").click()
    text = Path(download.value.path()).read_bytes().decode("utf-8-sig")
    head, *lines = csv.reader(io.StringIO(text, newline=""))
    assert head == ["row", *table.columns[:-1], "'=1+1", "x", "y"]
    assert [int(line[0]) for line in lines] == chosen
    harmless = {text: text if text in FORMULAS[5:] else f"'{text}" for text in FORMULAS}
    for row, line in zip(chosen, lines, strict=True):
        assert line[1:-2] == [harmless.get(value, value) for value in table.loc[row]]
        assert [float(part) for part in line[-2:]] == pytest.approx(reader.coords[row], rel=1e-5)
    reader.button("Copy file names").click()
    expect(reader.see("#said")).to_have_text(f"copied: {len(chosen)} file names")
    assert reader.copied == "\n".join(table["file_name"][chosen])


# Tools and keys


def test_names_stand_beside_their_islands_and_cover_no_point(read) -> None:
    rng, labels = np.random.default_rng(0), np.repeat(["fen", "bog", "fen"], 40)
    centers = np.repeat([[0, 0], [10, 2], [20, 0]], 40, axis=0)
    coords = (centers + rng.uniform(-1, 1, (120, 2))).astype(np.float32)
    table = table_of(120).assign(ground_truth_word_label=labels, ground_truth_num_label="")
    reader = read(table, coords, more={"theme": "light"})
    names = reader.button("Names")
    expect(names).to_have_attribute("aria-pressed", "true")  # for few classes, from the start
    reader.mouse.move(1100, 20)
    reader.page.wait_for_timeout(300)
    named = shot(reader.see("#plot"))
    names.click()
    expect(names).to_have_attribute("aria-pressed", "false")
    reader.mouse.move(1100, 20)
    reader.page.wait_for_timeout(200)
    letters = changed(named, shot(reader.see("#plot")))[:, ::-1]
    spots = reader.spots - [reader.window["left"], reader.window["top"]]
    for island in (slice(0, 40), slice(40, 80), slice(80, 120)):  # a name for each island, not for each class
        nearest_letter = np.abs(letters - spots[island].mean(0)).max(1).min()
        assert nearest_letter < np.ptp(spots[island], axis=0).max() / 2 + 30
    distances = np.linalg.norm(letters[:, None] - spots[None], axis=-1)
    assert distances.min() > 3
    reader.keyboard.press("n")
    expect(names).to_have_attribute("aria-pressed", "true")


def test_many_classes_are_named_when_that_is_asked_for(read) -> None:
    reader = read(table_of(300).assign(ground_truth_word_label=[f"class {row % 60}" for row in range(300)]))
    expect(reader.button("Names")).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize(("theme", "dark"), [("auto", False), ("auto", True), ("dark", False)])
def test_the_theme_follows_the_system_or_the_page(read, theme, dark) -> None:
    reader = read(table_of(6), more={"theme": theme}, dark=dark)
    before, after = ("light", "dark") if (theme, dark) == ("auto", False) else ("dark", "light")
    expect(reader.see("html")).to_have_css("color-scheme", before)
    reader.button("Light or dark").click()
    expect(reader.see("html")).to_have_css("color-scheme", after)
    expect(reader.see("body")).to_have_css("background-color", PAPER[after])


@pytest.mark.parametrize("width", [1000, 400])
def test_warnings_of_a_map_wrap_and_leave_the_map_its_room(read, width) -> None:
    warnings = ["the map keeps <b>no more</b> of the nearest neighbours than a plain PCA map " * 3, "islands" * 60] * 2
    reader = read(table_of(30), heading={"verdict": "10 % are kept.", "warnings": tuple(warnings)})
    reader.page.set_viewport_size({"width": width, "height": 800})
    expect(reader.see("#verdict")).to_have_text("10 % are kept.")
    expect(reader.see("#warnings li")).to_have_text(warnings)
    told, above, plot = (reader.see(part).bounding_box() for part in ("#warnings", "header", "#plot"))
    assert reader.page.evaluate("warnings.scrollWidth <= warnings.clientWidth")
    assert told["y"] + told["height"] <= above["y"] + above["height"] <= plot["y"]
    assert 800 - plot["y"] > 350  # the rest of the warnings is scrolled to
    reader.page.evaluate("warnings.scrollTop = 9999")
    assert reader.see("#warnings li").last.bounding_box()["y"] < told["y"] + told["height"]


def test_a_map_without_warnings_has_no_room_for_them(read) -> None:
    reader = read(table_of(30))
    expect(reader.see("#warnings li")).to_have_count(0)
    expect(reader.see("#warnings")).to_be_hidden()


def test_the_theme_that_a_reader_chose_is_kept(read) -> None:
    reader = read(table_of(6))
    reader.keyboard.press("t")
    reader.page.reload()
    expect(reader.see("html")).to_have_css("color-scheme", "dark")


def near(picture: np.ndarray, spot: np.ndarray, color: str, reach: int = 4) -> int:
    """Count the pixels of a colour near a spot."""
    left, top = np.round(spot).astype(int)
    part = picture[top - reach : top + reach + 1, left - reach : left + reach + 1]
    return int((np.abs(part - rgb_of([color])).max(-1) < 12).sum())


def test_what_is_selected_or_pointed_at_stands_out_and_the_rest_fades(read) -> None:
    reader = read(table_of(30), more={"theme": "light"})
    plot = reader.see("#plot")
    expect(plot).not_to_have_class(re.compile("faded"))
    entry = reader.see("#classes li", has_text="bog")
    entry.hover()
    expect(plot).to_have_class(re.compile("faded"))
    reader.page.wait_for_timeout(100)
    seen = shot(reader.page)
    full = {row for row in range(30) if near(seen, reader.spots[row], reader.colors[row])}
    assert set(range(2, 30, 3)) <= full
    assert len(full) < 14  # some may be covered
    reader.mouse.move(1100, 20)
    expect(plot).not_to_have_class(re.compile("faded"))
    reader.find("7.png")
    expect(plot).to_have_class(re.compile("faded"))
    reader.button("Select").click()
    expect(reader.see("#selection strong")).to_have_text('3 points selected: hits of "7.png"')
    reader.keyboard.press("Escape")
    reader.button("Fit").click()
    reader.see(".shares button", has_text="bog").hover()
    reader.page.wait_for_timeout(100)
    seen, spots = shot(reader.page), reader.spots
    assert [row for row in (7, 17, 27) if near(seen, spots[row], reader.colors[row])] == [17]
    with reader.page.expect_download() as download:
        reader.button("Save").click()
    picture = np.asarray(Image.open(io.BytesIO(Path(download.value.path()).read_bytes())).convert("RGB")).astype(int)
    place = np.array([reader.window["left"], reader.window["top"]])
    assert [row for row in range(30) if near(picture, 2 * (spots[row] - place) + [0, 100], reader.colors[row])] == [
        7,
        17,
        27,
    ]
    reader.button("Clear").click()
    reader.find("")
    expect(plot).not_to_have_class(re.compile("faded"))


def test_lines_go_to_the_neighbours_of_the_last_pin_or_of_the_one_pointed_at(read) -> None:
    angle = np.arange(30) * 2 * np.pi / 30
    coords = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    across = ((np.arange(30) + 15) % 30)[:, None].astype(np.int32)
    reader = read(table_of(30), coords, neighbors=across, more={"theme": "light"})

    def has_line(row: int) -> bool:
        quarter = reader.spots[row] * 0.75 + reader.spots[across[row, 0]] * 0.25
        return near(shot(reader.page), quarter, "#1c1e21") > 0

    reader.pin(3)
    reader.page.wait_for_timeout(300)  # until its neighbour is in view, and others are not
    reader.keyboard.press("0")
    reader.pin(8)
    reader.mouse.move(1100, 20)
    reader.page.wait_for_timeout(100)
    assert (has_line(3), has_line(8)) == (False, True)
    reader.see("#pins .small").nth(1).hover()
    reader.page.wait_for_timeout(100)
    assert (has_line(3), has_line(8)) == (True, False)


def test_outlines_go_with_the_selection(read) -> None:
    reader = read(table_of(30), more={"theme": "light"})
    reader.mouse.move(1100, 20)
    before = shot(reader.see("#map"))
    reader.keyboard.press("b")
    reader.draw([(100, 150), (900, 560)])
    reader.button("Clear").click()
    reader.keyboard.press("p")
    reader.mouse.move(1100, 20)
    expect(reader.see("#tray")).to_be_hidden()
    reader.page.wait_for_timeout(200)
    assert not len(changed(before, shot(reader.see("#map"))))


def test_a_slip_of_the_hand_loses_nothing(read) -> None:
    reader = read(table_of(30))
    reader.button("Box").click()
    reader.draw_around_all()
    kept = reader.see("#selection strong").text_content()
    reader.draw([(500, 300), (501, 301)])  # a click that moves
    reader.draw([(20, 140), (60, 160)])  # around nothing
    expect(reader.see("#said")).to_have_text("no points there: the selection stays")
    entry = reader.see("#classes li", has_text="bog")
    entry.locator(".class").click()
    expect(reader.see("#status")).to_have_text("20 of 30 points shown")
    expect(reader.see("#selection strong")).to_have_text(f"{kept}, 10 of them hidden")
    entry.hover()
    entry.locator(".choose").click()
    expect(reader.see("#said")).to_have_text("bog is hidden: show it to select it")
    expect(reader.see("#selection strong")).to_have_text(f"{kept}, 10 of them hidden")
    reader.see(".shares button").first.click()
    listed = reader.selected
    reader.see("#selection .small").first.click()
    expect(reader.see("#point .card")).to_have_attribute("data-row", str(listed[0]))
    assert reader.selected == listed  # the list stays as it was made
    reader.see("#color-by").select_option(label="ground_truth_num_label")
    reader.see("#color-by").select_option(label="ground_truth_word_label")
    expect(reader.see("#status")).to_have_text("20 of 30 points shown")


def test_a_double_click_on_the_map_pins_one_point(read) -> None:
    reader = read(table_of(300), neighbors=nearest(300))
    bottom = int(np.abs(reader.spots - [200, 700]).sum(1).argmin())  # where the tray comes to lie
    reader.mouse.dblclick(*reader.spots[bottom])
    reader.page.wait_for_timeout(600)
    expect(reader.see("#pins")).to_have_count(0)  # a single one is in the panel
    expect(reader.see("#point .card")).to_have_attribute("data-row", str(bottom))


def test_twelve_pins_are_kept(read) -> None:
    reader = read(table_of(30))
    for row in range(14):
        reader.find(f"{row:03d}.png")
        for key in ("Enter", "Control+Enter"):
            reader.keyboard.press(key)
    titles = [small.get_attribute("title") for small in reader.see("#pins .small").all()]
    assert [title.rpartition("row ")[2] for title in titles] == [str(row) for row in range(13, 1, -1)]


@pytest.mark.parametrize("root", ["javascript:alert(1)//", "data:text/html,<script>alert(1)</script>", "blob:x"])
def test_no_root_of_images_is_run(read, root) -> None:
    reader = read(table_of(3), images=Images("images/"), missing=("000.png",))
    reader.see("summary", has_text="Where the images are").click()
    reader.see("#image-root").fill(root)
    reader.keyboard.press("Enter")
    reader.hover(0)
    expect(reader.see("#point .missing")).to_have_text("no image: 000.png")
    reader.pin(0)
    expect(reader.see("#point .card a")).to_have_count(0)


def test_no_file_name_leads_out_of_the_root(read) -> None:
    names = ["../secret.png", "a/../../secret.png", "a\\..\\b.png"]
    reader = read(table_of(3).assign(file_name=names), images=Images("images/"))
    for row, name in enumerate(names):
        reader.hover(row)
        expect(reader.see("#point .missing")).to_have_text(f"no image: {name}")


def test_folders_are_told_as_windows_does(read, tmp_path) -> None:
    (tmp_path / "images/cat").mkdir(parents=True)
    Image.new("RGB", (150, 100)).save(tmp_path / "images/cat/a.png")
    reader = read(
        table_of(2).assign(file_name=["cat\\a.png", "b.png"]), images=Images("images/"), missing=("a.png", "b.png")
    )
    reader.hover(0)
    expect(reader.see("#point img")).to_have_js_property("naturalWidth", 150)
    reader.see("summary", has_text="Where the images are").click()
    reader.see("#image-root").fill("C:\\data\\images")
    reader.keyboard.press("Enter")
    reader.hover(1)
    expect(reader.see("#point .missing")).to_have_text("no image: file:///C:/data/images/b.png")


def test_sliders_change_the_points(read) -> None:
    reader = read(table_of(30))
    reader.see("summary", has_text="Points").click()
    for name in ("size", "opacity"):
        slider = reader.see(f"#{name}")
        values = [float(slider.input_value())]
        for press in (lambda at=slider: at.click(position={"x": 20, "y": 8}), lambda at=slider: at.press("ArrowRight")):
            press()
            values.append(float(slider.input_value()))
            reader.page.wait_for_function(
                f"document.getElementById('plot')._fullData[0].marker.{name} === {values[-1]}"
            )
        assert values[0] > values[2] > values[1]
    chosen = reader.page.evaluate("document.getElementById('plot')._fullData[0].marker.size")
    reader.page.set_viewport_size({"width": 1900, "height": 1200})
    assert reader.window["width"] > 1500
    assert reader.page.evaluate("document.getElementById('plot')._fullData[0].marker.size") == chosen


def test_keys_move_the_map(read) -> None:
    reader = read(table_of(30))
    whole = reader.window
    reader.see("#map").focus()
    for key, part in [("+", 1 / 1.5), ("-", 1), ("-", 1.5), ("0", 1)]:
        reader.keyboard.press(key)
        assert np.ptp(reader.window["x"]) == pytest.approx(part * np.ptp(whole["x"]))
    for key, right, up in [("ArrowRight", 1, 0), ("ArrowLeft", -1, 0), ("ArrowUp", 0, 1), ("ArrowDown", 0, -1)]:
        before = np.array(reader.middle)
        reader.keyboard.press(key)
        assert np.sign(np.round(reader.middle - before, 6)).tolist() == [right, up]
    reader.keyboard.press("ArrowUp")
    reader.keyboard.press("0")
    assert reader.window["x"] + reader.window["y"] == pytest.approx(whole["x"] + whole["y"])


def test_escape_takes_one_thing_back_at_a_time(read) -> None:
    reader = read(table_of(30))
    reader.pin(3)
    reader.keyboard.press("l")
    expect(reader.button("Lasso")).to_have_attribute("aria-pressed", "true")
    reader.draw([(100, 150), (900, 150), (900, 500), (100, 500)])
    expect(reader.see("#selection")).to_be_visible()
    reader.keyboard.press("/")
    reader.keyboard.type("bog")
    expect(reader.see("#find-count")).to_have_text("10 hits")
    reader.see("summary", has_text="Points").click()
    open_box, hits, lasso = "#tools details[open]", "#find-count:text('hits')", "[data-mode=lasso][aria-pressed=true]"
    there = [open_box, hits, lasso, "#selection", "#point .card h2, #point .buttons"]
    for taken in range(1, len(there) + 1):
        reader.keyboard.press("Escape")
        for place, selector in enumerate(there):
            expect(reader.see(selector)).to_have_count(int(place >= taken))
    expect(reader.see("#tray")).to_be_hidden()
    expect(reader.see("#find-text")).to_have_value("")


def test_tab_reaches_all_there_is(read) -> None:
    reader = read(table_of(30))
    reached = []
    for _ in range(30):
        reader.keyboard.press("Tab")
        reached.append(reader.page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert reached[:15] == [
        *("i", "Move", "find-text", "find-back", "find-next", "map", "+", "−", "Fit", "Where the images are"),
        *("color-by", "filter-by", "legend-find", "by size", "all"),
    ]
    assert reached[15:17] == ["none", f"{WORDS[0]}10"]  # the classes are one stop, among which the arrow keys walk
    reader.see("#classes .class").first.focus()
    for key, text in [
        ("ArrowDown", f"{WORDS[1]}10"),
        ("ArrowRight", "select"),
        ("ArrowRight", "only"),
        ("End", "bog10"),
    ]:
        reader.keyboard.press(key)
        expect(reader.see(":focus")).to_have_text(text)


def test_enter_pins_the_point_nearest_to_the_middle(read) -> None:
    reader = read(table_of(30))
    reader.see("#map").focus()
    for key in ("ArrowRight", "ArrowUp"):
        reader.keyboard.press(key)
    far = np.hypot(*(reader.coords - reader.middle).T)
    reader.keyboard.press("Enter")
    expect(reader.see("#point .card")).to_have_attribute("data-row", str(far.argmin()))


def test_keys_alone_find_pin_and_select(read) -> None:
    reader = read(table_of(30))
    for key in ("/", "1", "7", ".", "Enter", "Tab", "Tab", "Tab", "Enter"):
        reader.keyboard.press(key)
    assert reader.selected == [17]
    reader.keyboard.press("Enter")  # on the image, which has the focus
    expect(reader.see("#point .card .buttons")).to_be_visible()
    expect(reader.see("#point .card")).to_have_attribute("data-row", "17")


def test_pins_and_trays_leave_in_sight_what_was_seen(read) -> None:
    reader = read(table_of(300))
    whole, before = reader.window, reader.spots
    reader.pin(int(before[:, 1].argmax()))
    assert reader.spots == pytest.approx(before, abs=1)
    reader.button("Box").click()
    reader.draw([(300, 200), (700, 500)])
    expect(reader.see("#selection")).to_be_visible()
    seen, spots = reader.window, reader.spots
    assert seen["height"] < whole["height"] - 100
    assert (spots >= [seen["left"], seen["top"]]).all()
    assert (spots <= [seen["left"] + seen["width"], seen["top"] + seen["height"]]).all()
    reader.button("Clear").click()
    assert reader.window["x"] + reader.window["y"] == pytest.approx(whole["x"] + whole["y"])


def test_what_is_selected_out_of_sight_is_counted_and_gone_to(read) -> None:
    reader = read(table_of(300))
    reader.mouse.move(*reader.spots[7])
    for _ in range(4):
        reader.keyboard.press("+")
    reader.see("#classes li", has_text="bog").hover()
    reader.see("#classes li", has_text="bog").locator(".choose").click()
    hidden = reader.see("#out-of-sight")
    expect(hidden).to_have_text(re.compile(r"^\d+ out of sight: show$"))
    assert 50 < int(hidden.text_content().split()[0]) <= 100
    hidden.click()
    expect(hidden).to_be_hidden()
    seen, spots = reader.window, reader.spots[2::3]
    assert (spots >= [seen["left"], seen["top"]]).all()


def test_any_size_of_the_window_leaves_the_view(read) -> None:
    reader = read(table_of(300).assign(suspect=["yes" if row % 9 == 0 else "" for row in range(300)]))
    reader.mouse.move(500, 300)
    reader.mouse.wheel(0, -300)
    reader.page.wait_for_timeout(300)
    before, random, trays = reader.window, np.random.default_rng(0), 0
    for step in range(50):
        size = {"width": int(random.integers(900, 1900)), "height": int(random.integers(450, 1100))}
        reader.page.set_viewport_size(size)
        if step % 3 == 1:
            reader.keyboard.press("Escape" if reader.see("#tray").is_visible() else "s")
        trays += reader.see("#tray").is_visible()
    assert 10 < trays < 40
    if reader.see("#tray").is_visible():
        reader.keyboard.press("Escape")
    reader.page.set_viewport_size({"width": 1280, "height": 800})
    after = reader.window
    width = np.ptp(before["x"])
    assert np.abs(np.subtract(after["x"] + after["y"], before["x"] + before["y"])).max() < 0.01 * width


def test_zooming_ends_before_numbers_do(read) -> None:
    reader = read(table_of(300))
    whole = np.ptp(reader.window["x"])
    for delta, low, high in ((-100_000, 1e-7, 1e-3), (200_000, 3, 30)):
        reader.mouse.move(500, 300)
        reader.mouse.wheel(0, delta)
        reader.page.wait_for_timeout(300)
        assert low < np.ptp(reader.window["x"]) / whole < high
    reader.button("Fit").click()
    reader.page.wait_for_timeout(300)
    assert np.ptp(reader.window["x"]) == pytest.approx(whole)


def test_the_tip_goes_with_its_point(read) -> None:
    reader = read(table_of(300))
    gap = np.array([14, 14])

    def is_beside(row: int) -> bool:
        tip = reader.see("#tip").bounding_box()
        corners = np.array([[tip["x"], tip["y"]], [tip["x"] + tip["width"], tip["y"] + tip["height"]]])
        return bool((np.abs(corners - reader.spots[row]) <= gap + 1).any(0).all())

    reader.find("007.png")
    reader.keyboard.press("Enter")
    expect(reader.see("#tip")).to_be_visible()
    assert is_beside(7)
    reader.mouse.move(*reader.spots[7])
    reader.mouse.down()
    reader.mouse.move(*(reader.spots[7] + [80, 60]), steps=4)
    expect(reader.see("#tip")).to_be_hidden()
    reader.mouse.up()
    reader.hover(7)
    assert is_beside(7)
    reader.mouse.wheel(0, -200)
    assert is_beside(7)


def test_another_window_shows_the_whole_map_with_points_of_its_size(read) -> None:
    reader = read(table_of(3000))
    size = "document.getElementById('plot')._fullData[0].marker.size"
    before, whole = reader.page.evaluate(size), reader.window
    reader.page.set_viewport_size({"width": 2200, "height": 1300})
    reader.page.wait_for_function(f"{size} > {before}")
    seen = reader.window
    assert seen["width"] > whole["width"] + 800
    assert (seen["x"][0] <= reader.coords[:, 0].min()) & (seen["y"][1] >= reader.coords[:, 1].max())
    assert min(np.ptp(seen[axis]) / np.ptp(reader.coords, axis=0)[k] for k, axis in enumerate("xy")) < 1.1


def test_rings_go_with_what_they_are_around(read) -> None:
    reader = read(table_of(30))
    reader.mouse.move(1100, 20)
    before = shot(reader.page)[130:580, :920]
    entry = reader.see("#classes .class", has_text="bog")
    for leave in (lambda: reader.mouse.move(1100, 20), reader.button("Lasso").hover):
        reader.hover(3)
        reader.page.wait_for_timeout(100)
        assert len(changed(before, shot(reader.page)[130:580, :920]))
        leave()
        reader.page.wait_for_timeout(100)
        assert not len(changed(before, shot(reader.page)[130:580, :920]))
    entry.click()
    expect(reader.see("#status")).to_have_text("20 of 30 points shown")
    hidden = shot(reader.page)[130:580, :920]
    reader.mouse.move(1100, 20)
    reader.page.wait_for_timeout(100)
    assert not len(changed(hidden, shot(reader.page)[130:580, :920]))


def test_the_wheel_zooms_at_the_pointer(read) -> None:
    reader = read(table_of(30))
    whole, spots = reader.window, reader.spots
    for mode in ("Move", "Lasso"):
        reader.button(mode).click()
        reader.hover(9)
        reader.mouse.wheel(0, -60)
        reader.page.wait_for_function(
            f"document.getElementById('plot')._fullLayout.xaxis.range[0] > {whole['x'][0]} + 0.05"
        )
        assert reader.spots[9] == pytest.approx(spots[9], abs=1)
        reader.hover(20)
        expect(reader.see("#point .card")).to_have_attribute("data-row", "20")
        reader.button("Fit").click()
        assert reader.window["x"] + reader.window["y"] == pytest.approx(whole["x"] + whole["y"])


def test_dragging_moves_the_map_and_pins_nothing(read) -> None:
    reader = read(table_of(30))
    before, way = reader.spots, np.array([120, 50])
    reader.draw([before[9], before[9] + way / 2, before[9] + way])
    assert reader.spots == pytest.approx(before + way, abs=1)
    expect(reader.see("#tray")).to_be_hidden()


def test_a_picture_is_saved_as_the_map_is_seen(read) -> None:
    reader = read(table_of(30), dark=True)
    reader.pin(11)
    with reader.page.expect_download() as download:
        reader.button("Save").click()
    expect(reader.see("#said")).to_have_text("saved as UMAP_of_a_test_map.png")
    picture = Image.open(io.BytesIO(Path(download.value.path()).read_bytes())).convert("RGB")
    seen = reader.window
    above = 100  # pixels of the title
    assert picture.size == (2 * seen["width"], 2 * seen["height"] + above)
    size = reader.page.evaluate("document.getElementById('plot')._fullData[0].marker.size")
    left, top = 2 * (reader.spots[11] - [seen["left"], seen["top"]]) + [0, above]
    paper, ink, point = rgb_of(["#16181c", "#eceef1", reader.colors[11]])
    assert picture.getpixel((2, 2)) == tuple(paper)
    assert picture.getpixel((left, top)) == pytest.approx(tuple(point), abs=3)
    assert picture.getpixel((left + size + 8, top)) == pytest.approx(tuple(ink), abs=30)  # a ring around it


def test_a_saved_picture_has_the_scale_of_its_colours(read) -> None:
    numbers = [f"{row / 30:.3f}" for row in range(30)]
    reader = read(table_of(30).assign(suspicion=numbers), more={"color_by": "suspicion", "theme": "light"})
    with reader.page.expect_download() as download:
        reader.button("Save").click()
    picture = Image.open(io.BytesIO(Path(download.value.path()).read_bytes())).convert("RGB")
    middle = 100 + 2 * 25
    colors = [picture.getpixel((picture.width - 24 - x, middle)) for x in range(2, 319, 4)]
    assert colors[0] == pytest.approx(tuple(rgb_of(coloring.ramp()[:1])[0]), abs=20)  # the highest are the darkest
    assert colors[-1] == pytest.approx(tuple(rgb_of(coloring.ramp()[-1:])[0]), abs=20)
    assert len(set(colors)) > 60


def test_a_page_that_loads_shows_its_map_as_a_picture_in_the_same_place(read) -> None:
    reader = read(table_of(300), heading={"verdict": "40 % are kept."})
    spots = reader.spots
    never = "if (location.hash === '#wait') Response.prototype.arrayBuffer = () => new Promise(() => {});"
    reader.page.add_init_script(never)
    address = reader.page.url
    reader.page.goto("about:blank")
    reader.page.goto(f"{address}#wait")
    expect(reader.see("#status")).to_have_text("The map is loading.")
    expect(reader.see("#verdict")).to_have_text("40 % are kept.")
    expect(reader.see("#still")).to_be_hidden()
    places = reader.see("#map > svg").evaluate(
        """(svg) => [...svg.querySelectorAll("path")].flatMap((path) => {
          const matrix = path.getScreenCTM();
          return [...path.getAttribute("d").matchAll(/M(-?\\d+) (-?\\d+)/g)].map(([, x, y]) => {
            const {x: left, y: top} = new DOMPoint(x, y).matrixTransform(matrix);
            return [left, top];
          });
        })"""
    )
    apart = np.linalg.norm(np.array(places)[:, None] - spots, axis=2)
    assert len(places) == 300
    assert apart.min(1).max() < 1.5
    assert apart.min(0).max() < 1.5


def test_colours_that_are_hard_to_see_have_an_outline(read) -> None:
    width = "document.getElementById('plot')._fullData[0].marker.line.width"
    words = [f"class {row % 30}" for row in range(60)]
    reader = read(table_of(60).assign(ground_truth_word_label=words, ground_truth_num_label=""))
    assert reader.page.evaluate(width) > 0
    expect(reader.see("#classes")).to_have_class("outlined")
    reader.see("#color-by").select_option(label="ground_truth_L2_num_label")
    reader.page.wait_for_function(f"{width} === 0")
    expect(reader.see("#classes")).not_to_have_class("outlined")


# What a browser, a table or a label may be like


@pytest.mark.parametrize(("rows", "shown"), [(5_000, 5_000), (20_000, 10_000)])
def test_without_webgl_a_part_of_many_points_is_shown(read, rows, shown) -> None:
    reader = read(table_of(rows), webgl=False)
    expect(reader.see("#status")).to_have_text(re.compile(f"^{shown:,} of {rows:,} points shown"))
    expect(reader.see("#plot path.point")).to_have_count(shown)
    assert ("no WebGL" in reader.see("#status").text_content()) == (shown < rows)
    row = max(reader.colors, key=lambda row: reader.coords[row, 0])
    reader.hover(row)
    expect(reader.see("#point .card")).to_have_attribute("data-row", str(row))


def test_no_text_becomes_markup(read) -> None:
    rows = len(HOSTILE)
    table = table_of(rows).assign(
        file_name=HOSTILE, ground_truth_word_label=HOSTILE, ground_truth_num_label="", **dict.fromkeys(HOSTILE, HOSTILE)
    )
    reader = read(table, caption=HOSTILE[0], neighbors=nearest(rows), more={"hover": HOSTILE[:2]})
    assert HOSTILE[0] in reader.see("#caption").text_content()
    assert sorted(reader.classes) == sorted(HOSTILE)
    assert set(HOSTILE) <= set(reader.see("#color-by option").all_text_contents())
    reader.button("Names").click()
    for row, text in enumerate(HOSTILE):
        reader.hover(row)
        expect(reader.see("#point .card")).to_have_attribute("data-row", str(row))
        assert [reader.fields[name] for name in HOSTILE] == [text] * rows
        assert text in reader.see("#point .missing").text_content()
    reader.pin(0)
    expect(reader.see("#point .small span")).to_have_text([text.replace("\n", " ") for text in HOSTILE[1:6]])
    reader.keyboard.press("b")
    reader.draw_around_all()
    expect(reader.see("#selection .small").first).to_be_visible()
    reader.find(HOSTILE[0])
    expect(reader.see("#find-count")).to_have_text("1 hit")
    reader.button("Next hit").click()
    assert reader.fields["row"] == "0"
    assert reader.page.title() != "pwned"
    assert reader.page.title().endswith(HOSTILE[0])
    expect(reader.see("body").locator("img, a, b, iframe")).to_have_count(0)


@pytest.mark.parametrize(
    "coords",
    [
        [[3, 4]],
        [[0, 0], [1, 1]],
        [[0, 0], [1e-6, 0], [0, 1e-6], [0.5e-6, 0], [1e-6, 1e-6]],
        [[7, -2]] * 5,
        [[1e6, 0], [1e6, 5]],
    ],
)
def test_few_or_equal_points_are_shown(read, coords) -> None:
    coords = np.array(coords, np.float32)
    reader = read(table_of(len(coords)), coords)
    expect(reader.see("#status")).to_have_text(f"{len(coords)} of {len(coords)} points shown")
    reader.hover(len(coords) - 1)
    expect(reader.see("#point .card")).to_have_attribute("data-row", re.compile(r"\d"))


def test_many_points_are_drawn_by_webgl(read) -> None:
    reader = read(table_of(12_000))
    expect(reader.see("#plot canvas.gl-canvas-focus")).to_have_count(1)
    row = int(reader.coords[:, 0].argmax())
    left, top = reader.spots[row].astype(int)
    assert shot(reader.page)[top, left].min() < 200
    reader.hover(row)
    expect(reader.see("#point .card")).to_have_attribute("data-row", str(row))


def test_rows_without_names_are_told_by_their_numbers(read) -> None:
    reader = read(table_of(30).assign(file_name="", ground_truth_word_label=""))
    assert sorted(reader.classes) == ["0", "1", "2"]
    reader.hover(7)
    expect(reader.see("#point .missing")).to_have_text("no file name")
    assert reader.fields["file_name"] == "(blank)"
    assert reader.fields["ground_truth_num_label"] == "1"


def test_nothing_invites_to_send_data_away(read) -> None:
    reader = read(table_of(30))
    expect(reader.see(".modebar, .modebar-btn")).to_have_count(0)
    for text in ("Share", "Chart Studio", "Produced with Plotly", "Cloud"):
        expect(reader.page.get_by_text(text)).to_have_count(0)
        expect(reader.page.get_by_title(text)).to_have_count(0)
