"""What the page tells of labels in doubt, and showing only some points, in a browser."""

from __future__ import annotations

import csv
import io
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from examples import WORDS, table_of
from reader import HOSTILE, Reader, expect, nearest

from gpuvis.page import coloring

if TYPE_CHECKING:
    import pandas as pd

pytestmark = pytest.mark.browser

ROWS = 30
SUSPICION = np.where(np.arange(ROWS) % 5, (np.arange(ROWS) * 7 % ROWS) / 31, np.nan)
SUSPECTS = [row for row in range(ROWS) if SUSPICION[row] > 0.7]
SUSPECTED = "suspects, whose neighbours suggest another label"
MISSED = ["missed by all" if row % 4 == 0 else "correct by all" if row % 4 < 3 else "" for row in range(ROWS)]


def reviewed() -> pd.DataFrame:
    """A table that tells how far its labels can be trusted."""
    return table_of(ROWS).assign(
        suspicion=["" if np.isnan(value) else f"{value:.4f}" for value in SUSPICION],
        suspect=["yes" if row in SUSPECTS else "" for row in range(ROWS)],
        suggested_label=[WORDS[(row + 1) % 3] if row in SUSPECTS else "" for row in range(ROWS)],
        predictions=MISSED,
    )


def between(low: float, high: float) -> set[int]:
    return set(np.flatnonzero((SUSPICION >= low) & (SUSPICION <= high)).tolist())


def show_only(reader: Reader, column: str, value: str | None = None) -> None:
    reader.see("#filter-by").select_option(label=column)
    if value:
        reader.see("#filter-value").select_option(label=value)


def expect_status(reader: Reader, text: str) -> None:
    expect(reader.see("#status")).to_have_text(text)


# Showing only some points


def test_points_are_shown_by_their_numbers(read) -> None:
    reader = read(reviewed())
    show_only(reader, "suspicion")
    expect_status(reader, "24 of 30 points shown: suspicion 0.03 to 0.94 (6 have none)")
    assert set(reader.colors) == between(0, 1)  # a row without a number is hidden
    low, high = reader.see(".range input[type=number]").all()
    low.fill("0.5")
    reader.keyboard.press("Enter")
    expect_status(reader, f"{len(between(0.5, 1))} of 30 points shown: suspicion 0.5 to 0.94 (6 have none)")
    assert set(reader.colors) == between(0.5, 1)
    high.fill("0.6123")  # finer than the scale
    reader.keyboard.press("Tab")
    expect_status(reader, f"{len(between(0.5, 0.6123))} of 30 points shown: suspicion 0.5 to 0.6123 (6 have none)")
    assert set(reader.colors) == between(0.5, 0.6123)
    hidden = min(between(0.7, 1))
    reader.hover(hidden)
    expect(reader.see("#map")).not_to_have_class("pointing")


def test_points_are_shown_by_their_dates(read) -> None:
    days = [f"2024-05-{day + 1:02}" if day % 9 else "" for day in range(ROWS)]
    table = reviewed().assign(taken=[day and f"{day.replace('-', ':')} 23:59:07" for day in days])
    reader = read(table)
    reader.color_by("taken", coloring.of_table(reader.coords, table, "taken").rgb)
    expect(reader.see("#classes .ends span")).to_have_text(["≤ 2024-05-02", "≥ 2024-05-29"])
    show_only(reader, "taken")
    expect_status(reader, "26 of 30 points shown: taken 2024-05-02 to 2024-05-30 (4 have none)")
    first, last = reader.see(".range input[type=date]").all()
    first.fill("2024-05-20")
    last.fill("2024-05-22")
    reader.keyboard.press("Tab")
    expect_status(reader, "3 of 30 points shown: taken 2024-05-20 to 2024-05-22 (4 have none)")
    assert set(reader.colors) == {19, 20, 21}, "each day is whole"


def test_a_date_that_is_half_typed_changes_nothing(read) -> None:
    """Each key makes another whole date: on the way to 2024 lies the year 20."""
    reader = read(reviewed().assign(taken=[f"2024-05-{day + 1:02}" for day in range(ROWS)]))
    show_only(reader, "taken")
    first, last = reader.see(".range input[type=date]").all()
    first.click(position={"x": 12, "y": 12})
    reader.keyboard.type("05102024")
    last.click(position={"x": 12, "y": 12})
    reader.keyboard.type("0515202")
    expect_status(reader, "21 of 30 points shown: taken 2024-05-10 to 2024-05-30")
    reader.keyboard.type("4")
    reader.keyboard.press("Enter")
    expect_status(reader, "6 of 30 points shown: taken 2024-05-10 to 2024-05-15")


def test_within_few_days_points_are_shown_by_their_time(read) -> None:
    times = [f"2024-05-01T{6 + row // 4:02}:{row % 4 * 15:02}:59" for row in range(ROWS)]
    reader = read(reviewed().assign(taken=times))
    show_only(reader, "taken")
    reader.see(".range input[type=datetime-local]").first.fill("2024-05-01T12:30")
    reader.keyboard.press("Tab")
    expect_status(reader, "4 of 30 points shown: taken 2024-05-01 12:30 to 2024-05-01 13:15")


def test_the_handles_of_a_scale_are_moved_by_keys_and_mouse(read) -> None:
    reader = read(reviewed())
    show_only(reader, "suspicion")
    low, high = reader.see(".range input[type=range]").all()
    low.focus()
    for _ in range(3):
        reader.keyboard.press("ArrowRight")
    expect_status(reader, f"{len(between(0.06, 1))} of 30 points shown: suspicion 0.06 to 0.94 (6 have none)")
    high.focus()
    reader.keyboard.press("Home")  # one takes the other along
    expect_status(reader, "0 of 30 points shown: suspicion 0.03 to 0.03 (6 have none)")
    place = reader.see(".track").bounding_box()
    left, middle = place["x"] + 7, place["y"] + place["height"] / 2
    reader.draw([(left, middle), (left + (place["width"] - 14) / 2, middle)])
    expect(reader.see(".range input[type=number]").last).to_have_value("0.49")
    expect_status(reader, f"{len(between(0, 0.49))} of 30 points shown: suspicion 0.03 to 0.49 (6 have none)")
    assert set(reader.colors) == between(0, 0.49)


def test_a_number_that_is_half_typed_is_taken_back(read) -> None:
    reader = read(reviewed())
    show_only(reader, "suspicion")
    typed = reader.see(".range input[type=number]").first
    for text, key in [("0.5", "Escape"), ("", "Enter")]:
        typed.fill(text)
        reader.keyboard.press(key)
        expect(typed).to_have_value("0.03")
        expect_status(reader, "24 of 30 points shown: suspicion 0.03 to 0.94 (6 have none)")


def test_points_of_one_class_are_shown_with_those_that_the_legend_shows(read) -> None:
    reader = read(reviewed())
    show_only(reader, "predictions")
    expect(reader.see("#filter-value option")).to_have_text(["correct by all (15)", "missed by all (8)", "(blank) (7)"])
    expect_status(reader, "15 of 30 points shown: predictions correct by all")
    show_only(reader, "predictions", "missed by all (8)")
    missed = set(range(0, ROWS, 4))
    expect_status(reader, "8 of 30 points shown: predictions missed by all")
    assert set(reader.colors) == missed
    assert dict(zip(reader.classes, reader.counts, strict=True)) == {
        word: len([row for row in missed if row % 3 == label]) for label, word in enumerate(WORDS)
    }
    reader.see("#classes .class", has_text="bog").click()
    some = {row for row in missed if row % 3 != 2}
    expect_status(reader, f"{len(some)} of 30 points shown: predictions missed by all")
    assert set(reader.colors) == some
    reader.see("#color-by").select_option(label="suspicion")
    expect(reader.see("#classes .hint")).to_have_text("1 of ground_truth_word_label hidden show")
    assert set(reader.colors) == some  # what is hidden stays hidden
    reader.button("show").click()
    expect_status(reader, "8 of 30 points shown: predictions missed by all")
    assert set(reader.colors) == missed
    show_only(reader, "predictions", "(blank) (7)")
    expect_status(reader, "7 of 30 points shown: predictions (blank)")


def test_the_filter_is_taken_off(read) -> None:
    reader = read(reviewed())
    take_off = reader.button("Show all points again")
    ways = [
        take_off.click,
        lambda: reader.keyboard.press("Escape"),
        lambda: show_only(reader, "all points"),
    ]
    for way in ways:
        expect(take_off).to_be_hidden()
        show_only(reader, "predictions")
        expect_status(reader, "15 of 30 points shown: predictions correct by all")
        reader.see("#filter-by").blur()
        way()
        expect_status(reader, "30 of 30 points shown")
        expect(reader.see("#filter-value, .range")).to_have_count(0)
        assert set(reader.colors) == set(range(ROWS))
        assert reader.counts == [10, 10, 10]
    show_only(reader, "predictions")
    take_off.press("Enter")
    expect(reader.see("#filter-by")).to_be_focused()


def test_escape_takes_off_the_filter_after_the_selection_and_before_the_pins(read) -> None:
    reader = read(reviewed())
    reader.pin(3)
    show_only(reader, "suspect")
    reader.see("#filter-by").blur()
    reader.button(f"Suspects {len(SUSPECTS)}").click()
    there = ["#selection", "#filter-value", "#point .buttons"]
    for taken in range(len(there) + 1):
        for place, selector in enumerate(there):
            expect(reader.see(selector)).to_have_count(int(place >= taken))
        reader.keyboard.press("Escape")


def test_hits_selections_and_names_follow_the_filter(read) -> None:
    reader = read(reviewed())
    reader.find("2.png")
    expect(reader.see("#find-count")).to_have_text("3 hits")
    reader.button("Select").click()
    show_only(reader, "predictions", "missed by all (8)")
    expect(reader.see("#find-count")).to_have_text("1 hit, 2 hidden")
    expect(reader.see("#selection strong")).to_have_text('3 points selected: hits of "2.png", 2 of them hidden')
    reader.button("Select").click()
    assert reader.selected == [12]
    entry = reader.see("#classes li", has_text="Fen")
    entry.hover()
    entry.locator(".choose").click()
    expect(reader.see("#selection strong")).to_have_text(f"3 points selected: {WORDS[0]}")
    assert set(reader.selected) == set(range(0, ROWS, 12))


def test_a_class_of_which_nothing_is_shown_has_no_name_on_the_map(read) -> None:
    table = table_of(ROWS).assign(
        ground_truth_word_label=["bog"] * 10 + ["fen"] * 20,
        ground_truth_num_label="",
        kind=["a"] * 10 + ["b"] * 20,
    )
    coords = np.concatenate([np.full((10, 2), -1), np.full((20, 2), 1)]).astype(np.float32)
    reader = read(table, coords)
    for kind, name in [("a (10)", "bog"), ("b (20)", "fen")]:
        show_only(reader, "kind", kind)
        expect_status(reader, f"{10 if name == 'bog' else 20} of 30 points shown: kind {kind[0]}")
        counts = {"bog": 10, "fen": 0} if name == "bog" else {"bog": 0, "fen": 20}
        assert dict(zip(reader.classes, reader.counts, strict=True)) == counts
        drawn = reader.see("#names span").all_text_contents()
        assert drawn == [name]


def test_columns_that_can_be_told_apart_are_offered(read) -> None:
    rows = 400
    table = table_of(rows).assign(
        few=[f"{k % 50:02d}" if k < 300 else "" for k in range(rows)],
        many=[f"{k % 51}" for k in range(rows)],
        nothing="",
        remark=[f"remark {k}" for k in range(rows)],
        recall=["0.0000" if k % 2 else "1.0000" for k in range(rows)],
    )
    reader = read(table)
    names = ["ground_truth_num_label", "ground_truth_word_label", "ground_truth_L2_num_label", "few"]
    expect(reader.see("#filter-by option")).to_have_text(["all points", *names, "recall"])
    expect(reader.see("#color-by option")).to_have_text([*names, "many", "recall", "nothing"])
    show_only(reader, "recall")
    expect(reader.see(".range")).to_be_visible()  # a measure, also where it is never between 0 and 1
    reader = read(table_of(3)[["file_name"]], more={"color_by": "file_name"})
    expect(reader.see("#filter-by option")).to_have_text(["all points", "file_name"])


def test_what_is_drawn_already_is_not_drawn_again(read) -> None:
    reader = read(reviewed().assign(suspicion=[f"{k / 40}" for k in range(ROWS)]))
    reader.page.evaluate("document.getElementById('plot').data[0].x.mark = true")
    show_only(reader, "suspicion")
    expect_status(reader, "30 of 30 points shown: suspicion 0 to 0.73")
    marked = "document.getElementById('plot').data[0].x.mark"
    assert reader.page.evaluate(marked)
    show_only(reader, "predictions")
    expect_status(reader, "15 of 30 points shown: predictions correct by all")
    assert not reader.page.evaluate(marked)


# Labels in doubt


def test_the_worst_of_a_selection_come_first(read) -> None:
    reader = read(reviewed())
    reader.find("png")
    reader.button("Select").click()
    worst = sorted(range(ROWS), key=lambda row: (-np.nan_to_num(SUSPICION[row], nan=-1), row))
    assert reader.selected == worst
    titles = [small.get_attribute("title").split("\n") for small in reader.see("#selection .small").all()]
    table = reviewed()
    assert [line for title in titles for line in title if line.startswith("suspicion")] == [
        f"suspicion {table['suspicion'][row]}" for row in worst[:24]
    ]
    share = reader.see(".shares button", has_text="bog")
    share.click()
    assert reader.selected == [row for row in worst if row % 3 == 2]
    share.click()
    assert reader.selected == worst
    with reader.page.expect_download() as download:
        reader.button("Save CSV").click()
    saved = Path(download.value.path()).read_bytes().decode("utf-8-sig")
    assert [int(line["row"]) for line in csv.DictReader(io.StringIO(saved))] == list(range(ROWS))


def test_without_suspicion_the_worst_are_those_with_the_highest_outlier_score(read) -> None:
    scores = ["" if np.isnan(value) else f"{value:.4f}" for value in SUSPICION]
    reader = read(table_of(ROWS).assign(outlier_score=scores))
    reader.find("png")
    reader.button("Select").click()
    assert reader.selected == sorted(range(ROWS), key=lambda row: (-np.nan_to_num(SUSPICION[row], nan=-1), row))
    told = reader.see("#selection .small").first.get_attribute("title").split("\n")
    assert f"outlier_score {max(scores)}" in told


def test_what_is_shown_does_not_fade_for_a_selection_that_is_not(read) -> None:
    reader = read(reviewed().assign(predictions=["" if row in SUSPECTS else "missed by all" for row in range(ROWS)]))
    faded, strong = re.compile("faded"), reader.see("#selection strong")
    reader.button(f"Suspects {len(SUSPECTS)}").click()
    expect(reader.see("#plot")).to_have_class(faded)
    show_only(reader, "predictions", f"missed by all ({ROWS - len(SUSPECTS)})")
    expect(strong).to_have_text(f"{len(SUSPECTS)} points selected: {SUSPECTED}, {len(SUSPECTS)} of them hidden")
    expect(reader.see("#plot")).not_to_have_class(faded)
    reader.see(".shares button").first.hover()  # all of these are hidden too
    reader.page.wait_for_timeout(100)
    expect(reader.see("#plot")).not_to_have_class(faded)
    reader.button("Show all points again").click()
    expect(reader.see("#plot")).to_have_class(faded)


def test_suspects_have_a_badge_and_what_is_suggested_under_their_label(read) -> None:
    reader = read(reviewed(), neighbors=nearest(ROWS))
    suspect, other = SUSPECTS[0], next(row for row in range(ROWS) if row not in SUSPECTS)
    suggested = WORDS[(suspect + 1) % 3]
    for look in (reader.hover, reader.pin):
        look(suspect)
        badge = reader.see("#point figure mark.suspect")
        expect(badge).to_have_text("! suspect")
        expect(badge).to_have_attribute("title", f"suspect: its neighbours suggest {suggested}")
        expect(reader.see("#point figcaption")).to_have_text(f"{WORDS[suspect % 3]}→ {suggested}?")
    names = list(reader.fields)
    assert names.index("suggested_label") == names.index("ground_truth_word_label") + 1
    assert reader.fields["suggested_label"] == suggested
    near = [(suspect + step) % ROWS for step in range(1, 6)]
    assert [small.locator("mark").count() for small in reader.see("#point .small").all()] == [
        int(row in SUSPECTS) for row in near
    ]
    reader.button("Unpin").click()
    reader.hover(other)
    expect(reader.see("#point .card")).to_have_attribute("data-row", str(other))
    expect(reader.see("mark")).to_have_count(0)
    names = list(reader.fields)
    assert names.index("suggested_label") > names.index("ground_truth_L2_num_label")


def test_a_class_is_the_label_whatever_gives_the_colours(read) -> None:
    """Else neighbours of another label would seem to be of the same class as soon as something else is looked at."""
    light = ["night" if row < 20 else "day" for row in range(ROWS)]
    reader = read(reviewed().assign(light=light), neighbors=nearest(ROWS))
    reader.pin(SUSPECTS[0])
    label = WORDS[SUSPECTS[0] % 3]
    told, head = "5 nearest in the original space, 1 with the same label", reader.see("#point h2")
    expect(head).to_have_text(told)
    differs = [small.get_attribute("class") for small in reader.see("#point .small").all()]
    reader.see("#color-by").select_option(label="light")
    near = [(SUSPECTS[0] + step) % ROWS for step in range(1, 6)]
    same = sum(light[row] == light[SUSPECTS[0]] for row in near)
    expect(head).to_have_text(f"{told}, {same} with the same light")
    assert [small.get_attribute("class") for small in reader.see("#point .small").all()] == differs
    expect(reader.see("#point .small span").first).to_have_text(WORDS[near[0] % 3])
    expect(reader.see("#point figcaption .label")).to_have_text(label)
    expect(reader.see("#point figcaption .hint")).to_have_text(f"light: {light[SUSPECTS[0]]}")
    reader.see("[data-do=suspects]").click()
    expect(reader.see("#selection .shares")).to_contain_text("by light:")


def test_columns_that_gpuvis_adds_are_explained(read) -> None:
    reader = read(reviewed())
    reader.see("#color-by").select_option(label="suspicion")
    expect(reader.see("#legend .meaning")).to_have_text(re.compile("^suspicion: from 0 to 1"))
    reader.see("#color-by").select_option(label="ground_truth_word_label")
    expect(reader.see("#legend .meaning")).to_have_text("")
    reader.hover(3)
    expect(reader.see("#point dt", has_text="suggested_label")).to_have_attribute("title", re.compile("nearest"))


def test_all_suspects_that_are_shown_are_selected(read) -> None:
    reader = read(reviewed())
    worst = sorted(SUSPECTS, key=lambda row: -SUSPICION[row])
    reader.button(f"Suspects {len(worst)}").click()
    assert reader.selected == worst
    expect(reader.see("#selection .small mark")).to_have_text(["!"] * len(worst))
    reader.see("#classes .class", has_text="bog").click()
    shown = [row for row in worst if row % 3 != 2]
    assert shown != worst
    reader.button(f"Suspects {len(shown)}").click()
    assert reader.selected == shown
    reader.find("000.png")
    reader.button("Select").click()
    reader.button(f"Suspects {len(shown)}").click(modifiers=["Shift"])
    assert reader.selected == [*shown, 0]
    reader.button("none").click()
    reader.button("Suspects 0").click()
    expect(reader.see("#said")).to_have_text("no suspect is shown")


@pytest.mark.parametrize("suspect", [None, "", "no"])
def test_a_page_without_suspects_shows_nothing_of_it(read, suspect) -> None:
    table = table_of(ROWS) if suspect is None else table_of(ROWS).assign(suspect=suspect, suspicion="", recall="")
    reader = read(table)
    expect(reader.see("[data-do=suspects]")).to_be_hidden()
    offered = reader.see("#filter-by option").all_text_contents()
    assert ("suspect" in offered) == (suspect == "no")
    assert not {"suspicion", "recall"} & set(offered)
    reader.find("png")
    reader.button("Select").click()
    expect(reader.see("#selection .small")).to_have_count(ROWS)
    expect(reader.see("mark")).to_have_count(0)
    assert "suspicion" not in reader.see("#selection .small").first.get_attribute("title")
    assert reader.selected == [row for label in (2, 1, 0) for row in range(label, ROWS, 3)]


def test_columns_of_that_name_that_hold_something_else_are_only_columns(read) -> None:
    reader = read(table_of(ROWS).assign(suspicion=["high", "low"] * 15, suspect="maybe", suggested_label="x"))
    expect(reader.see("[data-do=suspects]")).to_be_hidden()
    reader.find("png")
    reader.button("Select").click()
    assert reader.selected == [row for label in (2, 1, 0) for row in range(label, ROWS, 3)]
    show_only(reader, "suspicion", "low (15)")
    expect_status(reader, "15 of 30 points shown: suspicion low")


def test_no_text_of_a_review_becomes_markup(read) -> None:
    rows = len(HOSTILE)
    table = table_of(rows).assign(suspect="yes", suggested_label=HOSTILE, **{HOSTILE[0]: HOSTILE})
    reader = read(table)
    reader.hover(0)
    expect(reader.see("#point mark")).to_have_attribute("title", f"suspect: its neighbours suggest {HOSTILE[0]}")
    reader.button(f"Suspects {rows}").click()
    expect(reader.see("#selection mark")).to_have_count(rows)
    reader.see("#filter-by").select_option(str(len(table.columns) - 1))
    expect(reader.see("#status")).to_contain_text("1 of 8 points shown: </script>")
    assert reader.page.title() != "pwned"
    expect(reader.see("body").locator("img, a, b, iframe")).to_have_count(0)


def test_in_a_narrow_window_all_is_below_the_map(read) -> None:
    reader = read(reviewed(), neighbors=nearest(ROWS))
    reader.page.set_viewport_size({"width": 780, "height": 800})
    reader.button(f"Suspects {len(SUSPECTS)}").click()
    reader.see("#selection .small").first.click()
    expect(reader.see("#point .card .buttons")).to_have_count(1)
    tops = [reader.see(part).bounding_box() for part in ("#selection", "#point", "#legend")]
    for upper, lower in pairwise(tops):
        assert lower["y"] >= upper["y"] + upper["height"] - 1
        assert lower["height"] > 60
