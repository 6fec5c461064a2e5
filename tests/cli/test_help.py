"""gpuvis help: the topics of the manual, and the page of each."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner, Result
from process import gpuvis

from gpuvis.cli import manual
from gpuvis.cli.main import main

ONE = "# One\n\nWhat one is about.\n"


def call(*args: str) -> Result:
    return CliRunner().invoke(main, ["help", *args], catch_exceptions=False)


@pytest.fixture
def write(monkeypatch):
    """Let the manual have one page of a given text."""

    def written(text: str) -> None:
        monkeypatch.setattr(manual, "page", lambda topic: text)

    return written


def test_help_lists_every_topic_with_its_sentence() -> None:
    got = call()
    assert got.exit_code == 0
    for topic in manual.TOPICS:
        about = " ".join(re.search(rf"^{topic}  +(.*(?:\n  +.*)*)", got.output, re.MULTILINE)[1].split())
        assert about == manual.summary(topic)
    assert "gpuvis help TOPIC" in got.output
    assert "gpuvis help" in CliRunner().invoke(main, ["--help"]).output


@pytest.mark.parametrize("topic", manual.TOPICS)
def test_a_page_is_shown_whole_and_plain(topic) -> None:
    got = call(topic)
    assert got.exit_code == 0
    title, *_, last = filter(None, manual.page(topic).splitlines())
    shown = got.output.splitlines()
    assert shown[0].strip() == title.removeprefix("# ")
    assert re.findall(r"\w+", last)[-1] in " ".join(shown[-3:])
    for unwanted in ("\x1b", "<!--", ".md)", "](", "](#"):
        assert unwanted not in got.output
    assert all(len(line) <= 80 or line.startswith("    ") for line in shown)  # code is not folded


def test_what_a_terminal_cannot_show_is_left_out(write) -> None:
    write(f"{ONE}\n<!-- a -->\n\nWords <!-- b --> here.\n\n<!-- c\nc -->\n![picture](picture.png)\n")
    assert re.sub(r"\s+", " ", call("page").output).split(" ", 2)[2] == "What one is about. Words here. "


def test_a_link_names_the_command_that_shows_its_page(write) -> None:
    write(f"{ONE}\n[Maps](quality.md#a-b), [below](#c), [more](../../README.md) and [away](https://example.org/a).\n")
    assert call("page").output.splitlines()[-1] == (
        "Maps (gpuvis help quality), below, more and away (https://example.org/a)."
    )


def test_lines_of_code_stay_whole(write) -> None:
    line = "gpuvis reduce " + "x" * 200 + "  # spaces stay"
    write(f"{ONE}\n```sh\n{line}\n  two\n```\n\n{'word ' * 30}\n")
    shown = call("page").output.splitlines()
    assert shown[4:6] == [f"    {line}", "      two"]
    assert max(map(len, shown[6:])) <= 80


def test_characters_that_the_output_does_not_have_are_replaced() -> None:
    got = gpuvis("help", "page", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (got.returncode, got.stderr) == (0, "")
    assert got.stdout.isascii()


def test_an_unknown_topic_is_an_error_that_lists_them() -> None:
    got = call("nothing")
    assert got.exit_code == 2
    assert "'nothing' is not one of " in got.output
    for topic in manual.TOPICS:
        assert f"'{topic}'" in got.output


def on_terminal(*args: str, lines: int) -> str:
    """Return what a terminal of so many lines shows; its pager says how it was called."""
    import pty  # not on Windows

    ours, theirs = pty.openpty()
    size = {"LINES": str(lines), "COLUMNS": "90", "TERM": "xterm", "PAGER": "cat -n", "NO_COLOR": ""}
    command = [sys.executable, "-m", "gpuvis", *args]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, env=os.environ | size) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # Linux' way to say that the other end is closed
            pass
    os.close(ours)
    assert process.returncode == 0
    return shown.decode()


def test_only_a_page_that_is_longer_than_the_terminal_is_paged() -> None:
    assert re.match(r" +1\t.*\r\n +2\t", on_terminal("help", "page", lines=10))
    shown = on_terminal("help", "page", lines=5000)
    assert shown.lstrip().startswith("\x1b[")
    assert "\r\n     2\t" not in shown


HEAVY = ("torch", "sklearn", "numba", "pandas", "pyarrow", "plotly", "cuml", "cupy", "numpy", "PIL")


@pytest.mark.parametrize(("args", "heavy"), [(["help"], (*HEAVY, "rich")), (["help", "page"], HEAVY)])
def test_the_manual_loads_nothing_heavy(args, heavy) -> None:
    code = (
        "import sys\nfrom gpuvis.cli.main import main\n"
        f"main({args!r}, standalone_mode=False)\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert got.stdout.splitlines()[-1] == "[]"


@pytest.mark.skipif(sys.platform != "linux", reason="limits on addresses are Linux's")
def test_the_manual_needs_no_memory_to_speak_of() -> None:
    called = f'ulimit -v 100000; exec "{sys.executable}" -m gpuvis help page'
    done = subprocess.run(called, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
