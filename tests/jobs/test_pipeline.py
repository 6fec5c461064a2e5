"""Folders that overlap: one is computed, the next is read, the last is drawn; all else is as if they did not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from doubles import FirstColumns, Log, results
from examples import content
from process import FAKES

from gpuvis.backends import Selection
from gpuvis.errors import CacheError, OutputExistsError
from gpuvis.io import pt
from gpuvis.io.files import locked
from gpuvis.jobs import batch
from gpuvis.jobs.batch import Request
from gpuvis.page import html
from gpuvis.page.options import Page
from gpuvis.settings import Settings, Tsne

WAIT = 20  # seconds, for what comes at once if the stages overlap
draw = html.draw


class Watched(FirstColumns):
    """Knows which tables were read, and by what threads it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []
        self.threads: set[threading.Thread] = set()

    def read_tensor(self, path: Path):
        self.read.append(path.parent.name)
        return pt.read(path)

    def umap(self, *args):
        self.threads.add(threading.current_thread())
        return super().umap(*args)


@pytest.fixture
def four(make_cache, tmp_path) -> Path:
    for k, name in enumerate("abcd"):
        make_cache(f"t/{name}", seed=k)
    return tmp_path / "t"


def run(root: Path, backend: FirstColumns, log: Log | None = None, **asked) -> batch.Report:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpuvis.jobs.place.choose", lambda name: Selection(backend, "for the test"))
        return batch.run(Request((root,), **{"settings": Settings(), **asked}), log or Log())


def assert_nothing_is_left(root: Path) -> None:
    assert not list(root.rglob(".*"))


def test_the_next_is_read_and_the_last_is_drawn_while_one_is_computed(four, monkeypatch) -> None:
    class Waiting(Watched):
        def umap(self, *args):
            number = len(self.threads_of_maps)
            self.threads_of_maps.append(threading.current_thread())
            end = time.monotonic() + WAIT
            while len(self.read) < min(number + 2, 4) and time.monotonic() < end:
                time.sleep(0.001)
            assert self.read == list("abcd")[: number + 2]  # one folder ahead, and no more
            computing[number].set()
            return super().umap(*args)

    def drawing(*args):
        number = len(drawn)
        drawn.append(threading.current_thread())
        assert number == 3 or computing[number + 1].wait(WAIT)
        return draw(*args)

    backend, drawn, computing = Waiting(), [], [threading.Event() for _ in range(4)]
    backend.threads_of_maps = []
    monkeypatch.setattr(html, "draw", drawing)
    report = run(four, backend)
    assert results(report) == [(name, "umap", "written") for name in "abcd"]
    assert backend.threads == {threading.main_thread()}
    assert threading.main_thread() not in drawn


def test_outcomes_come_in_order_when_all_is_written_and_the_folder_is_held_until_then(four, monkeypatch) -> None:
    class Told(Log):
        def step(self, name: str) -> None:
            assert threading.current_thread() is threading.main_thread()
            super().step(name)

        def outcome(self, outcome) -> None:
            assert all(path.exists() for path in outcome.paths)
            assert json.loads(outcome.paths[-1].read_text())["page"] is not None
            with pytest.raises(OutputExistsError), locked(outcome.folder):
                pass
            super().outcome(outcome)

    def slow(coords, rows, page, heading, *more):
        time.sleep(0.3 if "UMAP" in heading.caption else 0)
        return draw(coords, rows, page, heading, *more)

    monkeypatch.setattr(html, "draw", slow)
    log = Told()
    report = run(four, Watched(), log, settings=Settings(tsne=Tsne()))
    assert results(report) == [(name, method, "written") for name in "abcd" for method in ("umap", "tsne")]
    assert report.outcomes == log.outcomes
    assert [folder.name for folder in log.folders] == list("abcd")
    assert (
        log.steps
        == ["read", "load", "umap", "save", "nearest", "quality", "draw", "tsne", "save", "nearest", "quality", "draw"]
        * 4
    )
    assert_nothing_is_left(four)


def test_steps_are_timed_where_they_are_done(four, monkeypatch) -> None:
    def slow(*args):
        time.sleep(0.2)
        return draw(*args)

    class Slow(Watched):
        def read_tensor(self, path: Path):
            time.sleep(0.1)
            return super().read_tensor(path)

        def umap(self, *args):
            time.sleep(0.3)
            return super().umap(*args)

    monkeypatch.setattr(html, "draw", slow)
    report = run(four, Slow())
    for outcome in report.outcomes:
        steps = json.loads(outcome.paths[-1].read_text())["steps"]
        assert list(steps) == ["read", "load", "umap", "save", "nearest", "quality", "draw"]
        assert steps["read"]["seconds"] >= 0.1
        assert steps["umap"]["seconds"] >= 0.3
        assert steps["draw"]["seconds"] >= 0.2
        assert outcome.seconds >= 0.6


def test_what_the_reader_meets_is_told_of_its_folder_in_its_turn(four) -> None:
    class Unreadable(Watched):
        def read_tensor(self, path: Path):
            if path.parent.name in "bd":
                raise CacheError(f"{path} is gone") if path.parent.name == "b" else ZeroDivisionError("oh")
            return super().read_tensor(path)

    report = run(four, Unreadable())
    assert [(outcome.folder.name, outcome.result) for outcome in report.outcomes] == [
        *(("a", "written"), ("b", "failed"), ("c", "written"), ("d", "failed"))
    ]
    assert str(report.outcomes[1].error) == f"{four}/b/embeddings.pt is gone"
    assert str(report.outcomes[3].error) == f"{four}/d: unexpected ZeroDivisionError: oh"
    assert_nothing_is_left(four)


def test_a_folder_in_use_elsewhere_fails_alone(four) -> None:
    with locked(four / "b"):
        report = run(four, Watched())
    assert [outcome.result for outcome in report.outcomes] == ["written", "failed", "written", "written"]
    assert "another gpuvis is writing maps here" in str(report.outcomes[1].error)


def test_a_page_that_cannot_be_drawn_is_told_of_its_own_map(four, monkeypatch) -> None:
    def fail(coords, rows, page, caption, *more):
        drawn.append(caption)
        if len(drawn) == 3:
            raise ZeroDivisionError("no ink")
        return draw(coords, rows, page, caption, *more)

    drawn: list[str] = []
    monkeypatch.setattr(html, "draw", fail)
    report = run(four, Watched(), settings=Settings(tsne=Tsne()))
    assert [outcome.result for outcome in report.outcomes] == ["written"] * 2 + ["not drawn"] + ["written"] * 5
    assert results(report)[2] == ("b", "umap", "not drawn")
    assert not (four / "b/vis_umap.html").exists()
    again = Watched()
    assert [outcome.result for outcome in run(four, again, settings=Settings(tsne=Tsne())).outcomes].count(
        "drawn again"
    ) == 1
    assert again.calls == []


def test_a_watcher_that_fails_ends_the_batch(four) -> None:
    class Failing(Log):
        def outcome(self, outcome) -> None:
            raise ZeroDivisionError("cannot be shown")

    with pytest.raises(ZeroDivisionError, match="cannot be shown"):
        run(four, Watched(), Failing())
    assert not (four / "d/vis_umap.html").exists()
    assert_nothing_is_left(four)


@pytest.fixture
def stopped_while_drawing(four, monkeypatch):
    """Interrupt the map of b while the page of a is drawn; that goes on for some seconds."""

    def stop(seconds: float) -> tuple[batch.Report, threading.Event]:
        class Interrupted(Watched):
            def umap(self, *args):
                if self.calls:
                    assert drawing.wait(WAIT)
                    raise KeyboardInterrupt
                return super().umap(*args)

        def slow(*args):
            drawing.set()
            time.sleep(seconds)
            try:
                return draw(*args)
            finally:
                drawn.set()

        drawing, drawn = threading.Event(), threading.Event()
        with monkeypatch.context() as patch:
            patch.setattr(html, "draw", slow)
            return run(four, Interrupted()), drawn

    return stop


def test_an_interrupt_lets_a_page_be_finished(four, stopped_while_drawing) -> None:
    report, _ = stopped_while_drawing(0.3)
    assert report.stopped
    assert results(report) == [("a", "umap", "written")]
    assert_nothing_is_left(four)
    assert not list(four.glob("[bcd]/vis*"))
    assert [result for _, _, result in results(run(four, Watched()))] == ["up to date", *["written"] * 3]


def test_an_interrupt_drops_a_page_that_takes_long(four, stopped_while_drawing, monkeypatch) -> None:
    monkeypatch.setattr("gpuvis.jobs.pipeline.PATIENCE", 0.1)
    report, drawn = stopped_while_drawing(1)
    assert report.stopped
    assert report.outcomes == []
    before = content(four)
    assert {name for name in before if name.startswith("a/vis")} == {
        f"a/vis_umap{end}" for end in ("_coords.npy", "_quality.npy", "_run.json")
    }
    assert drawn.wait(WAIT)
    time.sleep(0.1)
    assert content(four) == before  # what comes too late is not written: nobody holds the folder any more
    assert [result for _, _, result in results(run(four, Watched()))] == ["drawn again", *["written"] * 3]


def test_folders_that_were_made_for_nothing_go(four, tmp_path) -> None:
    class Failing(Watched):
        def umap(self, *args):
            raise ZeroDivisionError

    run(four, Failing(), out_dir=tmp_path / "out" / "below")
    assert not (tmp_path / "out").exists()


HANGING = """
import sys, time
sys.path.insert(0, sys.argv.pop(1))
from doubles import FirstColumns
from gpuvis.io import pt
from gpuvis.backends import Selection
from gpuvis.jobs import place
from gpuvis.cli.main import main
class Hanging(FirstColumns):
    def read_tensor(self, path):
        if path.parent.name == "b":
            time.sleep(60)
        return pt.read(path)
    def umap(self, *args):
        print("computing", file=sys.stderr, flush=True)
        time.sleep(60)
place.choose, place.obstacle = lambda name: Selection(Hanging(), "for the test"), lambda name: "for the test"
main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_reader_that_hangs_keeps_no_one_waiting(four, number, code) -> None:
    command = [sys.executable, "-c", HANGING, FAKES, "reduce", str(four)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as started:
        assert any("computing" in line for line in started.stderr)
        started.send_signal(number)
        _, err = started.communicate(timeout=30)
    assert started.returncode == code
    assert f"stopped by {number.name}: 0 maps were finished, and no file is half written" in err
    assert "Traceback" not in err
    assert_nothing_is_left(four)


def test_one_folder_needs_no_threads(four, monkeypatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", lambda self: pytest.fail("a thread was started"))
    assert results(run(four / "a", Watched())) == [("a", "umap", "written")]


def test_pages_are_drawn_again_in_their_turn(four) -> None:
    run(four, Watched(), page=None)
    for end in ("_coords.npy", "_quality.npy", "_run.json"):
        (four / f"c/vis_umap{end}").unlink()
    report = run(four, Watched(), page=Page())
    assert [result for _, _, result in results(report)] == ["drawn again", "drawn again", "written", "drawn again"]
