"""Measure the page of gpuvis plot beside the plain page of plotly.express, and print one Markdown table.

python tests/benchmarks/bench_page.py [--mnist CACHE_DIR] [--cases mnist million classes] [--runs N]

Each side draws its page in a process of its own and opens it in a Chromium of its own, in turn: headless, 1280 × 800,
software rendering, which has shown an empty page before. Cells hold medians, gpuvis / plain, and where there is a bar
for gpuvis, whether it is met. "Until pictured" goes from opening to the first picture of the map: of gpuvis a small one
in the place of the map, of the plain page the map itself. "Until drawn" goes from opening to two frames after the
points are there; "hover" from moving the mouse to the point's name; "until named" is the sum of both. A step that takes
too long ends its page. Needs Chromium, and pip install playwright.
"""

import argparse
import shutil
import string
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

HOVERS = 8  # points that the mouse is moved to, after the first
LIMIT = 120  # seconds that a browser is given for each step
FLAGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
TABLE, COORDS = "metadata.csv", "vis_umap_coords.npy"
MEASURES = (
    "size, MB",
    "drawing, s",
    "peak memory, GB",
    "until pictured, s",
    "until drawn, s",
    "until named, s",
    "hover, s",
)
MEASURES += ("toggle, s", "isolate, s", "recolour, s")

# What is waited for is asked once a frame.
DRAWN = """(selector) => {
  if (!document.querySelector(selector) || !document.querySelector(".js-plotly-plot")?.calcdata) return false;
  window.framesSince = (window.framesSince ?? -1) + 1;
  return window.framesSince === 2;
}"""
PICTURED = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
TEXT = "(selector) => document.querySelector(selector)?.textContent ?? ''"
SEEN = "([selector, before]) => !['', before].includes(document.querySelector(selector)?.textContent ?? '')"
REDRAWN = "() => window.redrawn"
LISTEN = """() => {
  window.redrawn = false;
  document.querySelector(".js-plotly-plot").once("plotly_afterplot", () => (window.redrawn = true));
}"""
SPOT = """([x, y]) => {
  const plot = document.querySelector(".js-plotly-plot");
  const { xaxis, yaxis } = plot._fullLayout;
  const { left, top } = plot.getBoundingClientRect();
  return [left + xaxis._offset + xaxis.l2p(x), top + yaxis._offset + yaxis.l2p(y)];
}"""


@dataclass(frozen=True)
class Case:
    """A map: its name, and the most that measures of ours may be; how to make it up, unless it is given."""

    told: str
    bars: dict[str, float]
    rows: int = 0
    classes: int = 0
    long_tailed: bool = False


MILLION = {"size, MB": 24, "drawing, s": 15, "peak memory, GB": 1.5, "until named, s": 12}
CLICKS = {"toggle, s": 1, "isolate, s": 1, "recolour, s": 1}
CASES = {
    "mnist": Case("MNIST, 70,000 points", {"size, MB": 6, "until drawn, s": 3.5, "hover, s": 0.1}),
    "million": Case("1,000,000 points, 200 classes", MILLION, 1_000_000, 200),
    "classes": Case("50,000 points, 1,000 long-tailed classes", CLICKS, 50_000, 1000, long_tailed=True),
}


@dataclass(frozen=True)
class Side:
    """A way to draw a page: the call, what it writes, and selectors: points are drawn, a name is shown, classes."""

    call: tuple[str, ...]
    page: str
    drawn: str
    named: str
    classes: str
    colors: str = ""


NAME = "#point .card dt[title=file_name] + dd:not(:empty)"
TRACES = ".legend .traces .legendtoggle"
SIDES = {
    "ours": Side(("-Pm", "gpuvis", "plot"), "vis_umap.html", "html[data-drawn]", NAME, "#classes .class", "#color-by"),
    "plain": Side((__file__, "--plain"), "plain.html", ".js-plotly-plot", ".hoverlayer .hovertext", TRACES),
}


def plain(folder: Path) -> None:
    """Be the process of the plain page: what a careful user would write by hand."""
    import plotly.express as px

    coords = np.load(folder / COORDS)
    table = pd.read_csv(folder / TABLE, dtype=str, keep_default_na=False).assign(x=coords[:, 0], y=coords[:, 1])
    hover = ["file_name", "ground_truth_word_label", "ground_truth_num_label"]
    px.scatter(table, x="x", y="y", color="ground_truth_word_label", hover_data=hover).write_html(folder / "plain.html")


def make(folder: Path, case: Case) -> None:
    """Make up a map: a heap for each class, with a point or more."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, case.classes + 1) if case.long_tailed else np.ones(case.classes)
    more = rng.choice(case.classes, case.rows - case.classes, p=share / share.sum())
    labels = rng.permutation(np.concatenate([np.arange(case.classes), more]))
    letters = np.array(list(string.ascii_letters + string.digits))
    table = {
        "file_name": letters[rng.integers(len(letters), size=(case.rows, 12))].view("U12").ravel(),
        "ground_truth_num_label": labels,
        "ground_truth_word_label": np.array([f"class {k}" for k in range(case.classes)])[labels],
        "ground_truth_L2_num_label": labels // 10,
    }
    pd.DataFrame(table).to_csv(folder / TABLE, index=False)
    coords = rng.normal(0, 20, (case.classes, 2))[labels] + rng.standard_normal((case.rows, 2))
    np.save(folder / COORDS, coords.astype(np.float32))


def middle(folder: Path) -> list[list[float]]:
    """Return points around the middle of a map, where no tools lie over them, each at some distance from the last."""
    coords = np.load(folder / COORDS)[:, :2]
    nearest = ((coords - np.median(coords, axis=0)) ** 2).sum(axis=1).argsort()[: len(coords) // 10]
    return coords[nearest[:: -(-len(nearest) // (1 + HOVERS))]].tolist()


def drawn(side: Side, folder: Path) -> dict[str, float]:
    """Draw a page; return its size, and the seconds and the peak memory of the process."""
    from timing import environment, metered

    page = folder / side.page
    page.unlink(missing_ok=True)
    told = metered([sys.executable, *side.call, str(folder)], environment(folder / "home"))
    return dict(zip(MEASURES, (page.stat().st_size / 1e6, told["seconds"], told["peak"] / 1e9), strict=False))


def steps(page: Any, side: Side, folder: Path, clicking: bool) -> Iterator[tuple[str, Callable[[], Any], str, Any]]:
    """Give what is to be timed: its name, what to do, and what to wait for. What comes between is not timed."""
    opening = partial(page.goto, (folder / side.page).as_uri(), wait_until="commit")
    yield "until drawn, s", opening, DRAWN, side.drawn
    for turn, point in enumerate(middle(folder)):
        move = partial(page.mouse.move, *page.evaluate(SPOT, point))
        yield "hover, s" if turn else "first hover, s", move, SEEN, [side.named, page.evaluate(TEXT, side.named)]
    classes = page.locator(side.classes)
    clicks = {"toggle, s": classes.nth(0).click, "isolate, s": classes.nth(1).dblclick}
    if side.colors:
        clicks["recolour, s"] = partial(page.select_option, side.colors, label="ground_truth_L2_num_label")
    for name, click in clicks.items() if clicking else ():
        page.evaluate(LISTEN)
        yield name, click, REDRAWN, ""


def browsed(browser: Any, side: Side, folder: Path, clicking: bool) -> dict[str, float]:
    """Open a page and use it; return the seconds of each step, up to the first that takes too long."""
    from playwright.sync_api import TimeoutError as TooLongError

    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(LIMIT * 1000)
    page.goto("data:text/html,nothing")
    page.screenshot()  # until all of the browser has started
    found: dict[str, list[float]] = {}
    for name, act, awaited, told in steps(page, side, folder, clicking):
        start = time.perf_counter()
        try:
            act()
            page.wait_for_function(awaited, arg=told)
        except TooLongError:
            found[name] = [inf]
            break
        found.setdefault(name, []).append(time.perf_counter() - start)
    middles = {name: median(seconds) for name, seconds in found.items()}
    pictured = page.evaluate(PICTURED) if side.colors else None
    middles["until pictured, s"] = middles["until drawn, s"] if pictured is None else pictured / 1000
    return middles | {"until named, s": middles["until drawn, s"] + middles.pop("first hover, s", 0)}


def measured(chromium: Any, case: Case, folder: Path, runs: int) -> dict[str, dict[str, float]]:
    """Draw and use the pages of a case; return the medians of each side."""
    from bench import say

    found: dict[str, list[dict[str, float]]] = {name: [] for name in SIDES}
    for run in range(1, runs + 1):
        for name in list(SIDES)[:: 1 if run % 2 else -1]:
            found[name].append(drawn(SIDES[name], folder))
            with chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS) as browser:
                found[name][-1] |= browsed(browser, SIDES[name], folder, case.bars is CLICKS)
            say(f"{case.told}, run {run}, {name}: done")
    return {
        name: {key: median(one.get(key, inf) for one in told) for key in set().union(*told)}
        for name, told in found.items()
    }


def cell(ours: float | None, plain: float | None, bar: float | None) -> str:
    """Return a measure of both sides, and whether that of ours is within its bar."""
    both = ["–" if one is None else f"> {LIMIT}" if one == inf else f"{one:.2f}" for one in (ours, plain)]
    met = "" if bar is None else f"; ≤ {bar:g} met" if (ours or inf) <= bar else f"; ≤ {bar:g} **NOT met**"
    return (" / ".join(both) if ours or plain else "–") + met


def lines(asked: argparse.Namespace) -> Iterator[str]:
    """Measure everything; give the document line by line."""
    import report
    from playwright.sync_api import sync_playwright

    yield from report.head("bench_page.py")
    yield f"- gpuvis / plain, medians of {asked.runs}\n"
    yield from report.heads("case", *MEASURES)
    with sync_playwright() as playwright:
        for case in (CASES[name] for name in asked.cases if name != "mnist" or asked.mnist):
            with tempfile.TemporaryDirectory() as scratch:
                if case.rows:
                    make(Path(scratch), case)
                else:
                    for name in (TABLE, COORDS):
                        shutil.copy(asked.mnist / name, scratch)
                found = measured(playwright.chromium, case, Path(scratch), asked.runs)
            yield report.line(
                case.told, *(cell(*(found[side].get(key) for side in SIDES), case.bars.get(key)) for key in MEASURES)
            )


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, help=f"a cache of MNIST with {COORDS}; without one it is left out")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)  # for the processes that are started here
    asked = parser.parse_args()
    if asked.plain:
        plain(asked.plain)
        return
    for line in lines(asked):
        print(line, flush=True)


if __name__ == "__main__":
    main()
