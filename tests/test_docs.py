"""What readers find: the manual, its site, the map of the code, and links that lead somewhere."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import click
import option_tables
import pytest
from markdown_it import MarkdownIt
from packaging.specifiers import SpecifierSet

from gpuvis.cli import manual
from gpuvis.cli.main import main

if TYPE_CHECKING:
    from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "gpuvis" / "docs"
PAGES = sorted(DOCS.glob("*.md"))
ON_SITE = {*PAGES, *(ROOT / ".github").glob("*.png"), ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "LICENSE"}


def make(*args: str) -> str:
    command = ["make", "--no-print-directory", "-C", str(ROOT), *args]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def tokens(path: Path) -> list[Token]:
    return MarkdownIt().enable("table").parse(path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub and the site make them; on others they would differ."""
    found: set[str] = set()
    for opening, inline in pairwise(tokens(path)):
        if opening.type == "heading_open":
            text = "".join(one.content for one in inline.children)
            anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            assert re.fullmatch(r"[\w-]+", anchor, re.ASCII), f"{path.name}: {text}"
            assert "--" not in anchor, f"{path.name}: {text}"
            assert anchor not in found, f"{path.name}: {text} stands there twice"
            found.add(anchor)
    return found


def links(path: Path) -> Iterator[str]:
    """Yield what a page links to and shows, in Markdown or in HTML."""
    for token in tokens(path):
        for one in [token, *(token.children or [])]:
            if one.type in {"html_block", "html_inline"}:
                yield from re.findall(r"""(?:href|src)=["'](.*?)["']""", one.content)
            elif one.type in {"link_open", "image"}:
                yield str(one.attrs["href" if one.type == "link_open" else "src"])


@pytest.mark.parametrize("path", [ROOT / "README.md", *PAGES], ids=lambda path: path.name)
def test_every_link_leads_somewhere(path) -> None:
    for link in links(path):
        if re.match(r"(https?|mailto):", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target in ON_SITE, link
        assert not anchor or anchor in anchors(target), link


def test_links_of_every_kind_are_seen(tmp_path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        '# A `b`, c?\n\n[a](x.md#a) ![b](b.png)\n\n<img src="c.png">\n\n- [d]\n\n[d]: e.md\n\n'
        "| [f](f.md) |\n|---|\n\n```\n[g](g.md)\n```\n"
    )
    assert list(links(page)) == ["x.md#a", "b.png", "c.png", "e.md", "f.md"]
    assert anchors(page) == {"a-b-c"}


def test_every_page_is_a_topic_and_stands_on_the_site_in_the_same_order() -> None:
    assert sorted(manual.TOPICS) == [path.stem for path in PAGES]
    site = tomllib.loads((DOCS / "zensical.toml").read_text())["project"]
    assert site["nav"] == ["index.md", *(f"{topic}.md" for topic in manual.TOPICS)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_begins_with_its_title_and_one_sentence(path) -> None:
    title, sentence, *rest = filter(None, path.read_text(encoding="utf-8").splitlines())
    assert re.fullmatch(r"# \S.*", title)
    assert re.fullmatch(r"[A-Z][^`*_\[\]]*\.", sentence)
    assert rest


def test_the_tables_of_options_are_those_of_the_commands() -> None:
    """Where this fails: make options."""
    text = option_tables.PAGE.read_text(encoding="utf-8")
    assert text == option_tables.filled(text)
    assert sorted(name for _, name, _ in option_tables.PLACE.findall(text)) == sorted(main.commands)


def test_a_table_has_every_option_with_its_values_and_default() -> None:
    @click.command()
    @click.option("--a_b", "--a-b", "a_b", type=int, default=3, show_default=True, help="Count.")
    @click.option("-k", "--kind", type=click.Choice(["x", "y"]), multiple=True, help="Kind.")
    @click.option("--on/--no-on", default=None, help="On.  [default: now, and then]")
    @click.option("--wait", type=float, metavar="SECONDS", required=True, help="Wait.")
    def command() -> None: ...

    assert option_tables.table(command).splitlines()[2:] == [
        "| `--a_b` | whole number; default: 3 | Count. |",
        "| `-k`, `--kind` | `x`, `y` | Kind. |",
        "| `--on`, `--no-on` | default: now, and then | On. |",
        "| `--wait` | `SECONDS`; required | Wait. |",
    ]
    assert option_tables.table(click.Command("bare")) == "It has no options.\n"
    for line in option_tables.PAGE.read_text(encoding="utf-8").splitlines():
        assert not line.startswith("| `-") or line.count("|") == 4


def test_the_site_is_built_strictly_and_takes_nothing_from_elsewhere() -> None:
    told = make("-n", "docs", "VENV=")
    assert "zensical build --clean --strict" in told
    assert "tests/test_docs.py" in told  # what zensical does not check: pictures and other files
    site = tomllib.loads((DOCS / "zensical.toml").read_text())["project"]
    assert site["theme"]["font"] is False
    assert not {"plugins", "extra", "extra_css", "extra_javascript", "repo_url"} & site.keys()


def test_what_builds_the_site_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["optional-dependencies"]["docs"]) <= set((ROOT / "constraints.txt").read_text().splitlines())


def test_the_map_says_of_every_file_what_it_is_for() -> None:
    lines = dict(line.split(": ", 1) for line in make("map", "VENV=").splitlines())
    wanted = [path for kind in ("py", "js", "css", "cpp", "hpp", "md") for path in (ROOT / "gpuvis").rglob(f"*.{kind}")]
    assert sorted(lines) == sorted(str(path.relative_to(ROOT)) for path in wanted)
    for path, about in lines.items():
        assert re.match(r"(gpuvis|`|[A-Z])", about), path
        assert not re.search(r'"""|\*/|^(#|//)', about), path


def test_the_workflow_tests_every_python_that_is_promised() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    promised = SpecifierSet(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"])
    minors = [f"3.{minor}" for minor in range(5, 30) if f"3.{minor}" in promised]
    assert f"python: {json.dumps(minors)}" in text
    builds = " ".join(f"cp{minor.replace('.', '')}-*" for minor in minors)
    assert f"CIBW_BUILD: {builds}\n" in text


def test_the_workflow_may_only_read_and_takes_known_actions() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert re.findall(r"^ *permissions:\n((?: +.*\n)+)", text, re.MULTILINE) == ["  contents: read\n"]
    for action in re.findall(r"uses: (.*)", text):
        assert re.fullmatch(r"(actions|pypa)/[a-z-]+@v\d+(\.\d+\.\d+)?", action)
    assert text.count("uses: actions/checkout") == text.count("persist-credentials: false")
