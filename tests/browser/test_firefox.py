"""The page in Firefox, which draws, scrolls and styles by programs of its own."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from examples import table_of
from firefox import PATIENCE, Firefox
from reader import SETTLED, nearest

from gpuvis.page import html
from gpuvis.page.heading import Heading
from gpuvis.page.options import Page

pytestmark = pytest.mark.browser

HEARD = """<head><script>
window.troubles = [];
addEventListener("error", ({ message }) => troubles.push(message));
addEventListener("unhandledrejection", ({ reason }) => troubles.push(String(reason)));
for (const kind of ["warn", "error"]) console[kind] = (...told) => troubles.push(told.join(" "));
</script>"""
VIEW = "const {xaxis, yaxis} = document.getElementById('plot')._fullLayout; return [...xaxis.range, ...yaxis.range];"
COLORED = """
const [resolve] = arguments;
Plotly.toImage("plot", {format: "png", width: 300, height: 200}).then(async (source) => {
  const image = new Image();
  image.src = source;
  await image.decode();
  const context = Object.assign(document.createElement("canvas"), {width: 300, height: 200}).getContext("2d");
  context.drawImage(image, 0, 0);
  const {data} = context.getImageData(0, 0, 300, 200);
  resolve(data.filter((_, at) => at % 4 === 3 && data[at] > 100).length);
});
"""


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    program = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)
    if program is None:
        absent = pytest.fail if os.environ.get("REQUIRE_BROWSER") else pytest.skip
        absent("Firefox is not installed")
    browser = Firefox(program, tmp_path_factory.mktemp("profile"))
    browser.send("WebDriver:SetWindowRect", width=1280, height=900)
    yield browser
    browser.close()


class Visit:
    """A page that Firefox has open."""

    def __init__(self, browser: Firefox, path: Path) -> None:
        self.browser = browser
        browser.send("WebDriver:Navigate", url=path.as_uri())
        self.wait("return document.documentElement.dataset.drawn")

    def wait(self, script: str) -> None:
        until = time.monotonic() + PATIENCE
        while not self.browser.run(script):
            assert time.monotonic() < until, script
            time.sleep(0.05)

    def wait_for_text(self, selector: str, text: str) -> None:
        self.wait(f"return document.querySelector('{selector}')?.textContent.includes('{text}')")

    def click(self, selector: str, number: int = 0) -> None:
        self.browser.send("WebDriver:ElementClick", id=self.browser.elements(selector)[number])

    def type(self, selector: str, text: str) -> None:
        self.browser.send("WebDriver:ElementSendKeys", id=self.browser.elements(selector)[0], text=text)

    def boxes(self, selector: str) -> list[dict[str, float]]:
        return [self.browser.send("WebDriver:GetElementRect", id=one) for one in self.browser.elements(selector)]

    def turn_wheel(self, x: int, y: int, by: int) -> None:
        turn = {"type": "scroll", "x": x, "y": y, "deltaX": 0, "deltaY": by, "duration": 0, "origin": "viewport"}
        self.browser.send("WebDriver:PerformActions", actions=[{"type": "wheel", "id": "wheel", "actions": [turn]}])

    @property
    def view(self) -> np.ndarray:
        self.wait(f"return ({SETTLED})()")
        return np.array(self.browser.run(VIEW))


@pytest.mark.parametrize("rows", [60, 6_000], ids=["vector graphics", "WebGL"])
def test_a_map_is_read_in_firefox(firefox, tmp_path, rows) -> None:
    suspects = ["yes" if row % 6 == 1 else "" for row in range(rows)]
    table = table_of(rows).assign(suspect=suspects, suspicion=[f"{row / rows:.4f}" for row in range(rows)])
    islands = np.array([[0, 0], [9, 1], [4, 7]])[np.arange(rows) % 3]
    coords = (islands + np.random.default_rng(0).normal(0, 0.5, (rows, 2))).astype(np.float32)
    page = html.draw(coords, table, Page(theme="light"), Heading(name="m", caption="UMAP"), nearest(rows))[0]
    path = tmp_path / "map.html"
    path.write_text(page.replace("<head>", HEARD, 1), encoding="utf-8")
    visit = Visit(firefox, path)
    visit.wait_for_text("#status", f"{rows:,} of {rows:,} points shown")
    assert firefox.run(COLORED, later=True) > 500  # pixels
    assert len(firefox.elements("#names span")) == 3

    before = visit.view
    visit.turn_wheel(400, 400, -400)
    visit.wait(f"{VIEW.replace('return', 'const now =')} return now[1] - now[0] < {0.5 * (before[1] - before[0])}")
    visit.click("[data-do=fit]")
    visit.wait(f"{VIEW.replace('return', 'const now =')} return now[1] - now[0] > {0.9 * (before[1] - before[0])}")
    assert visit.view == pytest.approx(before)

    visit.click("[data-do=suspects]")
    visit.wait_for_text("#selection strong", f"{rows // 6:,} points selected: suspects")
    visit.click("#selection .small", 2)
    visit.wait("return document.querySelector('#point .card .buttons')")
    assert visit.boxes("#point figure")[0]["width"] >= 300
    assert len({box["y"] for box in visit.boxes("#point .small")}) == 1  # five in a row, though there is a scroll bar

    visit.type("#find-text", ".png")
    visit.wait_for_text("#find-count", "hits")
    options = firefox.run("return Array.from(document.querySelectorAll('#color-by option'), (one) => one.textContent)")
    visit.click("#color-by option", options.index("suspicion"))
    visit.wait("return document.querySelector('#classes .ramp')")
    assert firefox.run("return troubles") == []
