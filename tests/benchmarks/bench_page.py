"""Measure the page of gpuvis plot beside the plain page of plotly.express, and print one Markdown table.

python tests/benchmarks/bench_page.py [--mnist CACHE_DIR] [--cases mnist million classes] [--runs N]

Each side draws its page in a process of its own and opens it in a Chromium of its own, in turn: headless, 1280 × 800,
software rendering. Cells hold medians, gpuvis / plain, and where there is a bar for gpuvis, whether it is met. "Until
drawn" goes from opening to two frames after the points are there; "hover" from moving the mouse to the point's name;
"until named" is the sum of both. Needs Chromium, and pip install playwright.
"""

import argparse
import math
import shlex
import shutil
import string
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserType, Page

LIMIT = 120  # seconds that a browser is given for each thing
FLAGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
TABLE, COORDS = "metadata.csv", "vis_umap_coords.npy"

DRAWN = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  if (!document.querySelector(".js-plotly-plot")?.calcdata) return false;
  await frame();
  await frame();
  return true;
}"""
SPOT = """([x, y]) => {
  const plot = document.querySelector(".js-plotly-plot");
  const { xaxis, yaxis } = plot._fullLayout;
  const box = plot.getBoundingClientRect();
  return [box.left + xaxis._offset + xaxis.l2p(x), box.top + yaxis._offset + yaxis.l2p(y)];
}"""
LISTEN = """() => {
  window.redrawn = false;
  document.querySelector(".js-plotly-plot").once("plotly_afterplot", () => (window.redrawn = true));
}"""

MEASURES = {
    "size": "size, MB",
    "draw": "drawing, s",
    "peak": "peak memory, GB",
    "open": "until drawn, s",
    "hover": "hover, s",
    "named": "until named, s",
    "toggle": "toggle, s",
    "isolate": "isolate, s",
    "recolour": "recolour, s",
}


@dataclass(frozen=True)
class Case:
    """A map: what it is told as, the most that each measure of ours may be, and what to make where it is not given."""

    told: str
    bars: dict[str, float]
    rows: int = 0
    classes: int = 0
    long_tailed: bool = False


CASES = {
    "mnist": Case("MNIST, 70,000 points", {"size": 6, "open": 3.5, "hover": 0.1}),
    "million": Case(
        "1,000,000 points, 200 classes", {"size": 24, "draw": 15, "peak": 1.5, "named": 12}, 1_000_000, 200
    ),
    "classes": Case(
        "50,000 points, 1,000 long-tailed classes", {"toggle": 1, "isolate": 1, "recolour": 1}, 50_000, 1000, True
    ),
}


@dataclass(frozen=True)
class Side:
    """A way to draw a page: how it is called, what it writes, and what is to be seen and clicked there."""

    command: tuple[str, ...]
    page: str
    drawn: str
    name: str
    clicks: dict[str, Callable[["Page"], object]]


def clicks(entry: str) -> dict[str, Callable[["Page"], object]]:
    """Return what is done with the first class of a legend."""
    return {
        "toggle": lambda page: page.locator(entry).first.click(),
        "isolate": lambda page: page.locator(entry).first.dblclick(),
    }


def recolour(page: "Page") -> None:
    page.locator("#color-by").select_option(label="ground_truth_L2_num_label")


SIDES = {
    "ours": Side(
        ("-m", "gpuvis", "plot"),
        "vis_umap.html",
        "html[data-drawn]",
        "#point .card dt[title=file_name] + dd:not(:empty)",
        clicks("#classes .class") | {"recolour": recolour},
    ),
    "plain": Side(
        (__file__, "--plain"),
        "plain.html",
        ".js-plotly-plot",
        ".hoverlayer .hovertext",
        clicks(".legend .traces .legendtoggle"),
    ),
}


def plain(folder: Path) -> None:
    """Be the process of the plain page: what a careful user would write by hand."""
    import plotly.express as px

    coords = np.load(folder / COORDS)
    table = pd.read_csv(folder / TABLE, dtype=str, keep_default_na=False).assign(x=coords[:, 0], y=coords[:, 1])
    hover = ["file_name", "ground_truth_word_label", "ground_truth_num_label"]
    px.scatter(table, x="x", y="y", color="ground_truth_word_label", hover_data=hover).write_html(folder / "plain.html")


def make(folder: Path, case: Case) -> None:
    """Make up a map: each class is a heap of its own, and each has a point or more."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, case.classes + 1) if case.long_tailed else np.ones(case.classes)
    drawn = rng.choice(case.classes, case.rows - case.classes, p=share / share.sum())
    labels = rng.permutation(np.concatenate([np.arange(case.classes), drawn]))
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


def middle(folder: Path) -> list[float]:
    """Return the point nearest to the middle of a map, where nothing lies over it."""
    coords = np.load(folder / COORDS)[:, :2]
    return coords[((coords - np.median(coords, axis=0)) ** 2).sum(axis=1).argmin()].tolist()


def drawn(side: Side, folder: Path) -> dict[str, float]:
    """Draw a page; return its size, and the seconds and the peak memory of the process."""
    from timing import metered

    page = folder / side.page
    page.unlink(missing_ok=True)
    told = metered([sys.executable, *side.command, str(folder)], folder / "compiled")
    return {"size": page.stat().st_size / 1e6, "draw": told["seconds"], "peak": told["peak"] / 1e9}


def steps(page: "Page", side: Side, folder: Path, clicking: bool) -> Iterator[tuple[str, Callable[[], object]]]:
    """Give what is to be timed, one after the other; what comes between is not timed."""

    def opening() -> None:
        page.goto((folder / side.page).as_uri(), wait_until="commit")
        page.wait_for_selector(side.drawn, state="attached")
        page.wait_for_function(DRAWN)

    def hovering(left: float, top: float) -> None:
        page.mouse.move(left, top)
        page.wait_for_selector(side.name)

    def clicked(click: Callable[["Page"], object]) -> None:
        click(page)
        page.wait_for_function("window.redrawn")

    yield "open", opening
    yield "hover", partial(hovering, *page.evaluate(SPOT, middle(folder)))
    for name, click in side.clicks.items() if clicking else ():
        page.evaluate(LISTEN)
        yield name, partial(clicked, click)


def browsed(browser: "Browser", side: Side, folder: Path, clicking: bool) -> dict[str, float]:
    """Open a page and use it; return the seconds of each step, up to the first that takes too long."""
    from playwright.sync_api import TimeoutError as TooLongError

    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(LIMIT * 1000)
    found: dict[str, float] = {}
    for name, step in steps(page, side, folder, clicking):
        start = time.perf_counter()
        try:
            step()
        except TooLongError:
            found[name] = math.inf
            break
        found[name] = time.perf_counter() - start
    return found | {"named": found["open"] + found.get("hover", 0)}


def measured(chromium: "BrowserType", case: Case, folder: Path, runs: int) -> dict[str, dict[str, float]]:
    """Draw and use the pages of a case; return the medians of each side."""
    from bench import say

    found: dict[str, list[dict[str, float]]] = {name: [] for name in SIDES}
    for run in range(1, runs + 1):
        for name in list(SIDES)[:: 1 if run % 2 else -1]:
            told = drawn(SIDES[name], folder)
            with chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS) as browser:
                told |= browsed(browser, SIDES[name], folder, "toggle" in case.bars)
            say(f"{case.told}, run {run}, {name}: done")
            found[name].append(told)
    return {
        name: {key: median(one.get(key, math.inf) for one in told) for key in told[0]} for name, told in found.items()
    }


def cell(measure: str, sides: dict[str, dict[str, float]], bar: float | None) -> str:
    """Return a measure of both sides, and whether that of ours is within its bar."""
    words = [value(side.get(measure)) for side in sides.values()]
    told = " / ".join(words) if set(words) != {"–"} else "–"
    if bar is None:
        return told
    return f"{told}; ≤ {bar:g} {'met' if sides['ours'].get(measure, math.inf) <= bar else '**NOT met**'}"


def value(found: float | None) -> str:
    if found is None:
        return "–"
    return f"{found:.2f}" if math.isfinite(found) else f"> {LIMIT}"


def lines(asked: argparse.Namespace) -> Iterator[str]:
    """Measure everything; give the document line by line."""
    import bench
    import report
    from playwright.sync_api import sync_playwright

    command = shlex.join(["python", "tests/benchmarks/bench_page.py", *sys.argv[1:]])
    yield from islice(report.head(command, time.strftime("%Y-%m-%d"), bench.commit()), 5)  # the machine and versions
    yield f"- medians of {asked.runs}, gpuvis / plain"
    yield ""
    yield report.line("case", *MEASURES.values())
    yield "|" + "---|" * (1 + len(MEASURES))
    with sync_playwright() as playwright:
        for case in map(CASES.get, asked.cases):
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch)
                if case.rows:
                    make(folder, case)
                else:
                    for name in (TABLE, COORDS):
                        shutil.copy(asked.mnist / name, folder)
                sides = measured(playwright.chromium, case, folder, asked.runs)
            yield report.line(case.told, *(cell(measure, sides, case.bars.get(measure)) for measure in MEASURES))


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, help=f"a cache of MNIST, with {COORDS}; without one it is left out")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)  # for the processes that are started here
    asked = parser.parse_args()
    if asked.plain:
        plain(asked.plain)
        return
    asked.cases = [name for name in asked.cases if name != "mnist" or asked.mnist]
    for line in lines(asked):
        print(line, flush=True)


if __name__ == "__main__":
    main()
