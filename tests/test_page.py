from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from examples import table_of
from plotly.offline import get_plotlyjs

from gpuvis.page import figure, palette
from gpuvis.pages import Page

NASTY = '</script><script>document.title="pwned"</script><img src=x onerror="document.title=\'pwned\'"><b>%{x}</b>&lt;'


def coords_of(rows: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rows, 2)).astype(np.float32)


def draw(table: pd.DataFrame, **page: Any) -> tuple[str, list[str]]:
    return figure.draw(coords_of(len(table)), table, Page(**page), "UMAP of a test")


def parts(html: str) -> tuple[list[dict], dict, dict]:
    """Return the traces, the layout and the configuration of a page."""
    call = html[html.index("Plotly.newPlot(", html.index(get_plotlyjs()[-200:])) :]
    decode, at, found = json.JSONDecoder(), call.index('"gpuvis-map",') + 13, []
    for _ in range(3):
        at += len(call[at:]) - len(call[at:].lstrip(", \n"))
        value, length = decode.raw_decode(call[at:])
        found.append(value)
        at += length
    return tuple(found)


def color_of(html: str) -> dict[str, str]:
    return {trace["name"].rpartition(" (")[0]: trace["marker"]["color"] for trace in parts(html)[0]}


@pytest.mark.parametrize("column", ["ground_truth_word_label", "number", "gaps", "no such column"])
def test_plotly_finds_nothing_to_correct(column) -> None:
    """Its own figures check every value, which takes long, so pages are made without."""
    numbers = {"number": [f"{k / 3}" for k in range(30)], "gaps": ["" if k % 4 == 0 else f"{k / 7}" for k in range(30)]}
    traces, layout, _ = parts(draw(table_of(30).assign(**numbers), color_by=column)[0])
    assert json.loads(go.Figure(traces, layout).to_json()) == {"data": traces, "layout": layout}


@pytest.mark.parametrize("count", [2, 11, 40, 200])
def test_each_class_has_a_colour_of_its_own(count) -> None:
    names = [f"class {k % count}" for k in range(400)]
    html, _ = draw(pd.DataFrame({"x": names}, dtype="str"), color_by="x")
    colors = color_of(html)
    assert len(set(colors.values())) == len(colors) == count


def test_a_thousand_classes_are_drawn_in_one_trace() -> None:
    names = [f"class {k % 1000}" for k in range(2000)]
    (trace,), _, _ = parts(draw(pd.DataFrame({"x": names}, dtype="str"), color_by="x")[0])
    assert len(set(trace["marker"]["color"])) == 1000
    assert trace["marker"]["color"][3] == trace["marker"]["color"][1003]


def test_colours_differ_and_keep_their_place() -> None:
    many = palette.colors(palette.MOST)
    assert len(set(many)) == palette.MOST
    assert palette.colors(20) == many[:20]
    rgb = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in many[:40]])
    lab = palette._oklab(rgb)
    apart = np.sqrt(((lab[:, None] - lab[None]) ** 2).sum(-1))[np.triu_indices(40, 1)]
    assert apart.min() > 0.06  # about three times the least difference that people notice


def test_oklab_of_known_colours() -> None:
    got = palette._oklab(np.array([[255, 255, 255], [255, 0, 0], [0, 0, 255]]))
    np.testing.assert_allclose(got, [[1, 0, 0], [0.628, 0.2249, 0.1258], [0.452, -0.0325, -0.3115]], atol=1e-3)


def test_a_class_keeps_its_colour_where_others_are_missing() -> None:
    table = table_of(30)
    fewer = table[table["ground_truth_num_label"] != "0"].reset_index(drop=True)
    whole, part = color_of(draw(table)[0]), color_of(draw(fewer)[0])
    assert len(part) == 2
    assert part.items() <= whole.items()


def test_classes_stand_in_the_order_of_their_numbers() -> None:
    assert palette.in_order(["b 10", "b 2", "A", "10", "9"]) == ["9", "10", "A", "b 2", "b 10"]
    assert list(color_of(draw(table_of(30))[0])) == ["Fen, Marsh, Swamp", 'the "old" wood', "bog"]


def test_numbers_are_drawn_on_a_scale() -> None:
    table = pd.DataFrame({"x": [str(k / 7) for k in range(50)]}, dtype="str")
    (trace,), _, _ = parts(draw(table, color_by="x")[0])
    assert trace["marker"]["showscale"] is True
    assert trace["marker"]["colorscale"]


def test_points_without_a_number_are_grey_beneath_the_scale() -> None:
    table = pd.DataFrame({"x": [str(k / 7) if k % 5 else "" for k in range(50)]}, dtype="str")
    grey, scaled = parts(draw(table, color_by="x")[0])[0]
    assert grey["name"] == "(blank) (10)"
    assert grey["marker"]["color"] == figure.GREY
    assert [row for row, *_ in grey["customdata"]] == list(range(0, 50, 5))
    assert scaled["marker"]["showscale"] is True
    assert len(scaled["customdata"]) == 40


def test_labels_are_classes_however_many_numbers_there_are() -> None:
    numbers = [str(k % 1000) for k in range(2000)]
    table = pd.DataFrame({"ground_truth_num_label": numbers, "ground_truth_word_label": ""}, dtype="str")
    (trace,), _, _ = parts(draw(table)[0])
    assert len(set(trace["marker"]["color"])) == 1000


def test_no_more_points_are_drawn_than_a_browser_can_show(monkeypatch) -> None:
    monkeypatch.setattr(figure, "MOST_POINTS", 20)
    table = table_of(300)
    html, _ = draw(table)
    assert "UMAP of a test · 20 of 300 points shown" in html
    shown = [fields for trace in parts(html)[0] for fields in trace["customdata"]]
    assert len(shown) == 20
    assert all(table["file_name"][row] == name for row, name in shown)
    assert html == draw(table)[0]


def test_blank_labels_are_named_and_all_blank_ones_are_replaced() -> None:
    table = table_of(30)
    table.loc[:9, "ground_truth_word_label"] = ""
    assert "(blank)" in color_of(draw(table)[0])
    html, notes = draw(table.assign(ground_truth_word_label=""))
    assert list(color_of(html)) == ["0", "1", "2"]
    assert len(notes) == 1
    assert notes[0].endswith("'ground_truth_word_label' is blank in every row: ground_truth_num_label is used")


def test_unknown_columns_are_noted() -> None:
    _, notes = draw(table_of(30), color_by="nothing", hover=("file_name", "nix"))
    assert notes == [
        "--hover column 'nix' is not in metadata.csv",
        "--color_by column 'nothing' is not in metadata.csv: ground_truth_word_label is used",
    ]
    _, notes = draw(table_of(30)[["file_name"]])
    assert "one colour is used" in notes[-1]


def test_each_point_tells_its_row_and_its_fields() -> None:
    table = table_of(30)
    for trace in parts(draw(table)[0])[0]:
        for row, name in trace["customdata"]:
            assert name == table["file_name"][row]
            label = table["ground_truth_word_label"][row].replace("&", "&amp;")
            assert f"ground_truth_word_label: {label}" in trace["hovertemplate"]


def test_no_text_can_become_markup() -> None:
    table = table_of(30).assign(ground_truth_word_label=NASTY, file_name=NASTY)
    table[NASTY] = [f"{NASTY}{k}" for k in range(30)]
    html, _ = figure.draw(coords_of(30), table, Page(hover=("file_name", NASTY)), NASTY)
    own = html.replace(get_plotlyjs(), "")
    assert "pwned" in own
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)  # type: ignore[method-assign]
    parser.feed(own)
    assert tags.count("script") == 3
    assert not {"img", "b", "a", "iframe", "link"} & set(tags)
    for trace in parts(html)[0]:
        shown = json.dumps([trace["name"], trace["customdata"], trace["hovertemplate"].replace("<br>", "")])
        assert "<" not in shown.replace("<extra></extra>", "")
        assert "%{x}" not in trace["hovertemplate"]


def test_the_page_is_self_contained_and_the_same_each_time() -> None:
    html, _ = draw(table_of(30))
    own = html.replace(get_plotlyjs(), "")
    assert own != html
    assert not re.search(r"""(src|href)\s*=|https?://|@import|url\(""", own)
    assert "default-src 'none'" in own
    assert html == draw(table_of(30))[0]


def test_axes_have_one_scale_and_no_button_sends_data_away() -> None:
    _, layout, config = parts(draw(table_of(30))[0])
    assert layout["yaxis"]["scaleanchor"] == "x"
    assert config["showSendToCloud"] is False
    assert config["displaylogo"] is False
    assert not [name for group in config["modeBarButtons"] for name in group if "loud" in name]


@pytest.mark.parametrize(("rows", "kind"), [(10_000, "scatter"), (10_001, "scattergl")])
def test_many_points_are_drawn_by_webgl(rows, kind) -> None:
    traces, _, _ = parts(draw(table_of(rows))[0])
    assert {trace["type"] for trace in traces} == {kind}


def chromium(page: Path, tmp_path: Path, *flags: str) -> str:
    """Open a page in a real browser and return what it has made of it."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail("Chromium is required here, but it is not installed")
        pytest.skip("Chromium is not installed")
    command = [program, "--headless", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"]
    command += ["--enable-unsafe-swiftshader", "--disable-background-networking", "--no-first-run"]
    command += ["--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'chromium'}"]
    command += ["--window-size=1200,800", "--virtual-time-budget=20000", *flags, "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.browser
@pytest.mark.parametrize("rows", [30, 12_000])
def test_a_browser_draws_it_and_runs_nothing_else(tmp_path, rows) -> None:
    table = table_of(rows)
    table.loc[table["ground_truth_num_label"] == "2", "ground_truth_word_label"] = NASTY
    page, log = tmp_path / "map.html", tmp_path / "net.json"
    page.write_text(draw(table)[0], encoding="utf-8")
    dom = chromium(page, tmp_path, f"--log-net-log={log}")
    shown = dom[dom.index('<div id="gpuvis-map"') :]
    assert 'pwned"' not in re.search(r"<title>(.*?)</title>", dom)[1]
    assert "<img" not in shown
    assert shown.count('class="traces"') == 3  # the legend
    assert "Fen, Marsh, Swamp (" in shown
    assert "&lt;img src=x onerror=" in shown  # the label is there, letter by letter
    if rows == 30:
        assert shown.count('<path class="point') == 30
    else:
        assert "gl-canvas" in shown
    assert not requests(log)
    assert "Share" not in shown


def requests(log: Path) -> list[str]:
    """Return the addresses that a page asked for. Chromium by itself asks its maker for the time, and more."""
    urls = re.findall(r'"url":"(https?://[^"]*)', log.read_text())
    return [url for url in urls if not re.match(r"https?://[a-z0-9.-]+\.(google|googleapis)\.com/", url)]


@pytest.mark.browser
def test_the_browser_would_show_a_request(tmp_path) -> None:
    page, log = tmp_path / "map.html", tmp_path / "net.json"
    page.write_text('<div id="gpuvis-map"><img src="http://127.0.0.1:9/x.png"></div>', encoding="utf-8")
    chromium(page, tmp_path, f"--log-net-log={log}")
    assert requests(log)
