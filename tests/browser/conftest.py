"""One Chromium for all tests of pages, and pages that it opens."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest

from gpuvis.page import html
from gpuvis.page.options import Page

if TYPE_CHECKING:
    import pandas as pd
    from reader import Reader

PATIENCE = 30_000  # ms, on a busy machine
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
WITHOUT_WEBGL = """
const context = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
  return kind.includes("webgl") ? null : context.call(this, kind, ...more);
};
"""

Read: TypeAlias = Callable[..., "Reader"]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    from reader import playwright

    found = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    program = next(found, None)
    if program is None:
        absent = pytest.fail if os.environ.get("REQUIRE_BROWSER") else pytest.skip
        absent("Chromium is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def read(chromium: Any, tmp_path: Path) -> Iterator[Read]:
    """Draw a page and open it, where there is no network. Nothing may go wrong but what a test says is missing."""
    from reader import Reader, expect

    asked: set[str] = set()
    troubles: list[str] = []
    absent: set[str] = set()
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.route(re.compile("^https?:"), lambda route: route.abort())
    context.on("request", lambda request: asked.add(request.url.partition(":")[0]))
    context.on("weberror", lambda error: troubles.append(str(error.error)))
    context.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))

    def hear(message: Any) -> None:
        address = message.location["url"]
        missed = message.text.startswith("Failed to load resource") and address.rpartition("/")[2] in absent
        if message.type in {"error", "warning"} and not missed:
            troubles.append(f"{message.text} {address}")

    context.on("console", hear)

    def opened(
        table: pd.DataFrame,
        coords: np.ndarray | None = None,
        caption: str = "UMAP of a test",
        *,
        place: str = "",
        missing: Sequence[str] = (),
        webgl: bool = True,
        dark: bool = False,
        more: dict[str, Any] | None = None,
        **parts: Any,
    ) -> Reader:
        if coords is None:
            coords = np.random.default_rng(0).standard_normal((len(table), 2)).astype(np.float32)
        absent.update(missing)
        file = tmp_path / "map.html"
        file.write_text(html.draw(coords, table, Page(**more or {}), caption, **parts)[0], encoding="utf-8")
        page = context.new_page()
        page.emulate_media(color_scheme="dark" if dark else "light")
        if not webgl:
            page.add_init_script(WITHOUT_WEBGL)
        page.goto(file.as_uri() + place)
        page.wait_for_selector("html[data-drawn]")
        return Reader(page, coords)

    yield opened
    context.close()
    assert not troubles
    assert asked <= {"file", "data", "blob"}
