"""The rules of axe-core, for readers who use keys, a screen reader or strong contrast, in each state of the page."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from examples import WORDS, table_of
from reader import expect, nearest

from gpuvis.page import index

pytestmark = pytest.mark.browser

# Conda has no such package.
find = import_module if os.environ.get("REQUIRE_BROWSER") else pytest.importorskip
axe = find("axe_playwright_python.sync_playwright").Axe()


def violations(page) -> list[str]:
    page.wait_for_timeout(300)  # until nothing moves
    found = axe.run(page).response["violations"]
    return [f"{rule['id']}: {rule['nodes'][0]['html']}" for rule in found]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_state_of_the_page_breaks_a_rule(read, dark) -> None:
    table = table_of(60).assign(
        suspect=["yes" if row % 3 else "" for row in range(60)],
        suspicion=[f"{row / 60:.3f}" for row in range(60)],
        suggested_label=[WORDS[(row + 1) % 3] for row in range(60)],
        **{"predicted vit": [WORDS[row % 2] for row in range(60)]},
    )
    measures = (("Neighbours kept", "40.0% (PCA map 5.0%)", "of each point's 15 nearest"),)
    heading = {"name": "m / test", "verdict": "40 % are kept.", "measures": measures, "warnings": ("A warning.",)}
    reader = read(table, neighbors=nearest(60), heading=heading, dark=dark)
    assert violations(reader.page) == [], "start"
    reader.see("#classes .class").nth(1).click()
    expect(reader.see("#status")).to_contain_text("40 of 60")
    assert violations(reader.page) == [], "hidden class"
    reader.see("#classes .class").nth(1).click()
    reader.see("[data-do=suspects]").click()
    assert violations(reader.page) == [], "selection"
    for number in (1, 2):
        reader.see("#selection .small").nth(number).click()
    expect(reader.see("#pins .small")).to_have_count(2)
    assert violations(reader.page) == [], "pins"
    reader.see("#filter-by").select_option(label="suspicion")
    reader.see("#color-by").select_option(label="suspicion")
    assert violations(reader.page) == [], "filter and scale"
    reader.button("Confused").click()
    reader.see("#about summary").click()
    assert violations(reader.page) == [], "confused, and how the map was made"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_front_page_breaks_no_rule(tab, tmp_path, dark) -> None:
    entries = [index.Entry(Path(f"run{k}/vis_umap.html"), "", "UMAP · 30 × 8") for k in range(3)]
    (tmp_path / "index.html").write_text(index.draw(entries, "study"), encoding="utf-8")
    tab.emulate_media(color_scheme="dark" if dark else "light")
    tab.goto((tmp_path / "index.html").as_uri())
    assert violations(tab) == []


def test_the_rules_can_be_broken(read) -> None:
    reader = read(table_of(30), np.zeros((30, 2), np.float32))
    reader.page.evaluate("document.body.append(document.createElement('img'))")
    assert "image-alt" in [rule.partition(":")[0] for rule in violations(reader.page)]
