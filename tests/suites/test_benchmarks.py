"""The benchmark: its data, its measures of quality, its verdicts, and a run of it."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import bench
import bench_cluster
import bench_cold
import data
import jobs
import measures
import neighbors
import numpy as np
import others
import pytest
import report
import timing
from jobs import Bar, Job

from gpuvis.io import cache


def ranked(X: np.ndarray, Y: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    monkeypatch.setattr(measures, "MOST_VALUES", 50 * len(X))  # several blocks
    (found,) = measures.ranks(X, [Y], np.arange(len(X)))
    return found


def test_quality_by_ranks_is_quality_by_definition(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    X = measures.digits(300) + rng.standard_normal((300, 64))  # no ties
    for Y in (X[:, [20, 36]], rng.random((300, 2))):
        found = ranked(X, Y, monkeypatch)
        assert measures.trust_of_ranks(found, 300) == pytest.approx(measures.trust(X, Y), abs=1e-5)
        true, near = (measures.true_neighbors(of, 16)[:, 1:] for of in (X, Y))
        assert measures.recall_of_ranks(found) == pytest.approx(measures.recall(near, true), abs=1e-3)


def test_a_perfect_map_has_perfect_quality(monkeypatch) -> None:
    X = np.random.default_rng(0).random((200, 2)).astype(np.float32)
    found = ranked(X, X + 100, monkeypatch)
    assert measures.recall_of_ranks(found) == measures.trust_of_ranks(found, 200) == 1
    same, mirrored, shuffled = measures.triplets(X, [X, -X, X[::-1]], 20_000)
    assert (same, mirrored) == (1, 1)
    assert 0.45 < shuffled < 0.55


def test_points_that_coincide_are_not_their_own_neighbours(monkeypatch) -> None:
    found = ranked(np.random.default_rng(0).random((40, 3)), np.zeros((40, 2)), monkeypatch)
    assert found.shape == (40, 15)
    assert found.max() < 40


def test_made_data_is_a_cache_with_structure(tmp_path) -> None:
    shape = data.Shape(1200, 64)
    got = cache.read(data.made(tmp_path, shape))
    got.verify()
    assert got.notes == ()
    X = got.embeddings.numpy()
    np.testing.assert_allclose(np.linalg.norm(X, axis=1), 1, atol=1e-5)
    labels = got.labels.numpy()
    near = measures.true_neighbors(X, 2)[:, 1]
    assert np.mean(labels[near] == labels) > 0.8
    groups = got.table["ground_truth_L2_num_label"].astype(int).to_numpy()
    centres = np.stack([X[labels == label].mean(0) for label in range(labels.max() + 1)])
    group = np.array([groups[labels == label][0] for label in range(labels.max() + 1)])
    D = np.linalg.norm(centres[:, None] - centres, axis=2)
    alike = group[:, None] == group
    assert D[alike & (D > 0)].mean() < D[~alike].mean()


def test_made_data_is_kept_and_equal_each_time(tmp_path) -> None:
    shape = data.Shape(30, 8, seed=3, dtype="float16")
    folder = data.made(tmp_path / "a", shape)
    before = (folder / "embeddings.pt").stat().st_mtime_ns
    assert data.made(tmp_path / "a", shape) == folder
    assert (folder / "embeddings.pt").stat().st_mtime_ns == before
    one, again, other = (
        cache.read(data.made(tmp_path / name, like)).embeddings
        for name, like in (("a", shape), ("b", shape), ("c", dataclasses.replace(shape, seed=4)))
    )
    assert str(one.dtype) == "torch.float16"
    assert one.equal(again)
    assert not one.equal(other)
    assert {path.name for path in folder.iterdir()} == {"embeddings.pt", "labels.pt", "metadata.csv", "meta.json"}


def test_long_tailed_data_has_many_classes_of_two(tmp_path) -> None:
    got = cache.read(data.made(tmp_path, data.Shape(4000, 16, long_tailed=True)))
    sizes = Counter(Counter(got.table["ground_truth_num_label"]).values())
    assert sizes[2] >= 16
    assert min(sizes) == 2
    assert max(sizes) > 200


def test_data_that_does_not_fit_is_not_begun(tmp_path) -> None:
    with pytest.raises(SystemExit, match=r"clip-.* needs .* GB, and .* GB are free; name another place with --data"):
        data.made(tmp_path, data.Shape(10**12, 512))
    assert list(tmp_path.iterdir()) == []


GOOD = {"recall": 0.4, "trust": 0.96, "triplets": 0.7}


def result(job: Job, ours: dict[str, float] | None = None, seconds: float = 2, runs: int = 3) -> report.Result:
    sides = {
        "plain": timing.Measured([10.0, 12, 14][:runs], [2e9] * runs),
        "ours": timing.Measured([seconds] * runs, [1e9] * runs),
    }
    quality = {"plain": [GOOD] * runs, "ours": [GOOD | (ours or {})] * runs}
    return report.Result(job, sides, quality)


JOB = Job("a", "the job", "umap", data.Shape(10, 4), floor=Bar(5, share=0.5), aim=Bar(8))


def test_the_table_holds_time_against_the_bars() -> None:
    line = report.row(result(JOB))
    cells = [cell.strip() for cell in line.split("|")[1:-1]]
    assert len(cells) == len(report.HEADS)
    assert cells[1:4] == ["12.0 s", "2.0 s", "**6.0×** (5.0–7.0)"]
    assert cells[4:8] == ["5× faster, ≤ 0.5× its peak", "8× faster", "floor yes, aim no", "2.00 / 1.00 GB (0.50×)"]
    assert cells[8:] == ["0.4000 / 0.4000", "0.9600 / 0.9600", "0.7000 / 0.7000"]
    assert "floor no, aim no" in report.row(result(JOB, seconds=3))


@pytest.mark.parametrize(
    ("method", "measure", "allowed"),
    [("umap", "recall", 0.003), ("umap", "trust", 0.003), ("tsne", "recall", 0.01), ("umap", "triplets", 0.01)],
)
def test_quality_that_falls_short_is_told_instead_of_a_time(method, measure, allowed) -> None:
    job = dataclasses.replace(JOB, method=method)
    assert list(report.shortfalls(result(job, {measure: GOOD[measure] - allowed + 1e-4}), None)) == []
    short = result(job, {measure: GOOD[measure] - allowed - 1e-4})
    short.failures += report.shortfalls(short, None)
    assert len(short.failures) == 1
    line = report.row(short)
    assert "**FAILED**" in line
    assert " s |" not in line
    assert "×**" not in line
    assert f"{GOOD[measure] - allowed - 1e-4:.4f}" in line


def test_fewer_seeds_are_judged_less_strictly() -> None:
    assert list(report.shortfalls(result(JOB, {"recall": 0.39}, runs=1), None)) == []
    assert len(list(report.shortfalls(result(JOB, {"recall": 0.38}, runs=1), None))) == 1


def test_the_largest_job_is_held_against_the_smaller_one() -> None:
    job = dataclasses.replace(JOB, smaller="a", floor=Bar(peak=4e9, slower=4.5), aim=Bar(peak=3e9, seconds=8))
    large = result(job, seconds=8.9)
    del large.sides["plain"], large.quality["plain"]
    assert "| floor yes, aim no |" in report.row(large, result(JOB))
    assert "| floor not known, aim no |" in report.row(large)
    assert list(report.shortfalls(large, result(JOB, {"trust": 0.969}))) == []
    assert len(list(report.shortfalls(large, result(JOB, {"trust": 0.971})))) == 1


def test_maps_that_are_unsound_are_told() -> None:
    told = {"rows": 5, "shape": [5, 2], "largest": 49.0}
    assert report.unsound(told, 50) is None
    assert report.unsound(told | {"largest": 51.0}, 50) == "a coordinate of 51 lies beyond 50"
    assert report.unsound(told | {"largest": float("nan")}, 50) == "a coordinate is not finite"
    assert report.unsound(told | {"shape": [4, 2]}, 50) == "coordinates of shape (4, 2) for 5 rows"


def test_every_bar_is_measured_at_full_size() -> None:
    names = {job.name for job in jobs.JOBS if job.floor != Bar()}
    assert names <= set(jobs.SIZES["full"])
    assert set().union(*jobs.SIZES.values()) == {job.name for job in jobs.JOBS}
    for job in jobs.JOBS:
        assert jobs.warm_up(job) != job.data
        assert jobs.warm_up(job).seed > 24  # nor in a study


def test_a_process_is_metered_alone(tmp_path, monkeypatch) -> None:
    ballast = np.ones(200_000_000, np.uint8)  # of this process, which is not that one's
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    code = "import os, time; time.sleep(0.2); assert 'OPENBLAS_CORETYPE' not in os.environ; b = b'1' * 50_000_000"
    given = timing.environment(tmp_path / "home")
    told = timing.metered([sys.executable, "-c", code], given)
    assert told["seconds"] > 0.2
    assert 50e6 < told["peak"] < 100e6 < ballast.nbytes
    with pytest.raises(timing.FailedError, match="ended with code 3: no word"):
        timing.metered([sys.executable, "-c", "raise SystemExit(3)"], given)


def test_a_process_keeps_things_in_its_own_home(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    code = "import os, pathlib; assert 'XDG_CACHE_HOME' not in os.environ; (pathlib.Path.home() / 'kept').touch()"
    timing.metered([sys.executable, "-c", code], timing.environment(tmp_path / "home"), tmp_path)
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["kept"]


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Path:
    """Let the benchmark have small jobs, by t-SNE, which compiles nothing; of fewer rows chance would decide."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # threads that wait for each other take long on a busy machine
    study = Job("study", "t-SNE, two folders", "tsne", data.Shape(400, 8), 4, 2, Bar(1e-6), Bar(1e6))
    monkeypatch.setattr(jobs, "JOBS", [study, Job("umap-mnist", "UMAP, MNIST", "umap", jobs.MNIST)])
    monkeypatch.setattr(jobs, "SIZES", {"quick": {"study": 1, "umap-mnist": 1}})
    monkeypatch.setattr(jobs, "warm_up", lambda job: data.Shape(50, 8, seed=1000))
    out = tmp_path / "here.md"
    monkeypatch.setattr(sys, "argv", ["bench.py", "--data", str(tmp_path / "data"), "--out", str(out)])
    return out


def test_a_whole_run(tiny, capsys, tmp_path) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main()
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert tiny.read_text() == told
    table = [line for line in told.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {len(report.HEADS) + 1}
    assert len(table) == 3
    assert "| floor yes, aim no |" in table[2]
    assert "left out, because no cache of MNIST was given (`--mnist DIR`): UMAP, MNIST" in told
    assert not list((tmp_path / "data").glob("run-*"))


def test_a_run_that_falls_short_ends_with_code_1(tiny, capsys, monkeypatch) -> None:
    def run(side, job, caches, out, seed, home) -> dict:
        out.mkdir(parents=True, exist_ok=True)
        rng, maps = np.random.default_rng(0), []
        for cache_folder in caches:
            X = cache.read(cache_folder).embeddings.numpy()
            maps.append((cache_folder, out / f"{cache_folder.name}.npy"))
            np.save(maps[-1][1], X[:, :2] if side == "plain" else rng.random((len(X), 2)))
        return {"seconds": 12.34, "peak": 1, "maps": maps}

    monkeypatch.setattr(timing, "run", run)
    with pytest.raises(SystemExit) as ended:
        bench.main()
    assert ended.value.code == 1
    told, talk = capsys.readouterr()
    (line,) = (line for line in told.splitlines() if line.startswith("| t-SNE"))
    assert "| **FAILED** |" in line
    assert "| no |" in line
    assert "12.3" not in line + talk
    assert "- FAILED, study: recall 0." in told


def test_a_process_that_fails_is_told(tiny, capsys, monkeypatch) -> None:
    commands = timing.commands

    def broken(side, job, *rest) -> list:
        found = commands(side, job, *rest)
        return [([*command[:-1], "-1"], out) for command, out in found] if side == "plain" else found

    monkeypatch.setattr(timing, "commands", broken)
    with pytest.raises(SystemExit) as ended:
        bench.main()
    assert ended.value.code == 1
    assert "- FAILED, study: plain: ended with code 1: " in capsys.readouterr().out


def test_coordinates_that_are_wrong_are_not_judged(tmp_path) -> None:
    folder = data.made(tmp_path, data.Shape(40, 4))
    for name, Y in (("nan", np.full((40, 2), np.nan)), ("short", np.zeros((39, 2)))):
        np.save(tmp_path / f"{name}.npy", Y)
    asked = {folder: [tmp_path / "nan.npy", tmp_path / "short.npy"]}
    nan, short = timing.judged(asked).values()
    assert not np.isfinite(nan["largest"])
    assert short["shape"] == [39, 2]
    assert "recall" not in json.dumps([nan, short])


def test_programs_are_compared(tmp_path, capsys, monkeypatch) -> None:
    """Of each a row; what is not installed, or fails, is told."""
    monkeypatch.setitem(others.PROGRAMS, "missing", others.Program(others.gpuvis_tsne, "no_such_module"))
    folder = data.made(tmp_path, data.Shape(300, 8))
    names = ["gpuvis, t-SNE", "missing"]
    monkeypatch.setattr(sys, "argv", ["others.py", str(folder), "--pca_dim", "4", "--programs", *names])
    others.main()
    _, _, drawn, missing = capsys.readouterr().out.splitlines()
    assert missing == "| missing | not installed | | | | | |"
    name, cold, warm, *numbers = drawn.strip("| ").split(" | ")
    assert name == "gpuvis, t-SNE"
    assert float(cold) >= float(warm) >= 0
    assert all(float(number) > 0.05 for number in numbers)


@pytest.mark.parametrize(("long", "compiles", "calls"), [(60, False, 2), (0, False, 1), (0, True, 2)])
def test_a_program_is_called_again_unless_that_takes_long(tmp_path, monkeypatch, long, compiles, calls) -> None:
    called = []

    def draw(X: np.ndarray) -> np.ndarray:
        called.append(X)
        return X[:, :2]

    monkeypatch.setattr(others, "LONG", long)
    monkeypatch.setitem(others.PROGRAMS, "stub", others.Program(draw, "numpy", compiles))
    np.save(tmp_path / "matrix.npy", np.zeros((3, 4)))
    others.work("stub", tmp_path / "matrix.npy", tmp_path / "out.npy")
    assert len(called) == calls
    cold, warm = np.load(tmp_path / "out.seconds.npy")
    assert (cold == warm) == (calls == 1)


def test_programs_that_find_neighbours_are_compared(tmp_path, capsys, monkeypatch) -> None:
    X = np.random.default_rng(0).standard_normal((1200, 8)).astype(np.float32)
    np.save(tmp_path / "X.npy", X)
    engine = "scikit-learn, brute force"
    monkeypatch.setattr(sys, "argv", ["neighbors.py", str(tmp_path / "X.npy"), "--k", "5", "--engines", engine])
    neighbors.main()
    assert f"| {engine} | 1.0000 | " in capsys.readouterr().out


def test_workers_are_compared_with_one_process(tmp_path, capsys, monkeypatch) -> None:
    where = ["--data", str(tmp_path), "--runs", "1", "--folders", "2", "--small", "2"]
    monkeypatch.setattr(sys, "argv", ["bench_cluster.py", *where])
    with pytest.raises(SystemExit) as ended:
        bench_cluster.main()
    assert not ended.value.code
    told = capsys.readouterr().out
    assert re.findall(r"^\| (2 of [\d,]+ × \d+) \| (.*?) \| [\d.]+ s \| \d+ MB \| yes \|$", told, re.MULTILINE) == [
        (folders, how) for folders in ("2 of 1,400 × 1152", "2 of 20 × 64") for how in ("one process", "--workers 2")
    ]
    assert re.search(r"A worker adds -?[\d.]+ ms to each small folder\.$", told, re.MULTILINE)


UMAP, DIGITS = bench_cold.Job("umap"), bench_cold.Job("umap", digits=True)


def cold_row(first: float, second: float, peak: float = 0.2e9) -> bench_cold.Row:
    row = bench_cold.Row()
    row.add(({"seconds": first, "peak": peak}, {"seconds": second, "peak": peak / 2}))
    return row


def test_the_first_process_is_held_against_the_second_and_the_plain_script() -> None:
    plain, row = cold_row(30, 20), cold_row(3, 2)
    assert bench_cold.missed(UMAP, row, plain) == []
    first, second, again, of_plain, faster, peak, floors = bench_cold.cells(UMAP, row, plain)
    assert (first, second, again) == ("3.00 s (3.00–3.00)", "2.00 s (2.00–2.00)", "1.50 (≤ 1.5)")
    assert (of_plain, faster) == ("30.0 s / 20.0 s", "**10.0×** (≥ 5)")
    assert (peak, floors) == ("0.20 GB (≤ 0.30)", "yes")
    assert bench_cold.missed(UMAP, cold_row(3.1, 2), plain) == ["first / second"]
    assert bench_cold.missed(UMAP, cold_row(6.1, 6), plain) == ["plain over first"]
    assert bench_cold.missed(UMAP, cold_row(3, 2, 0.31e9), plain) == ["peak memory"]
    assert [*bench_cold.cells(UMAP, cold_row(9, 2), plain)][-1] == "no: first / second, plain over first"


def test_seconds_are_told_but_not_judged() -> None:
    row = cold_row(9, 2, 1e9)
    assert bench_cold.missed(DIGITS, row, None) == []
    assert [*bench_cold.cells(DIGITS, row, None)][1] == "2.00 s (2.00–2.00) (≤ 1.5 s)"


@pytest.mark.parametrize("installs", [True, False])
def test_an_installation_is_put_back_before_each_first_process(tmp_path, installs) -> None:
    """A program that notes its runs beside itself and in its home finds no such notes in the first process."""
    program = '#!/bin/sh\ncat "$0.ran" "$HOME/ran" > /dev/null 2>&1; echo $? >> "$0.ran"; touch "$HOME/ran"\n'

    def install(into: bench_cold.Installed) -> list[str]:
        (into.bin / "gpuvis").write_text(program)
        return ["chmod", "+x", str(into.bin / "gpuvis")] if installs else ["false"]

    one = bench_cold.Installed("ours", tmp_path / "ours", tmp_path)
    if not installs:
        with pytest.raises(timing.FailedError, match="the installation ended with code 1"):
            one.make(install)
        return
    assert one.make(install) >= 0
    for _ in range(2):
        one.twice(DIGITS, tmp_path)
        assert (one.bin / "gpuvis.ran").read_text() == "1\n0\n"


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_what_git_ignores_is_not_copied(tmp_path) -> None:
    tree = tmp_path / "tree"
    (tree / "folder").mkdir(parents=True)
    for name, text in {".gitignore": "*.pyc\n", "folder/new.py": "", "folder/new.pyc": "", "gone": ""}.items():
        (tree / name).write_text(text)
    for command in (["init", "--quiet"], ["add", "gone"]):
        subprocess.run(["git", "-C", str(tree), *command], check=True)
    (tree / "gone").unlink()
    copy = bench_cold.copied(tree, tmp_path / "copy")
    assert {str(path.relative_to(copy)) for path in copy.rglob("*")} == {".gitignore", "folder", "folder/new.py"}


def test_libraries_are_shared_but_gpuvis_is_not(tmp_path) -> None:
    names = {path.name for path in bench_cold.Bench(tmp_path, tmp_path).libraries.iterdir()}
    assert {"numpy", "torch"} <= names
    assert not any("gpuvis" in name or name.endswith(".pth") for name in names)


def in_container(folder: Path, gpuvis: str) -> bench_cold.Image:
    """Return an image that is none: a shell that finds a given program."""
    folder.mkdir()
    for name, text in {"gpuvis": gpuvis, "python": f'exec {shlex.quote(sys.executable)} "$@"'}.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return bench_cold.Image(["env", f"PATH={folder}:/usr/bin:/bin", f"TMPDIR={folder}", "sh", "-c"])


def test_two_processes_are_timed_in_a_container(tmp_path) -> None:
    image = in_container(tmp_path / "bin", f'echo "$@" >> {tmp_path}/log; echo words')
    first, second = image.twice(DIGITS, tmp_path)
    assert first["seconds"] > 0 < second["peak"]
    made, *ran = (tmp_path / "log").read_text().splitlines()
    assert made == "demo cache"
    assert ran == [f"reduce cache --umap --out_dir {out} --quality none" for out in ("first", "second")]
    with pytest.raises(timing.FailedError, match="the container ended with code 0 after 2 of 2 processes"):
        in_container(tmp_path / "broken", '[ "$1" = demo ]').twice(DIGITS, tmp_path)


@pytest.mark.parametrize(("seconds", "code"), [((3, 2), 0), ((9, 2), 1), ((), 1)])
def test_a_run_of_the_first_processes(tmp_path, monkeypatch, capsys, seconds, code) -> None:
    class Stub(bench_cold.Plain):
        def make(self, install=None) -> float:
            return 0

        def twice(self, job, cache) -> bench_cold.Twice:
            if self.name != "plain" and not seconds:
                raise timing.FailedError("ended with code 1: a word")
            first, second = seconds if self.name == "ours" else (30, 20)
            return {"seconds": first, "peak": 1}, {"seconds": second, "peak": 1}

    ours, other = Stub("ours", tmp_path, tmp_path), Stub("other", tmp_path, tmp_path, judged=False)
    monkeypatch.setattr(bench_cold, "Plain", Stub)
    monkeypatch.setattr(bench_cold, "installed", lambda *_: [ours, other])
    monkeypatch.setattr(bench_cold.Bench, "cache", lambda *_: tmp_path)
    monkeypatch.setattr(sys, "argv", ["bench_cold.py", "--data", str(tmp_path), "--runs", "2"])
    with pytest.raises(SystemExit) as ended:
        bench_cold.main()
    assert ended.value.code == code
    told = capsys.readouterr().out
    table = [line for line in told.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 2 * len(bench_cold.JOBS)
    assert {line.count("|") for line in table} == {len(bench_cold.HEADS) + 1}
    assert ("- FAILED, UMAP, 1,400 × 1152, `--pca_dim 50`, ours: " in told) == bool(code)
    assert ("- FAILED, t-SNE, 1,400 × 1152, `--pca_dim 50`, other" in told) == (not seconds)
