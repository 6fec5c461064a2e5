"""One who reads a page in a browser, by mouse and keyboard."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pytest

playwright = (import_module if os.environ.get("REQUIRE_BROWSER") else pytest.importorskip)("playwright.sync_api")
expect = playwright.expect

WINDOW = """() => {
  const plot = document.getElementById("plot");
  const {xaxis, yaxis} = plot._fullLayout, {x, y} = plot.getBoundingClientRect();
  return {x: xaxis.range, y: yaxis.range, left: x, top: y, width: xaxis._length, height: yaxis._length};
}"""
SETTLED = """() => {
  const plot = document.getElementById("plot"), {xaxis, yaxis, height, width} = plot._fullLayout;
  const unit = ({range, _length}) => (range[1] - range[0]) / _length;
  const fits = Math.abs(height - plot.clientHeight) < 1 && Math.abs(width - plot.clientWidth) < 1;
  if (plot.querySelector(".plot-container").style.transform) return false;
  return fits && Math.abs(unit(xaxis) / unit(yaxis) - 1) < 1e-6;
}"""
DRAWN = """() => {
  const {x, y, marker} = document.getElementById("plot").data[0];
  return Array.from(x, (_, i) => [x[i], y[i], marker.color[i]]);
}"""
HOSTILE = (
    """</script><script>document.title="pwned"</script><img src=x onerror="document.title='pwned'">""",
    "<a href=x>link</a>",
    "&lt;b&gt;",
    "%{x} {{title}} $& ${1}",
    """'single' "double" `back`""",
    "two\nlines",
    "שלום \u202eעולם",
    "濕地、沼澤",
)


@dataclass
class Reader:
    """One who reads a page: knows where its points must be, and has a mouse and a keyboard."""

    page: Any
    coords: np.ndarray

    def __post_init__(self) -> None:
        self.mouse, self.keyboard = self.page.mouse, self.page.keyboard

    def see(self, selector: str, **more: Any) -> Any:
        """Return what stands on the page and is found by a selector; `expect` waits for it."""
        return self.page.locator(selector, **more)

    def button(self, name: str) -> Any:
        return self.page.get_by_role("button", name=name, exact=True)

    @property
    def window(self) -> dict[str, Any]:
        """The part of the map that is to be seen, as soon as the map is as large as its place."""
        self.page.wait_for_function(SETTLED)
        return self.page.evaluate(WINDOW)

    @property
    def middle(self) -> list[float]:
        window = self.window
        return [sum(window["x"]) / 2, sum(window["y"]) / 2]

    @property
    def spots(self) -> np.ndarray:
        """Where on the screen each point is."""
        seen = self.window
        low, high = np.array([seen["x"], seen["y"]]).T
        across, up = ((self.coords - low) / (high - low)).T
        return np.stack([seen["left"] + across * seen["width"], seen["top"] + (1 - up) * seen["height"]], -1)

    def hover(self, row: int) -> None:
        self.mouse.move(*self.spots[row])

    def pin(self, row: int) -> None:
        self.mouse.click(*self.spots[row])
        expect(self.see("#point .card")).to_have_attribute("data-row", str(row))

    def draw(self, corners: Sequence[Sequence[float]], *keys: str) -> None:
        """Draw an outline with the mouse while keys are held down."""
        for key in keys:
            self.keyboard.down(key)
        self.mouse.move(*corners[0])
        self.mouse.down()
        for corner in corners[1:]:
            self.mouse.move(*corner)
        self.mouse.up()
        for key in keys:
            self.keyboard.up(key)

    def draw_around_all(self) -> None:
        """Draw a box around the whole map."""
        place = self.see("#plot").bounding_box()
        left, top = place["x"] + 1, place["y"] + 1
        self.draw([(left, top), (left + place["width"] - 2, top + place["height"] - 2)])

    def find(self, text: str) -> None:
        self.see("#find-text").click()
        self.keyboard.press("Control+A")
        self.keyboard.type(text)

    def color_by(self, name: str, expected: np.ndarray) -> None:
        """Choose a column by the keyboard; each point must get its colour."""
        self.see("#color-by").focus()
        self.keyboard.press("Home")
        for _ in range(self.see("#color-by option").all_text_contents().index(name)):
            self.keyboard.press("ArrowDown")
        expect(self.see("#color-by option:checked")).to_have_text(name)
        hexed = ["#{:02x}{:02x}{:02x}".format(*color) for color in expected]
        self.page.wait_for_function(f"document.getElementById('plot').data[0].marker.color.includes('{hexed[-1]}')")
        assert self.colors == dict(enumerate(hexed))

    @property
    def fields(self) -> dict[str, str]:
        """What the panel tells of a point."""
        names = self.see("#point dt").evaluate_all("all => all.map(({title}) => title.split(': ')[0])")
        return dict(zip(names, self.see("#point dd").all_text_contents(), strict=True))

    @property
    def colors(self) -> dict[int, str]:
        """The colour of each row that is drawn."""
        row_of = {tuple(place): row for row, place in enumerate(self.coords.tolist())}
        return {row_of[x, y]: color for x, y, color in self.page.evaluate(DRAWN)}

    @property
    def classes(self) -> list[str]:
        return self.see("#classes .name").all_text_contents()

    @property
    def counts(self) -> list[int]:
        return [int(count.replace(",", "")) for count in self.see("#classes .count").all_text_contents()]

    @property
    def selected(self) -> list[int]:
        titles = (small.get_attribute("title") for small in self.see("#selection .small").all())
        return [int(title.rpartition("row ")[2]) for title in titles]

    @property
    def copied(self) -> str:
        return self.page.evaluate("navigator.clipboard.readText()")


def nearest(rows: int) -> np.ndarray:
    """Return the five rows after each as its nearest, of which one in three is of the same class."""
    return ((np.arange(rows)[:, None] + np.arange(1, 6)) % rows).astype(np.int32)
