"""The page where something is missing or otherwise: no script, no rights, a lost drawing, a sample, a finger, a key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from examples import WORDS, table_of
from reader import Reader, expect, nearest

from gpuvis.page import html, subsample
from gpuvis.page.heading import Heading
from gpuvis.page.options import Page

pytestmark = pytest.mark.browser

ADDRESS = "http://page.test/"
STILL = "This picture is all that can be shown here."


def coords_of(rows: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rows, 2)).astype(np.float32)


def page_of(rows: int, **more: Any) -> str:
    return html.draw(coords_of(rows), table_of(rows), Page(), Heading(name="m / test", caption="UMAP · x"), **more)[0]


@pytest.fixture
def visit(chromium: Any) -> Iterator[Any]:
    """Open a page as a server would send it, in a browser of its own, whose console nobody minds."""
    contexts = []

    def opened(content: str, headers: dict[str, str] | None = None, frame: str = "", **context: Any) -> Any:
        contexts.append(chromium.new_context(viewport={"width": 1280, "height": 800}, **context))
        tab = contexts[-1].new_page()
        told = {"content-type": "text/html; charset=utf-8", **(headers or {})}
        tab.route(ADDRESS, lambda route: route.fulfill(body=frame or content, headers=told))
        tab.route(f"{ADDRESS}inner", lambda route: route.fulfill(body=content, headers=told))
        tab.goto(ADDRESS)
        return tab

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize(
    ("headers", "context"),
    [({}, {"java_script_enabled": False}), ({"content-security-policy": "default-src 'self'"}, {})],
    ids=["no script", "a server that forbids it"],
)
def test_where_nothing_may_run_a_picture_and_one_sentence_are_shown(visit, headers, context) -> None:
    tab = visit(page_of(300), headers, **context)
    expect(tab.locator("#still p")).to_contain_text(STILL)
    expect(tab.locator("h1").first).to_have_text("m / test – UMAP")
    expect(tab.locator("#still svg")).to_be_visible()
    assert tab.locator("#still path").count() == 3  # the colours of the classes
    expect(tab.locator("#page")).to_be_hidden()


def test_a_server_that_forbids_what_webgl_needs_is_named(visit) -> None:
    policy = {"content-security-policy": "script-src 'unsafe-inline'"}
    tab = visit(page_of(12_000), policy)
    told = "10,000 of 12,000 points shown; the server of this page forbids unsafe-eval, which drawing all of them needs"
    expect(tab.locator("#status")).to_have_text(told, timeout=30_000)


def test_in_a_frame_that_may_save_nothing_the_text_is_offered(visit) -> None:
    tab = visit(page_of(30), frame='<iframe sandbox="allow-scripts" src="/inner" width="1200" height="780"></iframe>')
    frame = tab.frame_locator("iframe")
    frame.locator("#classes li").first.hover()
    frame.locator("#classes .choose").first.click()
    frame.get_by_role("button", name="Save CSV").click()
    expect(frame.locator("dialog p")).to_contain_text("m_test_UMAP_selection.csv was not saved")
    lines = frame.locator("dialog textarea").input_value().splitlines()
    assert len(lines) == 11
    expect(frame.locator("#said")).not_to_contain_text("saved as")
    frame.get_by_role("button", name="Close").click()
    expect(frame.locator("dialog")).to_have_count(0)


def test_a_drawing_that_the_browser_loses_is_drawn_again(read) -> None:
    reader = read(table_of(20_000))
    reader.keyboard.press("+")
    before, shown = reader.window, "20,000 of 20,000 points shown"
    lost = "The browser has lost the drawing of the map; it is drawn again."
    reader.page.evaluate(
        """() => {
          const canvas = document.querySelector(".gl-canvas-context");
          window.lose = (canvas.getContext("webgl") ?? canvas.getContext("webgl2")).getExtension("WEBGL_lose_context");
          lose.loseContext();
        }"""
    )
    expect(reader.see("#status")).to_have_text(lost)
    reader.page.evaluate("lose.restoreContext()")
    expect(reader.see("#status")).to_have_text(shown)
    assert reader.window["x"] == pytest.approx(before["x"])
    picture = reader.page.evaluate("Plotly.toImage('plot', {format: 'png', width: 300, height: 300})")
    assert len(picture) > 10_000  # of points, not of an empty map


def test_a_sample_is_told_wherever_a_number_could_mislead(read, monkeypatch) -> None:
    monkeypatch.setattr(subsample, "MOST_POINTS", 200)
    monkeypatch.setattr(subsample, "RARE", 10)
    reader = read(table_of(300))
    status = "100 of 100 points of this page, a sample of 300 rows, shown"
    expect(reader.see("#status")).to_have_text(status)
    assert reader.counts == [100, 100, 100]  # of all rows
    expect(reader.see("#classes .hint")).to_contain_text("100 of 300 rows; these counts are of all rows")
    reader.see("#filter-by").select_option(label="ground_truth_word_label")
    expect(reader.see("#filter-value option").first).to_contain_text("(100 of all rows)")
    expect(reader.see("#classes .hint")).to_contain_text("these counts are of the sample")
    reader.see("#filter-by").select_option(label="all points")
    reader.find(".png")
    expect(reader.see("#find-count")).to_have_text("100 hits in the sample")
    reader.button("Select").click()
    expect(reader.see("#selection strong")).to_have_text(
        '100 points of the sample on this page selected: hits of ".png"'
    )


def test_a_reader_is_told_at_first_what_to_do(read) -> None:
    reader = read(table_of(30), neighbors=nearest(30))
    told = "Point at a dot to see it. Click to pin it with its nearest neighbours."
    expect(reader.see("#point p")).to_contain_text(told)
    reader.hover(3)
    expect(reader.see("#point p")).to_have_count(0)


@pytest.mark.parametrize("classes", [17, 1000])
def test_the_first_suspect_is_few_keys_away(read, classes) -> None:
    rows = 2 * classes
    table = table_of(rows).assign(
        ground_truth_word_label=[f"class {row % classes}" for row in range(rows)],
        suspect=["yes" if row % 7 == 3 else "" for row in range(rows)],
        suspicion=[f"{row / rows:.3f}" for row in range(rows)],
    )
    reader = read(table, neighbors=nearest(rows))
    worst = max(row for row in range(rows) if row % 7 == 3)
    for key in ("Tab", "Tab", "Enter"):
        reader.keyboard.press(key)
    expect(reader.see("#selection .small").first).to_be_focused()
    expect(reader.see("#point .card")).to_have_attribute("data-row", str(worst))  # large, without another key
    reader.keyboard.press("ArrowRight")
    expect(reader.see("#point .card")).to_have_attribute("data-row", str(worst - 7))
    expect(reader.see("#said")).to_contain_text("points selected")  # to those who listen


def test_what_is_listed_stays_in_sight_as_some_of_it_is_pinned(read) -> None:
    rows = 60
    table = table_of(rows).assign(suspect=["yes" if row % 5 else "" for row in range(rows)])
    reader = read(table, neighbors=nearest(rows))
    reader.see("[data-do=suspects]").click()

    def in_sight() -> int:
        strip = reader.see("#selection .strip").bounding_box()
        low, high = strip["y"] - 1, strip["y"] + strip["height"]
        boxes = [small.bounding_box() for small in reader.see("#selection .small").all()]
        return sum(box["y"] >= low and box["y"] + box["height"] <= high for box in boxes)

    before = in_sight()
    assert before > 10
    third = reader.selected[2]
    reader.see("#selection .small").nth(2).click()
    expect(reader.see("#point .card")).to_have_attribute("data-row", str(third))
    assert in_sight() == before
    image = reader.see("#point figure").bounding_box()
    assert image["width"] >= 300


def test_what_scrolls_beneath_a_resting_pointer_is_not_looked_at(read) -> None:
    table = table_of(200).assign(suspect="yes", suspicion=[f"{row / 200:.3f}" for row in range(200)])
    reader = read(table)
    reader.see("[data-do=suspects]").click()
    reader.see("#selection .small").nth(1).click()
    top = reader.see("#selection .strip").evaluate("(strip) => strip.scrollTop")
    for _ in range(4):
        reader.keyboard.press("ArrowDown")
        reader.page.wait_for_timeout(200)  # until what has come to lie beneath the pointer would be told
    assert reader.see("#selection .strip").evaluate("(strip) => strip.scrollTop") > top
    row = reader.page.evaluate("document.activeElement.title.split('row ')[1]")
    expect(reader.see("#point .card")).to_have_attribute("data-row", row)
    reader.keyboard.press("Enter")
    expect(reader.see("#point .card .buttons")).to_be_visible()
    expect(reader.see("#point .card")).to_have_attribute("data-row", row)
    reader.see("#selection .small").first.hover()  # a hand that moves is followed again
    expect(reader.see("#point .card")).to_have_attribute("data-row", "199")


@pytest.mark.parametrize("both", [False, True])
def test_what_is_confused_is_counted_by_pairs_and_selected(read, both) -> None:
    predicted = [WORDS[(row + (row % 5 == 0)) % 3] for row in range(30)]
    reader = read(table_of(30).assign(**{"predicted by vit": predicted, "predicted by clip": WORDS[0]}))
    reader.button("Confused").click()
    expect(reader.see("#classes")).to_be_hidden()
    if both:
        reader.see("#confused input").check()
    items = reader.see("#confused .pairs button")
    wrong = list(range(0, 30, 5))
    counts = [int(text) for text in reader.see("#confused .count").all_text_contents()]
    assert sum(counts) == len(wrong)
    assert counts == sorted(counts, reverse=True)
    name = items.first.locator(".name").text_content()
    sign = " ↔ " if both else " → "
    first, second = name.split(sign)
    items.first.click()
    of = [row for row in wrong if (WORDS[row % 3], predicted[row]) in {(first, second), (second, first)}]
    of = of if both else [row for row in of if WORDS[row % 3] == first]
    assert sorted(reader.selected) == of
    title = reader.see("#selection strong")
    expect(title).to_have_text(re.compile(f"^{len(of)} points? selected: {re.escape(name)}, by predicted by vit$"))
    reader.see("#confused-by").select_option(label="predicted by clip")
    assert sum(int(text) for text in reader.see("#confused .count").all_text_contents()) == 20
    reader.button("Confused").click()
    expect(reader.see("#classes")).to_be_visible()


def test_what_is_confused_is_counted_in_the_points_that_are_shown(read) -> None:
    predicted = [WORDS[(row + (row % 5 == 0)) % 3] for row in range(30)]
    part = ["first" if row < 15 else "second" for row in range(30)]
    reader = read(table_of(30).assign(**{"predicted by vit": predicted, "part": part}))
    reader.see("#filter-by").select_option(label="part")
    reader.button("Confused").click()
    expect(reader.see("#confused .hint")).to_have_text("Counted in the 15 points that are shown.")
    assert sum(int(text) for text in reader.see("#confused .count").all_text_contents()) == 3
    reader.keyboard.press("Escape")  # closes what lies on top, and leaves the filter
    expect(reader.see("#confused")).to_be_hidden()
    expect(reader.see("#status")).to_have_text("15 of 30 points shown: part first")


def test_few_points_in_a_crowd_give_it_no_name(read) -> None:
    """A class of five among hundreds lies in an island, but is not what the island is."""
    rng = np.random.default_rng(0)
    islands = np.array([[0, 0], [9, 1], [4, 7]], float)[np.arange(600) % 3]
    coords = (islands + 0.3 * rng.normal(size=(600, 2))).astype(np.float32)
    few = np.isin(np.arange(600), np.argsort(np.hypot(*(coords - islands[0]).T))[:5])
    reader = read(table_of(600).assign(kind=np.where(few, "few", "many")), coords)
    expect(reader.see("#names span")).to_have_count(3)
    reader.see("#color-by").select_option(label="kind")
    expect(reader.see("#names")).not_to_contain_text("few")
    reader.see("#classes .class", has_text="many").click()
    expect(reader.see("#names span")).to_have_text(["few"])


def test_density_shades_places_by_how_many_points_they_have(read) -> None:
    near = np.random.default_rng(0).normal(0, 0.01, (3_900, 2))
    coords = np.concatenate([near, coords_of(100) * 0.5 + 2]).astype(np.float32)
    reader = read(table_of(4_000).assign(ground_truth_word_label="bog", ground_truth_num_label=""), coords)
    expect(reader.button("Density")).to_have_attribute("aria-pressed", "false")
    reader.keyboard.press("d")
    expect(reader.see("#plot")).to_have_class(re.compile("dense"))
    reader.page.wait_for_timeout(300)
    shade = """([left, top]) => {
      const {data} = document.getElementById("overlay").getContext("2d").getImageData(left - 1, top - 1, 3, 3);
      return Math.max(...Array.from({length: 9}, (_, k) => data[4 * k + 3]));
    }"""
    place = np.array([reader.window["left"], reader.window["top"]])
    crowd, lone = (reader.page.evaluate(shade, (reader.spots[row] - place).tolist()) for row in (0, 3_950))
    assert crowd > 200 > lone > 50
    reader.keyboard.press("d")
    expect(reader.see("#plot")).not_to_have_class(re.compile("dense"))


def test_a_burst_of_the_wheel_is_not_worked_off_late(read) -> None:
    reader = read(table_of(5_000))
    drawn = """() => {
      window.drawn = 0;
      document.getElementById("plot").on("plotly_relayout", () => window.drawn++);
      const place = document.getElementById("map");
      const turn = {deltaY: -5, clientX: 400, clientY: 400, bubbles: true, cancelable: true};
      for (let k = 0; k < 200; k++) place.dispatchEvent(new WheelEvent("wheel", turn));
    }"""
    before = np.ptp(reader.window["x"])
    reader.page.evaluate(drawn)
    assert np.ptp(reader.window["x"]) == pytest.approx(before / np.exp(200 * 5 / 400), rel=1e-6)
    assert reader.page.evaluate("drawn") <= 3


def test_two_fingers_zoom_and_one_moves(visit) -> None:
    tab = visit(page_of(300), has_touch=True)
    tab.wait_for_selector("html[data-drawn]")
    reader = Reader(tab, coords_of(300))
    before = reader.window
    fingers = tab.context.new_cdp_session(tab)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        spots = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(points)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})

    touch("touchStart", (300, 400), (500, 400))
    for gap in (120, 150, 200):
        touch("touchMove", (400 - gap, 400), (400 + gap, 400))
    touch("touchEnd")
    assert np.ptp(reader.window["x"]) == pytest.approx(np.ptp(before["x"]) / 2, rel=0.02)
    spots = reader.spots
    touch("touchStart", (300, 400))
    for x in (320, 350, 380):
        touch("touchMove", (x, 400))
    touch("touchEnd")
    assert reader.spots == pytest.approx(spots + np.array([80, 0]), abs=2)
    expect(tab.locator("#point .card")).to_have_count(0)


def test_on_a_phone_all_of_the_page_is_as_wide_as_the_screen(visit) -> None:
    tab = visit(page_of(300))
    tab.wait_for_selector("html[data-drawn]")
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.locator("#classes li").first.hover()
    tab.locator("#classes .choose").first.click()
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    tray, legend = (tab.locator(part).bounding_box() for part in ("#selection", "#legend"))
    assert tray["y"] < legend["y"]  # what was selected is not below the fold
    tab.locator("#selection .small").nth(1).click()
    expect(tab.locator("#point figure")).to_be_in_viewport(ratio=0.95)
    expect(tab.locator("#selection .small").first).to_be_in_viewport()
    tab.locator("#tools summary").click()
    tab.locator("#size").scroll_into_view_if_needed()
    expect(tab.locator("#size")).to_be_in_viewport()
    box = tab.locator("#size").bounding_box()
    at = f"document.elementFromPoint({box['x'] + box['width'] / 2}, {box['y'] + box['height'] / 2}).id"
    assert tab.evaluate(at) == "size"


@pytest.mark.parametrize("size", [(900, 500), (1100, 600), (1366, 768)])
def test_in_a_low_window_nothing_lies_over_another(read, size) -> None:
    table = table_of(200).assign(suspect=["yes" if row % 3 else "" for row in range(200)])
    reader = read(table, neighbors=nearest(200))
    reader.page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
    reader.see("[data-do=suspects]").click()
    reader.see("#selection .small").nth(1).click()
    parts = {part: reader.see(part).bounding_box() for part in ("header", "#map", "#tray", "aside")}
    for one, first in parts.items():
        for other, second in parts.items():
            across = min(first["x"] + first["width"], second["x"] + second["width"]) - max(first["x"], second["x"])
            down = min(first["y"] + first["height"], second["y"] + second["height"]) - max(first["y"], second["y"])
            assert one == other or min(across, down) < 1, (one, other)
    assert reader.page.evaluate("document.documentElement.scrollHeight") == size[1]
    assert parts["#map"]["height"] > 100
    reader.see("#point dd").last.scroll_into_view_if_needed()
    expect(reader.see("#point dd").last).to_be_in_viewport()
    reader.see("#classes .class").last.scroll_into_view_if_needed()
    expect(reader.see("#classes .class").last).to_be_in_viewport()


def test_a_change_of_the_system_theme_reaches_what_is_drawn(read) -> None:
    numbers = [f"{row / 60:.3f}" if row else "" for row in range(60)]
    reader = read(table_of(60).assign(suspicion=numbers), more={"color_by": "suspicion"})
    colors = "String(document.getElementById('plot').data[0].marker.color)"
    light = reader.page.evaluate(colors)
    reader.page.emulate_media(color_scheme="dark")
    reader.page.wait_for_function(f"{colors} !== '{light}'")
    reader.keyboard.press("t")
    reader.page.wait_for_function(f"{colors} === '{light}'")
    reader.keyboard.press("t")  # as the system has it, so the system decides again
    reader.page.wait_for_function(f"{colors} !== '{light}'")
    reader.page.emulate_media(color_scheme="light")
    reader.page.wait_for_function(f"{colors} === '{light}'")


def test_keys_of_what_a_page_lacks_do_nothing(read) -> None:
    reader = read(table_of(30))
    for key in "cs":
        reader.keyboard.press(key)
    expect(reader.see("#classes")).to_be_visible()
    expect(reader.see("#said")).to_have_text("")
    keys = reader.see("#keys").text_content()
    assert "suspects" not in keys
    assert "confused" not in keys
    assert "L lasso" in keys


def test_buttons_on_the_map_are_pressed_by_enter(read) -> None:
    reader = read(table_of(30))
    before = np.ptp(reader.window["x"])
    reader.see("[data-do=in]").press("Enter")
    reader.page.wait_for_timeout(300)
    assert np.ptp(reader.window["x"]) == pytest.approx(before / 1.5)


def test_a_page_says_that_its_map_was_not_measured(read) -> None:
    expect(read(table_of(30)).see("#verdict")).to_have_text("How far this map can be trusted was not measured.")


def test_the_height_of_the_tray_is_kept(read) -> None:
    reader = read(table_of(60))
    reader.find("png")
    reader.button("Select").click()
    before = reader.see("#tray").bounding_box()["height"]
    edge = reader.see("#edge").bounding_box()
    reader.mouse.move(edge["x"] + 100, edge["y"] + 3)
    reader.mouse.down()
    reader.mouse.move(edge["x"] + 100, edge["y"] - 97)
    reader.mouse.up()
    assert reader.see("#tray").bounding_box()["height"] == pytest.approx(before + 100, abs=5)
    reader.see("#edge").press("ArrowDown")
    kept = reader.see("#tray").bounding_box()["height"]
    assert kept == pytest.approx(before + 76, abs=5)
    reader.page.reload()
    reader.page.wait_for_selector("html[data-drawn]")
    reader.find("png")
    reader.button("Select").click()
    assert reader.see("#tray").bounding_box()["height"] == kept


def test_accents_are_found_however_they_are_written(read) -> None:
    reader = read(table_of(3).assign(file_name=["cafe\u0301.png", "caf\u00e9.png", "cafe.png"]))
    reader.find("caf\u00e9")
    expect(reader.see("#find-count")).to_have_text("2 hits")


def test_what_is_printed_is_the_map_with_its_names_and_classes(read) -> None:
    islands = np.array([[0, 0], [9, 1], [4, 7]])[np.arange(60) % 3]
    reader = read(
        table_of(60), (islands + coords_of(60) * 0.3).astype(np.float32), heading={"verdict": "40 % are kept."}
    )
    reader.page.emulate_media(media="print")
    for part in ("#tools", "#point p", "#zoom", ".controls"):
        expect(reader.see(part)).to_be_hidden()
    expect(reader.see("#status")).to_be_visible()
    expect(reader.see("#verdict")).to_be_visible()
    expect(reader.see("#names span")).to_have_count(3)
    expect(reader.see("#classes .swatch").first).to_be_visible()


def test_in_colours_of_the_system_all_is_told_still(read) -> None:
    islands = np.array([[0, 0], [9, 1], [4, 7]])[np.arange(60) % 3]
    reader = read(table_of(60), (islands + coords_of(60) * 0.3).astype(np.float32))
    before = reader.see("#classes .swatch").first.evaluate("(swatch) => getComputedStyle(swatch).backgroundColor")
    reader.page.emulate_media(forced_colors="active")
    style = "(element) => { const { borderWidth, color, webkitTextStrokeColor: edge } = getComputedStyle(element); "
    assert reader.button("Move").evaluate(f"{style} return borderWidth; }}") == "2px"
    assert reader.button("Lasso").evaluate(f"{style} return borderWidth; }}") == "1px"
    name = "document.querySelector('#names span')"  # looked up as it is asked: names may just be placed anew
    color, edge = reader.page.evaluate(f"({style} return [color, edge]; }})({name})")
    assert color != edge
    after = reader.see("#classes .swatch").first.evaluate("(swatch) => getComputedStyle(swatch).backgroundColor")
    assert after == before
