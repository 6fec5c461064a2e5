"""The manual in a terminal: the list of its topics, or one page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from textwrap import indent
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from markdown_it.token import Token
    from rich.console import Console, ConsoleOptions
    from rich.markdown import Markdown

# In the order of the list. Each is a page in gpuvis/docs.
TOPICS = (
    *("files", "cli", "page", "quality", "labels", "python", "gpu", "cluster", "performance", "troubleshooting"),
    *("glossary", "architecture", "contributing"),
)
FILE_WIDTH, MAX_WIDTH = 80, 100  # columns if stdout is not a terminal, and most columns if it is


def page(topic: str) -> str:
    """Return the page of a topic, in Markdown."""
    return resources.files("gpuvis").joinpath("docs", f"{topic}.md").read_text(encoding="utf-8")


def summary(topic: str) -> str:
    """Return the first sentence of a topic's page, below its title."""
    _title, sentence, *_ = filter(None, page(topic).splitlines())
    return sentence


def list_topics(context: click.Context) -> None:
    """Print the list of topics, and how to show a page."""
    formatter = context.make_formatter()
    formatter.write("The manual. Show a topic with gpuvis help TOPIC, as in: gpuvis help page\n\n")
    formatter.write_dl([(topic, summary(topic)) for topic in TOPICS])
    formatter.write("\nThe options of a command: gpuvis COMMAND --help\n")
    click.echo(formatter.getvalue(), nl=False)


def show_topic(topic: str) -> None:
    """Print the page of a topic. If it is longer than the terminal, use a pager."""
    from rich.console import Console

    console = Console(highlight=False)
    width = min(console.width, MAX_WIDTH) if console.is_terminal else FILE_WIDTH
    with console.capture() as captured:
        console.print(_markdown(page(topic)), width=width, crop=False)
    encodable = captured.get().encode(console.encoding, "replace").decode(console.encoding)
    text = re.sub(r" +$", "", encodable, flags=re.MULTILINE).rstrip("\n") + "\n"
    if console.is_terminal and text.count("\n") >= console.height:
        click.echo_via_pager(text)
    else:
        click.echo(text, nl=False)


def _markdown(text: str) -> Markdown:
    """Return a page for rich to print. Code is not wrapped, so that it can be copied."""
    from rich.markdown import CodeBlock, Markdown
    from rich.text import Text

    class Code(CodeBlock):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
            yield Text(indent(self.text.plain.rstrip(), "    "), "markdown.code_block", no_wrap=True, overflow="ignore")

    class Page(Markdown):
        elements = Markdown.elements | {"fence": Code, "code_block": Code}

    page = Page(text, hyperlinks=False)
    page.parsed = list(_for_terminal(page.parsed))
    return page


def _for_terminal(tokens: list[Token]) -> Iterator[Token]:
    """Leave out HTML, images and links to other files. A link to a topic becomes the command that shows its page."""
    keeps_link = True
    for token in tokens:
        if token.type in {"html_block", "html_inline", "image"}:
            continue
        if token.type == "link_open":
            target = str(token.attrs["href"])
            topic = target.partition("#")[0].removesuffix(".md")
            keeps_link = topic in TOPICS or "://" in target
            if topic in TOPICS:
                token.attrs["href"] = f"gpuvis help {topic}"
        if token.children:
            token.children = list(_for_terminal(token.children))
        if keeps_link or not token.type.startswith("link_"):
            yield token
