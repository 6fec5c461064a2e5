"""Refuse early, never redo: what stands in the folder decides what is done."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from doubles import FirstColumns, Log, Scaled
from examples import ENDS, content, table_of
from process import as_nobody

from gpuvis.backends import Selection
from gpuvis.backends.base import Layout
from gpuvis.cli.main import main
from gpuvis.errors import CacheError, OutputError, OutputExistsError
from gpuvis.io import cache, fingerprint
from gpuvis.io import files as on_disk
from gpuvis.io.files import check_writable, locked, replacing
from gpuvis.jobs import batch, job, stages
from gpuvis.jobs.job import Job
from gpuvis.page.options import Page
from gpuvis.quality import report
from gpuvis.results import schema
from gpuvis.settings import Settings, Tsne, Umap
from gpuvis.timing import StepTimer


def run(asked: Job, backend: FirstColumns | None = None) -> list[str]:
    return [
        outcome.result
        for outcome in stages.run(job.decide(asked), Selection(backend or FirstColumns(), "for the test"), StepTimer())
    ]


@pytest.fixture
def asked(make_cache) -> Job:
    folder = make_cache()
    return Job(folder, folder, Settings(tsne=Tsne(), pca_dim=4))


def with_(asked: Job, **changes) -> Job:
    return Job(**{**vars(asked), **changes})


def refusal(asked: Job) -> str:
    (outcome,) = [outcome for outcome in job.decide(asked).settled if outcome.error]
    assert isinstance(outcome.error, OutputExistsError)
    assert outcome.exit_code == 1
    return str(outcome.error)


def test_outputs_are_those_of_the_contract(asked) -> None:
    assert run(asked) == ["written", "written"]
    for method in ("umap", "tsne"):
        coords = np.load(asked.out / f"vis_{method}_coords.npy", allow_pickle=False)
        assert (coords.dtype, coords.shape, coords.flags.c_contiguous) == (np.float32, (40, 2), True)
        X = cache.read(asked.folder).embeddings.numpy()
        np.testing.assert_array_equal(coords, X[:, :2] if method == "umap" else X[:, 1::-1])
    made = {name for name in content(asked.out) if name.startswith(("vis", "."))}
    assert made == {f"vis_{m}{e}" for m in ("umap", "tsne") for e in ENDS}


def test_the_record_tells_what_was_asked_and_what_was_done(asked) -> None:
    run(with_(asked, settings=Settings(umap=Umap(n_neighbors=500), tsne=Tsne(), pca_dim=50, seed=7)))
    told = json.loads((asked.out / "vis_umap_run.json").read_text())
    assert (told["input"]["rows"], told["input"]["columns"], told["input"]["dtype"]) == (40, 8, "float32")
    assert told["asked"] == {
        "method": "umap",
        "n_neighbors": 500,
        "min_dist": 0.1,
        "metric": "euclidean",
        "pca_dim": 50,
        "seed": 7,
    }
    assert told["effective"] == {**told["asked"], "n_neighbors": 39, "pca_dim": None}
    assert told["notes"] == [
        "pca_dim 50 ≥ 8 columns: PCA is skipped",
        "umap_neighbors 500 is too large for 40 rows: 39 is used",
    ]
    assert told["backend"]["name"] == "cpu"
    assert told["backend"]["reason"] == "for the test"
    assert told["repeatable"] == "the same umap map"
    assert told["versions"]["torch"].startswith("2.")
    assert list(told["steps"]) == ["read", "load", "umap", "save", "nearest", "quality", "draw"]
    assert all(step["seconds"] >= 0 and step["peak_memory_bytes"] > 1e6 for step in told["steps"].values())
    for name, digest in told["outputs"].items():
        assert digest == fingerprint.of_file(asked.out / name)


def test_one_pca_serves_both_maps(asked) -> None:
    backend = FirstColumns()
    run(asked, backend)
    assert backend.calls == ["pca", "umap", "tsne"]


def test_up_to_date_maps_are_not_made_again(asked) -> None:
    run(asked)
    before = content(asked.folder)
    backend = FirstColumns()
    assert run(asked, backend) == ["up to date", "up to date"]
    assert backend.calls == []
    assert content(asked.folder) == before


@pytest.mark.parametrize("name", ["labels.pt", "meta.json"])
def test_what_disagrees_now_is_found_before_a_map_is_said_to_be_up_to_date(asked, name) -> None:
    run(asked)
    if name == "labels.pt":
        torch.save(cache.read(asked.folder).labels + 1, asked.folder / name)
    else:
        (asked.folder / name).write_text('{"num_samples": 41, "dim": 8}')
    assert run(asked) == ["refused", "refused"]
    with pytest.raises(CacheError, match=f"{name} (disagrees|says num_samples is 41)"):
        run(with_(asked, overwrite=True))


class Died(BaseException):
    """As a process dies: nothing is tidied up."""


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("at", range(1, 10))
def test_a_run_that_died_at_any_write_is_gone_on_with(asked, monkeypatch, at, overwrite) -> None:
    asked = with_(asked, settings=asked.settings.only("umap"), page=Page(static=("png",)))
    if overwrite:
        run(with_(asked, settings=Settings(umap=Umap(n_neighbors=5))))
    count, replace_it = 0, Path.replace

    def die(path: Path, target: Path) -> None:
        nonlocal count
        count += 1
        if count == at:
            raise Died
        replace_it(path, target)

    monkeypatch.setattr(Path, "replace", die)
    try:
        run(with_(asked, overwrite=overwrite))
    except Died:
        monkeypatch.setattr(Path, "replace", replace_it)
        if overwrite and at == 1:  # nothing was written yet: the earlier map stands
            assert "it was made with n_neighbors 5" in refusal(asked)
            return
        assert run(asked) in (["written"], ["drawn again"])
    monkeypatch.setattr(Path, "replace", replace_it)
    assert run(asked) == ["up to date"]
    X = cache.read(asked.folder).embeddings.numpy()
    np.testing.assert_array_equal(np.load(asked.out / "vis_umap_coords.npy"), X[:, :2])


def test_a_page_is_not_drawn_of_coordinates_that_another_run_was_about_to_replace(asked) -> None:
    asked = with_(asked, settings=asked.settings.only("umap"))
    run(asked)
    path = asked.out / "vis_umap_run.json"
    told = json.loads(path.read_text())
    told["outputs"]["vis_umap_coords.npy"] = None
    told["effective"]["n_neighbors"] = 7
    path.write_text(json.dumps(told))
    assert run(with_(asked, only_draw=True)) == ["drawn again"]
    assert "n_neighbors 7" not in (asked.out / "vis_umap.html").read_text()


def test_records_that_tell_of_fewer_files_still_vouch(asked) -> None:
    """Those of before labels and the information were compared."""
    run(asked)
    for method in ("umap", "tsne"):
        path = asked.out / f"vis_{method}_run.json"
        told = json.loads(path.read_text())
        for name in ("labels.pt", "meta.json"):
            del told["input"]["fingerprint"][name]
        path.write_text(json.dumps(told))
    assert run(asked) == ["up to date", "up to date"]


def _parts(value: object, path: tuple = ()) -> list[tuple]:
    """Return the places of everything in a record."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, one in inner for found in _parts(one, (*path, key)))]


def _changed(told: dict, path: tuple, odd: object) -> object:
    if not path:
        return odd
    inner = told
    for key in path[:-1]:
        inner = inner[key]
    if odd is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = odd
    return told


@pytest.mark.parametrize(
    "odd", [..., None, "text", [], {}, -1, 1e308, 10**400, [{"a": None}]], ids=lambda odd: repr(odd)[:9]
)
@pytest.mark.parametrize("name", ["vis_umap_run.json", "scores_run.json"])
def test_a_damaged_record_costs_its_folder_alone(make_cache, name, odd) -> None:
    folders = make_cache("a"), make_cache("b")
    command = ["reduce", "--outliers", *map(str, folders)]
    assert CliRunner().invoke(main, command).exit_code == 0
    path, before, refused = folders[0] / name, content(folders[1]), 0
    whole = path.read_text()
    parts = _parts(json.loads(whole))[1:]
    drawn = np.random.default_rng(0).choice(len(parts), 10, replace=False)
    for part in (("input", "rows"), ("input", "columns"), *(parts[at] for at in drawn)):
        path.write_text(json.dumps(_changed(json.loads(whole), part, odd)))
        result = CliRunner().invoke(main, command)
        assert result.exit_code in {0, 1}, (part, result.stderr)
        assert isinstance(result.exception, SystemExit | None), (part, result.exception)
        assert "unexpected" not in result.stderr, (part, result.stderr)
        refused += f"{name} is damaged, or not one of gpuvis" in result.stderr
        path.write_text(whole)
    assert refused > 1
    assert content(folders[1]) == before


@pytest.mark.parametrize("odd", [..., None, "text", [], {}, -1, True], ids=repr)
def test_a_record_that_is_believed_can_be_told_of(make_cache, odd) -> None:
    folder = make_cache()
    assert CliRunner().invoke(main, ["reduce", str(folder), "--no-html"]).exit_code == 0
    whole = (folder / "vis_umap_run.json").read_text()
    refused = 0
    for path in _parts(json.loads(whole))[1:]:
        told = _changed(json.loads(whole), path, odd)
        if not schema.matches(told, schema.MAP):
            refused += 1
        elif told.get("quality"):
            quality = told["quality"]
            assert all([*report.report(quality), report.line(quality), *report.warnings(quality)]), path
    assert refused > 20


def test_only_the_missing_map_is_made(asked) -> None:
    run(with_(asked, settings=asked.settings.only("umap")))
    backend = FirstColumns()
    assert run(asked, backend) == ["up to date", "written"]
    assert backend.calls == ["pca", "tsne"]


def test_settings_that_come_to_the_same_do_not_make_a_map_stale(asked) -> None:
    run(asked)
    same = Settings(umap=Umap(n_neighbors=30), tsne=Tsne(perplexity=400, metric="cosine"), pca_dim=4)
    assert run(with_(asked, settings=same)) == ["up to date", "up to date"]


def _recache(asked: Job) -> None:
    X = cache.read(asked.folder).embeddings.clone()
    X[3] += 1
    torch.save(X, asked.folder / "embeddings.pt")


def _relabel(asked: Job) -> None:
    table_of(40).assign(file_name="x").to_csv(asked.folder / "metadata.csv", index=False)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_recache, "the cache has changed since"),
        (_relabel, "the cache has changed since"),
        (lambda a: np.save(a.out / "vis_umap_coords.npy", np.zeros((40, 2))), "vis_umap_coords.npy was changed after"),
        (lambda a: (a.out / "vis_umap.html").write_text("mine"), "vis_umap.html was changed after"),
        (lambda a: (a.out / "vis_umap_run.json").unlink(), "no run record vouches for it"),
        (lambda a: (a.out / "vis_umap_run.json").write_text("{}"), "vis_umap_run.json is damaged"),
        (lambda a: (a.out / "vis_umap_run.json").write_text("[]"), "vis_umap_run.json is damaged"),
        (lambda a: (a.out / "vis_umap_coords.npy").unlink(), "vis_umap_coords.npy is missing"),
        (lambda a: (a.folder / "meta.json").write_text("{}"), r"the cache has changed since \(meta.json\)"),
        (lambda a: (a.folder / "labels.pt").unlink(), r"the cache has changed since \(labels.pt\)"),
    ],
)
def test_anything_else_is_refused_unless_told_to_overwrite(asked, change, reason) -> None:
    asked = with_(asked, settings=asked.settings.only("umap"))
    run(asked)
    change(asked)
    before = content(asked.folder)
    message = refusal(asked)
    assert re.search(reason, message), message
    assert "use --overwrite" in message
    assert run(asked) == ["refused"]
    assert content(asked.folder) == before
    assert run(with_(asked, overwrite=True)) == ["written"]
    assert run(asked) == ["up to date"]


def test_other_settings_are_named(asked) -> None:
    run(asked)
    other = with_(asked, settings=Settings(umap=Umap(n_neighbors=5), pca_dim=3))
    assert "it was made with n_neighbors 30 (now 5), pca_dim 4 (now 3)" in refusal(other)


def test_a_refused_map_does_not_keep_the_other_from_being_made(asked) -> None:
    (asked.out / "vis_umap_coords.npy").write_bytes(b"mine")
    assert run(asked) == ["refused", "written"]
    assert (asked.out / "vis_umap_coords.npy").read_bytes() == b"mine"


def test_what_only_the_page_shows_is_drawn_again_without_reducing(asked) -> None:
    asked = with_(asked, settings=asked.settings.only("umap"))
    run(asked)
    before = content(asked.out)
    backend = FirstColumns()
    other = with_(asked, page=Page(color_by="ground_truth_num_label"))
    assert run(other, backend) == ["drawn again"]
    assert backend.calls == []
    after = content(asked.out)
    assert after["vis_umap_coords.npy"] == before["vis_umap_coords.npy"]
    assert after["vis_umap.html"] != before["vis_umap.html"]
    assert run(other) == ["up to date"]


def test_a_missing_page_is_drawn(asked) -> None:
    asked = with_(asked, settings=asked.settings.only("umap"))
    assert run(with_(asked, page=None)) == ["written"]
    assert not (asked.out / "vis_umap.html").exists()
    assert run(with_(asked, page=None)) == ["up to date"]
    assert run(asked) == ["drawn again"]
    (asked.out / "vis_umap.html").unlink()
    assert run(asked) == ["drawn again"]
    assert run(asked) == ["up to date"]


def test_a_page_of_someone_else_is_not_replaced(asked) -> None:
    asked = with_(asked, settings=asked.settings.only("umap"))
    run(with_(asked, page=None))
    (asked.out / "vis_umap.html").write_text("mine")
    assert "vis_umap.html was made by something else" in refusal(asked)


def test_coordinates_are_safe_when_drawing_fails(asked, monkeypatch) -> None:
    def fail(*args: object) -> None:
        raise ZeroDivisionError("no ink")

    with monkeypatch.context() as patch:
        patch.setattr("gpuvis.page.html.draw", fail)
        assert run(asked) == ["not drawn", "not drawn"]
    backend = FirstColumns()
    assert run(asked, backend) == ["drawn again", "drawn again"]
    assert backend.calls == []


def failing(error: BaseException) -> FirstColumns:
    class Failing(FirstColumns):
        def umap(self, *args):
            raise error

    return Failing()


def failures(asked: Job, backend: FirstColumns) -> list[tuple[str, int]]:
    outcomes = stages.run(job.decide(asked), Selection(backend, "for the test"), StepTimer())
    return [(str(outcome.error or outcome.result), outcome.exit_code) for outcome in outcomes]


def test_one_map_that_fails_does_not_cost_the_other(asked) -> None:
    (said, code), other = failures(asked, failing(ZeroDivisionError("oh\nno")))
    assert (said, code) == (f"{asked.folder}: unexpected ZeroDivisionError: oh no", 1)
    assert other == ("written", 0)
    assert not list(asked.out.glob("vis_umap*"))


@pytest.mark.parametrize(
    "error", [MemoryError("9 GiB"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 GiB")]
)
def test_memory_that_runs_out_ends_with_4(asked, monkeypatch, error) -> None:
    (said, code), other = failures(asked, failing(error))
    assert code == 4
    assert re.search(r"umap of 40 × 8 does not fit in memory \(.*9 GiB\); use a smaller pca_dim", said)
    assert other == ("written", 0)

    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr("gpuvis.page.html.draw", fail)
    (said, code), _ = failures(with_(asked, overwrite=True), FirstColumns())
    assert code == 4
    assert re.search(r"memory ran out \(.*9 GiB\)", said)


def test_a_cache_that_changes_while_it_is_read_gives_no_map(asked) -> None:
    class Meddling(FirstColumns):
        def umap(self, *args):
            _recache(asked)
            return super().umap(*args)

    ((said, _),) = failures(with_(asked, settings=asked.settings.only("umap")), Meddling())
    assert "was written again while it was read; run again" in said
    assert not list(asked.out.glob("*vis*"))


def test_a_map_that_is_not_whole_is_not_saved(asked) -> None:
    class Exploding(FirstColumns):
        def umap(self, X, *args):
            Y = X[:, :2].copy()
            Y[3] = np.nan
            return Layout(Y, [])

    (said, _), _ = failures(asked, Exploding())
    assert said.startswith("umap gave coordinates that are not finite (rows: 1)")
    assert not list(asked.out.glob("vis_umap*"))


def test_an_interrupt_never_splits_coordinates_from_their_record(asked, monkeypatch) -> None:
    """Ctrl-C at any moment of the saving: the next run finds the map whole, or what was there before."""
    replace, moment, before = Path.replace, 0, None
    for moment in range(1, 9):
        now = with_(asked, settings=Settings(seed=moment))
        calls = 0

        def interrupting(self: Path, target: Path) -> Path:
            nonlocal calls
            calls += 1
            if calls == moment:  # noqa: B023
                signal.raise_signal(signal.SIGINT)
            return replace(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", interrupting)
            try:
                run(with_(now, overwrite=True), Scaled())
            except KeyboardInterrupt:
                pass
            else:
                break
        told = json.loads((asked.out / "vis_umap_run.json").read_text())
        whole = now if told["effective"]["seed"] == moment else before
        assert run(whole, Scaled())[0] in {"up to date", "drawn again"}, moment
        assert not list(asked.out.glob(".*"))
        before = now
    assert moment == 6  # record, coordinates, measures, page, record


def test_a_page_of_an_earlier_map_does_not_stay(asked) -> None:
    asked = with_(asked, settings=asked.settings.only("umap"))
    run(asked)
    other = with_(asked, page=None, overwrite=True, settings=Settings(seed=2))
    assert run(other) == ["written"]
    assert not (asked.out / "vis_umap.html").exists()


def test_a_foreign_page_is_no_matter_where_none_is_asked_for(asked) -> None:
    asked = with_(asked, settings=asked.settings.only("umap"), page=None)
    (asked.out / "vis_umap.html").write_text("mine")
    assert run(asked) == ["written"]
    assert run(asked) == ["up to date"]
    assert (asked.out / "vis_umap.html").read_text() == "mine"


def test_the_map_of_another_cache_is_named(asked, make_cache, tmp_path) -> None:
    other = make_cache("other", seed=5)
    run(with_(asked, out=tmp_path / "out"))
    assert f"it is the map of {asked.folder}" in str(
        job.decide(with_(asked, folder=other, out=tmp_path / "out")).settled[0].error
    )


def test_what_the_libraries_warn_of_is_recorded(asked) -> None:
    run(asked)
    assert json.loads((asked.out / "vis_tsne_run.json").read_text())["notes"][-1] == "for the test"


def test_a_write_is_whole_or_not_at_all(tmp_path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("new, but half")
        raise ZeroDivisionError
    assert content(tmp_path) == {"file": b"old"}
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert content(tmp_path) == {"file": b"new"}


def test_what_runs_that_died_had_begun_is_swept(asked, tmp_path) -> None:
    """By the next run, whatever it does; other files stay."""
    list(stages.run(job.decide(asked), Selection(FirstColumns(), ""), StepTimer()))
    victim, before = tmp_path / "victim", content(asked.out)
    victim.write_text("kept")
    files = asked.outputs("umap")
    for path in (files.coords, files.page, files.record, files.static("pdf"), asked.out / "scores_run.json"):
        path.with_name(f".{path.name}.0a1b2c3d.part").symlink_to(victim)
        path.with_name(f".{path.name}.part").touch()  # of earlier versions
    for name in (".others.part", ".vis_umap_coords.npy.0a1b2c3.part", "vis_umap_coords.npy.0a1b2c3d.part"):
        (asked.out / name).touch()
        before[name] = b""
    (asked.out / ".vis_umap_quality.npy.part").mkdir()
    list(stages.run(job.decide(asked), Selection(FirstColumns(), ""), StepTimer()))
    (asked.out / ".vis_umap_quality.npy.part").rmdir()
    assert content(asked.out) == before
    assert victim.read_text() == "kept"


def test_nothing_is_written_through_a_link(tmp_path, monkeypatch) -> None:
    victim, path = tmp_path / "victim", tmp_path / "file"
    for there in (victim, path):
        there.write_text("kept")
    monkeypatch.setattr(on_disk, "token_hex", lambda size: "0" * 2 * size)  # as if it could be guessed
    (tmp_path / ".file.00000000.part").symlink_to(victim)
    with pytest.raises(FileExistsError), replacing(path) as temporary:
        temporary.write_text("new")
    assert [victim.read_text(), path.read_text()] == ["kept", "kept"]
    assert not path.is_symlink()


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from gpuvis.errors import OutputError
from gpuvis.results.outputs import Outputs
from gpuvis.results.record import CacheRecord, RunRecord
files = Outputs(Path(sys.argv[1]), "vis", "umap")
files.save_quality(np.zeros(3))
before = files.quality.read_bytes()
resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
try:
    files.save_quality(np.ones(200))
except OutputError as error:
    print(error)
assert files.quality.read_bytes() == before
assert [path.name for path in files.folder.iterdir()] == [files.quality.name]
"""


def test_a_file_that_lacks_its_last_bytes_does_not_replace_the_good_one(tmp_path) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True, check=False)
    assert done.stdout == f"{tmp_path}/vis_umap_quality.npy could not be written: File too large\n", done.stderr
    assert done.returncode == 0, done.stderr


WRITERS = """
import resource, sys
from pathlib import Path
import numpy as np
from gpuvis.errors import OutputError
from gpuvis.io import table, writer
from gpuvis.results import outputs
from gpuvis.results.record import CacheRecord, RunRecord
folder = Path(sys.argv[1])
files = outputs.Outputs(folder, "vis", "umap")


def save_table(text):
    with outputs.saving(folder / "scores_neighbors.csv") as temporary:
        table.write(temporary, table.strings({"a": [text] * 9}))


def write_whole_cache(text):
    X = np.arange(40 * len(text), dtype=np.float32).reshape(40, -1)
    writer.write_cache(folder / "cache", X, {"file_name": [text] * 40}, np.arange(40))


writers = [
    lambda text: files.save_quality(np.ones(5 * len(text))),
    lambda text: files.save_drawn(files.page, text.encode() * 9),
    lambda text: files.save_drawn(files.static("png"), text.encode() * 9),
    lambda text: files.save_record(RunRecord(CacheRecord(5, 3, {}, text * 9), {}, {})),
    save_table,
    write_whole_cache,
]
for write in writers:
    write("abcdefghi")
before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
for write in writers:
    try:
        write("abcdefghij" * 8)
    except OutputError as error:
        print(error)
assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
"""


def test_no_file_that_is_not_whole_replaces_the_good_one(tmp_path) -> None:
    done = subprocess.run([sys.executable, "-c", WRITERS, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = ["vis_umap_quality.npy", "vis_umap.html", "vis_umap.png", "vis_umap_run.json", "scores_neighbors.csv"]
    told = [f"{tmp_path}/{name} could not be written: File too large" for name in names]
    assert done.stdout.splitlines()[:-1] == told
    assert "File too large" in done.stdout.splitlines()[-1]


def test_a_lock_leaves_nothing_where_nothing_was_written(tmp_path) -> None:
    with locked(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").mkdir()
    with locked(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "made").touch()
    assert list(content(tmp_path)) == ["a/b/made"]
    with locked(tmp_path / "a"):
        pass
    assert (tmp_path / "a").is_dir()


def test_the_second_run_in_a_folder_is_told(asked) -> None:
    with locked(asked.out), pytest.raises(OutputExistsError, match="another gpuvis is writing maps here"):
        run(asked)
    assert run(asked) == ["written", "written"]
    assert not (asked.out / ".gpuvis.lock").exists()


@pytest.mark.parametrize("free", [10**6, 10**12])
def test_a_full_disk_is_told_before_the_work(asked, monkeypatch, free) -> None:
    monkeypatch.setattr(on_disk.shutil, "disk_usage", lambda path: _Usage(free))
    if free < 10**7:
        with pytest.raises(OutputError, match="has 976 KiB free, but the outputs need about 10[0-9]+ KiB; make room"):
            job.check(asked)
        assert len(job.check(with_(asked, page=None)).to_do) == 2
    else:
        assert len(job.check(asked).to_do) == 2


class _Usage:
    def __init__(self, free: int) -> None:
        self.free = free


def test_a_read_only_folder_is_told_before_the_work(asked) -> None:
    with (
        as_nobody(asked.folder),
        pytest.raises(OutputError, match="is read-only; name a folder that can be written to with --out-dir"),
    ):
        job.check(asked)


def test_a_file_in_the_way_of_the_output_folder_is_told(asked, tmp_path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="out is not a folder, so nothing can be written below it"):
        job.check(with_(asked, out=tmp_path / "out" / "below"))


def test_a_map_that_promises_to_repeat_is_deterministic_enough(asked) -> None:
    class Same(FirstColumns):
        def promise(self, method, plan):
            return "identical coordinates"

    deterministic = with_(asked, settings=replace(asked.settings, deterministic=True))
    assert run(asked, Same()) == ["written", "written"]
    assert run(deterministic, Same()) == ["up to date", "up to date"]
    run(with_(asked, overwrite=True), FirstColumns())
    assert run(deterministic, FirstColumns()) == ["refused", "refused"]


@pytest.mark.parametrize("needed", [1, 1 << 10, (1 << 20) + 1])
def test_a_nearly_full_disk_is_told_in_numbers_that_differ(tmp_path, monkeypatch, needed) -> None:
    monkeypatch.setattr(on_disk.shutil, "disk_usage", lambda path: _Usage(needed - 1))
    with pytest.raises(OutputError) as raised:
        check_writable(tmp_path, needed)
    free, wanted = re.findall(r"([0-9]+) ([KM]iB)", str(raised.value))
    assert int(free[0]) < int(wanted[0])
    assert free[1] == wanted[1]


def _lock_failing(monkeypatch, number: int) -> None:
    def flock(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, caplog, number) -> None:
    _lock_failing(monkeypatch, number)
    with locked(tmp_path / "out"):
        (tmp_path / "out/made").touch()
    assert f"this file system has no locks ({os.strerror(number)})" in caplog.text
    assert list(content(tmp_path)) == ["out/made"]


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EINTR, errno.EIO])
def test_a_lock_that_fails_is_told_and_leaves_nothing(tmp_path, monkeypatch, number) -> None:
    _lock_failing(monkeypatch, number)
    told = f"cannot be locked against other runs: {os.strerror(number)}; run again"
    with pytest.raises(OutputError, match=told), locked(tmp_path / "out"):
        raise AssertionError
    assert list(tmp_path.iterdir()) == []


def test_outputs_of_another_user_are_told(asked) -> None:
    run(asked)
    coords = asked.out / "vis_umap_coords.npy"
    coords.chmod(0o600)
    asked.out.chmod(0o777)
    with as_nobody(asked.folder):
        (outcome,) = batch.run(batch.Request((asked.folder,), asked.settings.only("umap")), Log()).outcomes
    told = f"{asked.folder}: {coords} cannot be used: Permission denied; it may be another user's: have them allow it"
    assert str(outcome.error).startswith(told)
    assert outcome.exit_code == 1


PIPES = ("vis_umap_coords.npy", "vis_umap_run.json", "vis_umap_quality.npy", "vis_umap.html", "scores_neighbors.csv",
         "scores_centroid.csv", "scores_run.json")  # fmt: skip


@pytest.mark.parametrize("name", PIPES)
def test_a_pipe_in_the_place_of_an_output_is_not_waited_for(asked, name) -> None:
    asked = with_(asked, settings=asked.settings.only("umap"), outliers=True)
    run(asked)
    (asked.out / name).unlink(missing_ok=True)
    os.mkfifo(asked.out / name)
    signal.alarm(30)
    try:
        assert "refused" in run(asked)
        run(with_(asked, quality="none"))
        run(with_(asked, only_draw=True))
        assert "written" in run(with_(asked, overwrite=True))
    finally:
        signal.alarm(0)
    assert (asked.out / name).is_file() or name.startswith("scores")  # which the double cannot make
