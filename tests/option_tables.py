"""Write the tables of options in the manual, gpuvis/docs/cli.md, from the commands themselves: `make options`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from gpuvis.cli.main import main

PAGE = Path(__file__).parents[1] / "gpuvis" / "docs" / "cli.md"
PLACE = re.compile(r"(<!-- options: ([a-z]+) -->\n).*?(<!-- end of options -->)", re.DOTALL)
HEADER = "| option | value | what it does |\n|---|---|---|\n"
VALUES = {
    "boolean": "",
    "count": "whole number",
    "float": "number",
    "integer": "whole number",
    "path": "path",
    "seed": "whole number, or `random`",
    "size": "size, as `20GiB`",
    "text": "text",
}


def names(option: click.Option) -> str:
    """Return the spellings of an option, without the one with `-` where there is one with `_`."""
    twins = {name: f"--{name[2:].replace('-', '_')}" for name in option.opts}
    kept = [name for name, twin in twins.items() if twin == name or twin not in twins]
    return ", ".join(f"`{name}`" for name in (*kept, *option.secondary_opts))


def value(option: click.Option) -> str:
    """Return what may stand after an option."""
    if isinstance(option.type, click.Choice):
        return ", ".join(f"`{choice}`" for choice in option.type.choices)
    return f"`{option.metavar}`" if option.metavar else VALUES[option.type.name]


def row(option: click.Option, command: click.Command) -> str:
    """Return the row of an option. Its default is what --help says."""
    _, text = option.get_help_record(click.Context(command))
    purpose, _, default = text.removesuffix("]").partition("  [")
    default = re.sub(r",(?=[a-z])", ", ", default)
    cells = (names(option), "; ".join(filter(None, (value(option), default))), purpose)
    return f"| {' | '.join(cells)} |\n"


def table(command: click.Command) -> str:
    """Return the options of a command as a table of Markdown."""
    rows = [row(option, command) for option in command.params if isinstance(option, click.Option)]
    return HEADER + "".join(rows) if rows else "It has no options.\n"


def filled(text: str) -> str:
    """Return a page with its tables made anew."""
    return PLACE.sub(lambda place: f"{place[1]}\n{table(main.commands[place[2]])}\n{place[3]}", text)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
