"""The command line, within this process; tests/process runs it from outside."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from broken import BROKEN
from click.testing import CliRunner, Result
from examples import content
from rich.console import Console

from gpuvis import __version__
from gpuvis.cli.console import Display, Paths
from gpuvis.cli.main import main
from gpuvis.jobs import batch
from gpuvis.jobs.job import Decision
from gpuvis.jobs.outcome import Outcome
from gpuvis.page.options import Page
from gpuvis.results.outputs import Action, Status
from gpuvis.settings import Settings, Tsne, Umap


def call(*args: str | Path) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args], catch_exceptions=False)


@pytest.fixture
def asked(monkeypatch) -> list[batch.Request]:
    """Collect what the command line asks for."""
    requests: list[batch.Request] = []

    def run(request: batch.Request, watcher: object, connect: None) -> batch.Report:
        requests.append(request)
        return batch.Report([], "cpu")

    monkeypatch.setattr("gpuvis.jobs.batch.run_with", run)
    return requests


def test_the_call_that_users_type_today(asked) -> None:
    folder = "feat_cache_vis/hf-hub_timm_ViT-SO400M-16-SigLIP2-384_cs/test/seed1"
    got = call("reduce", *f"--cache_dir {folder} --umap --pca_dim 50 --out_prefix vis --overwrite".split())
    assert got.exit_code == 0
    assert asked == [batch.Request((Path(folder),), Settings(pca_dim=50), overwrite=True)]


EVERY = {
    "pca_dim": "50",
    "seed": "7",
    "umap_optimizer": "umap-learn",
    "tsne_method": "exact",
    "threads": "3",
    "umap_neighbors": "9",
    "umap_min_dist": "0.3",
    "umap_metric": "cosine",
    "tsne_perplexity": "12",
    "tsne_metric": "euclidean",
    "tsne_init": "random",
    "out_prefix": "map",
    "out_dir": "out",
    "color_by": "split",
    "hover": 'a, "b,c",d',
    "timeout": "90.5",
}


@pytest.mark.parametrize("spell", [lambda name: name, lambda name: name.replace("_", "-")], ids=["_", "-"])
def test_every_option_reaches_its_setting_in_both_spellings(asked, spell) -> None:
    flags = [text for name, value in EVERY.items() for text in (f"--{spell(name)}", value)]
    got = call("reduce", "a", f"--{spell('cache_dir')}", "b", "--umap", "--tsne", "--backend", "cpu", *flags)
    assert got.exit_code == 0, got.output
    assert asked == [
        batch.Request(
            roots=(Path("a"), Path("b")),
            settings=Settings(
                umap=Umap(n_neighbors=9, min_dist=0.3, metric="cosine", optimizer="umap-learn"),
                tsne=Tsne(perplexity=12, metric="euclidean", init="random", method="exact"),
                pca_dim=50,
                seed=7,
                threads=3,
            ),
            page=Page(color_by="split", hover=("a", "b,c", "d")),
            prefix="map",
            overwrite=False,
            out_dir=Path("out"),
            backend="cpu",
            timeout=90.5,
        )
    ]


@pytest.mark.parametrize(
    ("flags", "methods"),
    [((), ("umap",)), (("--umap",), ("umap",)), (("--tsne",), ("tsne",)), (("--tsne", "--umap"), ("umap", "tsne"))],
)
def test_methods(asked, flags, methods) -> None:
    call("reduce", "a", *flags)
    assert asked[0].settings.methods == methods


def test_defaults_are_those_of_the_settings(asked) -> None:
    call("reduce", "a", "--umap", "--tsne")
    assert asked == [batch.Request((Path("a"),), Settings(tsne=Tsne()))]
    call("reduce", "a", "--no-html")
    assert asked[1].page is None


def test_any_seed_will_do_and_random_draws_one(asked) -> None:
    for text in ("-1", str(10**30), "random", "random"):
        call("reduce", "a", "--seed", text)
    seeds = [request.settings.seed for request in asked]
    assert seeds[:2] == [-1, 10**30]
    assert seeds[2] != seeds[3]
    assert all(0 <= request.settings.random_state < 2**32 for request in asked)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "name a cache folder"),
        (("a", "--pca_dim", "x"), "'x' is not a valid integer"),
        (("a", "--pca_dim", "0"), "pca_dim has to be a whole number of 2 or more; found 0"),
        (("a", "--umap_metric", "nix"), "umap_metric has to be one of euclidean"),
        (("a", "--tsne_init", "nix"), "'nix' is not one of 'pca', 'random'"),
        (("a", "--backend", "tpu"), "'tpu' is not one of"),
        (("a", "--timeout", "0"), "timeout has to be a number of seconds above 0; found 0"),
        (("a", "--timeout", "nan"), "timeout has to be a number of seconds above 0; found nan"),
        (("a", "--seed", "one"), "'one' is neither a whole number nor the word random"),
        (("a", "--threads", "0"), "'0' is no whole number above 0"),
        (("a", "--threads", "9999"), "threads has to be a whole number from 1 to 1024; found 9999"),
        (("a", "--tsne_method", "nix"), "'nix' is not one of 'auto', 'barnes_hut', 'exact'"),
        (("",), "the path is empty"),
        (("a", "--out_dir", ""), "the path is empty"),
        (("a", "--hover", "a\rb"), "is no list of columns"),
        (("a", "--out_prefix", "a/b"), "out_prefix has to be the start of a file name; found 'a/b'"),
        (("a", "--perplexity", "3"), "No such option"),
    ],
)
def test_bad_options_end_with_2(args, message) -> None:
    got = call("reduce", *args)
    assert got.exit_code == 2
    assert message in got.stderr
    assert got.stdout == ""


def test_a_gpu_that_is_not_there_ends_with_3(make_cache) -> None:
    folder = make_cache()
    before = content(folder)
    got = call("reduce", folder, "--backend", "gpu")
    assert got.exit_code == 3
    assert re.fullmatch(r"error: the GPU backend cannot be used: .*; use --backend cpu or auto .*\n", got.stderr)
    assert content(folder) == before


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_cache_is_one_line_and_nothing_is_computed(make_cache, tmp_path, monkeypatch, backend, name) -> None:
    monkeypatch.chdir(tmp_path)
    folder = make_cache()
    break_it, message = BROKEN[name]
    break_it(folder)
    before = content(tmp_path)
    got = call("reduce", folder, "-q")
    assert got.exit_code == 1
    assert got.stdout == ""
    assert re.fullmatch(r"error: [^\n]+\n", got.stderr)
    assert re.search(message, got.stderr)
    assert backend.calls == []
    assert content(tmp_path) == before


def test_paths_go_to_stdout_and_talk_to_stderr(make_cache, backend) -> None:
    folder = make_cache("my [red]cache[/red], 1")
    got = call("reduce", folder, "--umap_neighbors", "99")
    assert got.exit_code == 0
    names = ("vis_umap_coords.npy", "vis_umap_quality.npy", "vis_umap.html", "vis_umap_run.json")
    assert got.stdout == "".join(f"{folder / name}\n" for name in names)
    assert f"note: {folder}: umap_neighbors 99 is too large for 40 rows: 39 is used" in got.stderr
    assert f"{folder}: umap written in" in got.stderr
    assert re.search(
        r"folder +rows × columns +method +backend +seconds +recall \(PCA\) +trust \(PCA\)"
        r" +triplets \(PCA\) +labels \(original\) +result",
        got.stderr,
    )
    assert re.search(rf"{re.escape(str(folder))} +40 × 8 +umap +cpu +[0-9.]+ .*%\) +written", got.stderr)
    assert got.stderr.splitlines()[-1] == "1 written"
    again = call("reduce", folder, "--umap_neighbors", "99")
    assert (again.exit_code, again.stdout) == (0, "")
    assert "up to date" in again.stderr


def test_quiet_says_nothing_but_errors(make_cache, backend) -> None:
    folder = make_cache()
    got = call("reduce", folder, "-q", "--umap_neighbors", "99")
    assert got.stderr == ""
    assert len(got.stdout.splitlines()) == 4
    got = call("reduce", folder, "-q", "--umap_neighbors", "99", "--seed", "2")
    assert got.exit_code == 1
    assert re.fullmatch(r"error: .* it was made with seed 1 \(now 2\); use --overwrite .*\n", got.stderr)


def test_verbose_tells_the_steps(make_cache, backend) -> None:
    got = call("reduce", make_cache(), "-v")
    assert [line.rpartition(": ")[2] for line in got.stderr.splitlines() if line.startswith("[1/1]")] == [
        *("read", "load", "umap", "save", "nearest", "quality", "draw")
    ]
    assert "backend: cpu, because for the test" in got.stderr


def test_a_batch_ends_with_the_largest_code_and_counts(make_cache, tmp_path, backend) -> None:
    make_cache("t/a")
    (make_cache("t/b") / "metadata.csv").unlink()
    got = call("reduce", tmp_path / "t")
    assert got.exit_code == 1
    assert f"error: {tmp_path}/t/b: metadata.csv is missing; write the cache again" in got.stderr
    assert got.stderr.splitlines()[-1] == "1 failed, 1 written"
    assert len(got.stdout.splitlines()) == 4


def test_long_folder_names_on_a_narrow_terminal(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    folder = Path("feat_cache_vis/hf-hub_timm_ViT-SO400M-16-SigLIP2-384_cs/test/seed1")
    (asked,) = batch.Request((folder,), Settings()).jobs()
    display = Display(0, lambda paths: None)
    display.console = Console(width=70, file=io.StringIO())
    display.begin([Decision(asked, asked.look(), {"umap": Status(Action.COMPUTE)})], "cpu")
    display.folder(1, folder)
    shown = display._progress.tasks[0].fields["where"]
    assert len(shown) == 20
    assert shown.startswith("…")
    assert shown.endswith("/test/seed1")
    display.summary(batch.Report([Outcome(folder, "written", "umap", 1400, 1152, 3.2)], "cpu"))
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "seed1" in line]
    assert line.split() == [str(folder), "1,400", "×", "1,152", "umap", "cpu", "3.2", "written"]


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_the_summary_is_whole_on_any_terminal(capsys, monkeypatch, term) -> None:
    for name, value in {"TERM": term, "COLUMNS": "80", "FORCE_COLOR": "1", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    folder = Path("feat_cache_vis/hf-hub_timm_ViT-SO400M-16-SigLIP2-384_cs/test/seed1")
    outcome = Outcome(folder, "written", "umap", 1400, 1152, 3.2)
    with Display(0, lambda paths: None) as display:
        display.outcome(outcome)
    display.summary(batch.Report([outcome], "cpu"))
    told = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert re.search(r"folder +rows × columns +method +backend +seconds +recall \(PCA\)", told)
    assert re.search(rf"{folder} +1,400 × 1,152 +umap +cpu +3.2 +written", told)
    assert (f"{folder}: umap written in 3.2 s" in told) == (term == "dumb")  # where nothing is shown live


@pytest.mark.parametrize(("terminal", "said"), [(True, "a␛[2J/b\n"), (False, "a\x1b[2J/b\n")])
def test_paths_are_made_harmless_for_people_only(terminal, said, monkeypatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(out, "isatty", lambda: terminal)
    monkeypatch.setattr("sys.stdout", out)
    paths = Paths()
    paths.add([Path("a\x1b[2J/b")])
    paths.flush()
    assert out.buffer.getvalue().decode() == said


def test_version_and_help() -> None:
    assert "\\b" not in call("--help").output + call("reduce", "--help").output
    assert "\n  gpuvis reduce demo_cache  " in call("--help").output
    assert call("--version").output.strip().endswith(__version__)
    told = call("reduce", "--help").output
    for name in EVERY:
        assert f"--{name}" in told
        assert f"--{name.replace('_', '-')}" in told


def test_info_names_the_backend_and_the_versions() -> None:
    told = json.loads(call("info", "--json").stdout)
    assert told["backend"] == "cpu"
    assert told["reason"].startswith("no GPU can be used: ")
    assert told["threads"] >= 1
    assert told["memory_bytes"] > 2**28
    assert {"python", "gpuvis", "torch", "numpy", "scikit-learn", "umap-learn"} <= told["versions"].keys()
    readable = call("info").stdout
    assert re.search(r"^backend +cpu$", readable, re.MULTILINE)
    assert re.search(r"^memory +[0-9.]+ GiB$", readable, re.MULTILINE)


def test_plan_says_what_fits_and_what_would() -> None:
    done = call("plan", "--rows", "1e6", "--dim", "512", "--gpu-memory", "24GiB", "--pca_dim", "50", "--umap", "--tsne")
    assert done.exit_code == 0
    assert "umap         neighbours: exact; repeatable: identical" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("peak ")
    done = call("plan", "--rows", "50e6", "--dim", "1152", "--gpu-memory", "80GiB")
    assert done.exit_code == 4
    assert "peak" in done.stdout
    assert "step umap of 50,000,000 × 1,152 needs 135.2 GiB on the device" in done.stderr
    assert done.stderr.strip().endswith("use --umap_neighbors 16")
    told = json.loads(call("plan", "--rows", "1400", "--dim", "1152", "--gpu-memory", "16GB", "--json").stdout)
    assert told["graphs"]["umap"]["kind"] == "exact"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rows", "4", "--dim", "9", "--gpu-memory", "8GiB"], "4 rows are too few: a map needs 5 or more"),
        (
            ["--rows", "9", "--dim", "9", "--gpu-memory", "80"],
            "'80' is no size of a MiB or more; expected a number",
        ),
        (["--rows", "9", "--dim", "9", "--gpu-memory", "0GiB"], "'0GiB' is no size of a MiB or more"),
        (["--rows", "9.5", "--dim", "9", "--gpu-memory", "8GiB"], "'9.5' is no whole number above 0, as 1400 or 50e6"),
        (["--rows", "9", "--dim", "0", "--gpu-memory", "8GiB"], "'0' is no whole number above 0"),
    ],
)
def test_plan_refuses_what_is_no_job(options, message) -> None:
    done = call("plan", *options)
    assert done.exit_code in {1, 2}
    assert message in done.stderr


@pytest.mark.parametrize(
    ("text", "size"), [("80GiB", 80 << 30), ("24GB", 24 * 10**9), ("1.5 g", 3 << 29), ("500m", 500 << 20)]
)
def test_sizes_have_units(text, size) -> None:
    from gpuvis.cli.options import SIZE

    assert SIZE.convert(text, None, None) == size
