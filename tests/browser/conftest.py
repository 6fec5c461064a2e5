"""One Chromium for all tests of pages, and pages that it opens in one tab."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest

from gpuvis.page import html
from gpuvis.page.heading import Heading
from gpuvis.page.options import Page

if TYPE_CHECKING:
    import pandas as pd
    from reader import Reader

WINDOW = {"width": 1280, "height": 800}
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


@pytest.fixture(scope="session")
def tab(chromium: Any) -> Any:
    """One tab for all tests; there is no network."""
    from reader import expect

    context = chromium.new_context(viewport=WINDOW)
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.route(re.compile("^https?:"), lambda route: route.abort())
    return context.new_page()


@contextmanager
def overheard(context: Any, absent: set[str]) -> Iterator[tuple[list[str], set[str]]]:
    """Collect what goes wrong on the pages of a context, but for absent files, and the schemes of its requests."""
    troubles: list[str] = []
    schemes: set[str] = set()

    def hear(message: Any) -> None:
        address = message.location["url"]
        missed = message.text.startswith("Failed to load resource") and address.rpartition("/")[2] in absent
        if message.type in {"error", "warning"} and not missed:
            troubles.append(f"{message.text} {address}")

    def dismiss(dialog: Any) -> None:
        troubles.append(dialog.message)
        dialog.dismiss()

    listeners = {
        "request": lambda request: schemes.add(request.url.partition(":")[0]),
        "weberror": lambda error: troubles.append(str(error.error)),
        "dialog": dismiss,
        "console": hear,
    }
    for event, listener in listeners.items():
        context.on(event, listener)
    yield troubles, schemes
    for event, listener in listeners.items():
        context.remove_listener(event, listener)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page of each test lies, since a tab compiles plotly.js again for each new path."""
    return tmp_path_factory.mktemp("pages") / "test"


@pytest.fixture
def read(tab: Any, folder: Path, tmp_path: Path) -> Iterator[Read]:
    """Draw a page and open it. Nothing may go wrong but what a test says is missing."""
    from reader import Reader

    context = tab.context
    absent: set[str] = set()
    folder.unlink(missing_ok=True)
    folder.symlink_to(tmp_path, target_is_directory=True)
    tab.set_viewport_size(WINDOW)

    def opened(
        table: pd.DataFrame,
        coords: np.ndarray | None = None,
        caption: str = "UMAP of a test",
        *,
        heading: dict[str, Any] | None = None,
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
        file = folder / "map.html"
        file.write_text(
            html.draw(coords, table, Page(**more or {}), Heading(caption=caption, **heading or {}), **parts)[0],
            encoding="utf-8",
        )
        page = tab if webgl else context.new_page()
        if not webgl:
            page.add_init_script(WITHOUT_WEBGL)
        page.emulate_media(color_scheme="dark" if dark else "light", media="screen", forced_colors="none")
        page.mouse.move(0, 0)
        page.goto("about:blank")
        page.goto(file.as_uri() + place)
        page.wait_for_selector("html[data-drawn]")
        return Reader(page, coords)

    with overheard(context, absent) as (troubles, schemes):
        yield opened
        for page in context.pages:
            if page.url.startswith("file:"):
                page.evaluate("localStorage.clear()")
            page.goto("about:blank") if page is tab else page.close()
    assert not troubles
    assert schemes <= {"file", "data", "blob"}
