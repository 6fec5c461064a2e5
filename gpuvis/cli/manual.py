"""The manual in a terminal: its topics, and the page of one of them."""

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

# In the order in which they are listed; each is a page in gpuvis/docs.
TOPICS = (
    *("files", "cli", "page", "quality", "labels", "python", "gpu", "performance", "troubleshooting", "glossary"),
    *("architecture", "contributing"),
)
PLAIN, WIDEST = 80, 100  # columns where stdout is no terminal, and the most on one


def page(topic: str) -> str:
    """Return the page of a topic, in Markdown."""
    return resources.files("gpuvis").joinpath("docs", f"{topic}.md").read_text(encoding="utf-8")


def summary(topic: str) -> str:
    """Return what a topic is about: the sentence below the title of its page."""
    _title, sentence, *_ = filter(None, page(topic).splitlines())
    return sentence


def list_topics(context: click.Context) -> None:
    """Print the topics, and how to show one."""
    formatter = context.make_formatter()
    formatter.write("The manual. Show a topic with gpuvis help TOPIC, as in: gpuvis help page\n\n")
    formatter.write_dl([(topic, summary(topic)) for topic in TOPICS])
    formatter.write("\nThe options of a command: gpuvis COMMAND --help\n")
    click.echo(formatter.getvalue(), nl=False)


def show_topic(topic: str) -> None:
    """Print the page of a topic; on a terminal that is too low for it, through a pager."""
    from rich.console import Console

    console = Console(highlight=False)
    width = min(console.width, WIDEST) if console.is_terminal else PLAIN
    with console.capture() as captured:
        console.print(_markdown(page(topic)), width=width, crop=False)
    drawn = captured.get().encode(console.encoding, "replace").decode(console.encoding)
    text = re.sub(r" +$", "", drawn, flags=re.MULTILINE).rstrip("\n") + "\n"
    if console.is_terminal and text.count("\n") >= console.height:
        click.echo_via_pager(text)
    else:
        click.echo(text, nl=False)


def _markdown(text: str) -> Markdown:
    """Return a page as rich prints it, with code as it stands: a line that is folded cannot be copied."""
    from rich.markdown import CodeBlock, Markdown
    from rich.text import Text

    class Code(CodeBlock):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
            yield Text(indent(self.text.plain.rstrip(), "    "), "markdown.code_block", no_wrap=True, overflow="ignore")

    class Page(Markdown):
        elements = Markdown.elements | {"fence": Code, "code_block": Code}

    made = Page(text, hyperlinks=False)
    made.parsed = list(_for_terminal(made.parsed))
    return made


def _for_terminal(tokens: list[Token]) -> Iterator[Token]:
    """Leave out what a terminal cannot show, HTML and images; a link to a page names the command that shows it."""
    linked = True
    for token in tokens:
        if token.type in {"html_block", "html_inline", "image"}:
            continue
        if token.type == "link_open":
            target = str(token.attrs["href"])
            topic = target.partition("#")[0].removesuffix(".md")
            linked = topic in TOPICS or "://" in target
            if topic in TOPICS:
                token.attrs["href"] = f"gpuvis help {topic}"
        if token.children:
            token.children = list(_for_terminal(token.children))
        if linked or not token.type.startswith("link_"):
            yield token
