"""The commands of gpuvis, all of them: turn flags into requests, run them, print the answer."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from gpuvis.cli.manual import TOPICS, list_topics, show_topic
from gpuvis.cli.options import COUNT, PATH, SIZE, maps_of, of_page, of_settings, option, page_of, settings_of
from gpuvis.cli.terminal import harmless
from gpuvis.errors import DataError
from gpuvis.settings import MIN_ROWS, QUALITIES, Settings
from gpuvis.signals import ignore_stops

ITEMSIZES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


class Command(click.Command):
    """Look for room in memory before libraries are loaded, which break off half-way without it."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; --help is answered before."""
        from gpuvis import machine

        machine.check_room()
        return super().invoke(ctx)


@click.command(cls=Command)
@click.argument("folders", metavar="[FOLDER]...", nargs=-1, type=PATH)
@click.option("--cache_dir", "--cache-dir", "cache_dirs", multiple=True, type=PATH,
              help="The same as FOLDER; may be repeated.")
@of_settings
@option("out_prefix", default="vis", show_default=True, help="Start of the outputs' names.")
@option("out_dir", type=PATH, help="Write the outputs here, under the same relative paths.  [default: beside the cache]")
@click.option("--overwrite", is_flag=True, help="Compute again, whatever is there.")
@of_page
@option("no_html", is_flag=True, help="Draw no page.")
@click.option("--outliers", is_flag=True, help="Score too how well each sample sits with its label: see gpuvis outliers.")
@click.option("--quality", type=click.Choice(QUALITIES), default="auto", show_default=True,
              help="Measure how far each map can be trusted; full: every point of it, however many, which takes long.")
@option("min_trust", type=float, metavar="X",
        help="Fail with code 5, and keep the files, if the trustworthiness of a map is below X.  [default: never]")
@click.option("--backend", type=click.Choice(["auto", "gpu", "cpu"]), default="auto", show_default=True,
              help="Where to work.")
@option("gpu_memory_limit", type=SIZE, help="Plan within so much of the GPU's memory, as 20GiB.  [default: what is free]")
@click.option("--timeout", type=float, metavar="SECONDS",
              help="Longest that one step of a map may take; after that its folder fails, and the next one goes on.  "
                   "[default: no limit]")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("-v", "--verbose", is_flag=True, help="Say what is done, step by step.")
def reduce(folders: tuple[Path, ...], cache_dirs: tuple[Path, ...], quiet: bool, verbose: bool, **flags: Any) -> None:
    """Reduce cached embeddings to 2-D maps.

    FOLDER is a cache folder (embeddings.pt, metadata.csv), or a folder with cache folders anywhere below it. Beside
    each cache it writes vis_umap_coords.npy, vis_umap_quality.npy, vis_umap.html and vis_umap_run.json (vis_tsne_…
    for t-SNE), and prints their paths. Maps that are up to date are skipped; others are replaced only with --overwrite.

    \b
    Exit codes: 0 done, 1 bad input or outputs in the way, 2 bad option, 3 no GPU, 4 out of memory, 5 below --min-trust,
    130 or 143 stopped by Ctrl-C or SIGTERM. With several folders, the largest.
    """  # fmt: skip
    if not (folders or cache_dirs):
        raise click.UsageError("name a cache folder, or a folder with cache folders below it")
    from gpuvis.jobs import batch  # click answers --help at once; this takes longer

    page = page_of(flags)
    request = batch.Request(
        roots=(*folders, *cache_dirs),
        settings=settings_of(flags),
        page=None if flags["no_html"] else page,
        prefix=flags["out_prefix"],
        overwrite=flags["overwrite"],
        out_dir=flags["out_dir"],
        backend=flags["backend"],
        timeout=flags["timeout"],
        gpu_memory_limit=flags["gpu_memory_limit"],
        quality=flags["quality"],
        outliers=flags["outliers"],
        min_trust=flags["min_trust"],
    )
    _run(request, quiet, verbose)


@click.command(cls=Command)
@click.argument("folders", metavar="[FOLDER]...", nargs=-1, type=PATH)
@click.option("--cache_dir", "--cache-dir", "cache_dirs", multiple=True, type=PATH,
              help="The same as FOLDER; may be repeated.")
@click.option("--umap", is_flag=True, help="Draw the UMAP map only.")
@click.option("--tsne", is_flag=True, help="Draw the t-SNE map only.")
@option("out_prefix", default="vis", show_default=True, help="Start of the outputs' names.")
@option("out_dir", type=PATH, help="The coordinates lie here, under the same relative paths.  [default: beside the cache]")
@click.option("--overwrite", is_flag=True, help="Replace a page that something else has made.")
@of_page
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("-v", "--verbose", is_flag=True, help="Say what is done, step by step.")
def plot(folders: tuple[Path, ...], cache_dirs: tuple[Path, ...], quiet: bool, verbose: bool, **flags: Any) -> None:
    """Draw pages again from saved coordinates, with no reduction.

    FOLDER is a cache folder with coordinates, or a folder with such folders anywhere below it. Any number of rows
    will do, and the embeddings need not be there: only the nearest neighbours of points are taken from them.
    """  # fmt: skip
    if not (folders or cache_dirs):
        raise click.UsageError("name a cache folder with coordinates, or a folder with such folders below it")
    from gpuvis.jobs import batch

    request = batch.Request(
        roots=(*folders, *cache_dirs),
        settings=maps_of(flags),
        page=page_of(flags),
        prefix=flags["out_prefix"],
        overwrite=flags["overwrite"],
        out_dir=flags["out_dir"],
        backend="cpu",
        only_draw=True,
        quality="none",
    )
    _run(request, quiet, verbose)


@click.command(cls=Command)
@click.argument("folders", metavar="FOLDER...", nargs=-1, required=True, type=PATH)
@option("out_dir", type=PATH, help="Write the scores here, under the same relative paths.  [default: beside the cache]")
@click.option("--overwrite", is_flag=True, help="Compute again, whatever is there.")
@option("threads", type=COUNT, help="CPU threads to use.  [default: those that the process may use]")
@click.option("--backend", type=click.Choice(["auto", "gpu", "cpu"]), default="auto", show_default=True,
              help="Where to work.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("-v", "--verbose", is_flag=True, help="Say what is done, step by step.")
def outliers(folders: tuple[Path, ...], quiet: bool, verbose: bool, **flags: Any) -> None:
    """Find samples that sit badly with their label: wrong labels, outliers and duplicates.

    FOLDER is a cache folder, or a folder with caches anywhere below it. Beside each cache it writes scores_centroid.csv
    and scores_neighbors.csv, prints their paths, and lists the most suspicious labels, suspects with a !. Pages that are
    drawn later show the scores.
    """  # fmt: skip
    from gpuvis.jobs import batch

    request = batch.Request(
        roots=folders,
        settings=Settings(threads=flags["threads"]),
        page=None,
        overwrite=flags["overwrite"],
        out_dir=flags["out_dir"],
        backend=flags["backend"],
        maps=False,
        outliers=True,
    )
    _run(request, quiet, verbose)


def _run(request: Any, quiet: bool, verbose: bool) -> None:
    """Run a batch, show how it goes, and exit with its code."""
    from gpuvis.cli.console import Display, Paths
    from gpuvis.jobs import batch

    paths = Paths()
    with Display(int(verbose) - int(quiet), paths.add) as display:
        report = batch.run(request, display)
    if report.stopped:  # it has been heard, and more of them shall not cost the summary
        ignore_stops()
    paths.flush()
    display.summary(report)  # last, where people look
    if paths.error:
        display.say(f"stdout: {paths.error.strerror}; the files are written", "bold red", "error: ")
    if report.stopped:
        on = "" if request.overwrite else "; the same command goes on from there"
        display.say(f"stopped by {report.stopped}: {_finished(report)}{on}")
        raise report.stopped
    sys.exit(max(report.exit_code, 1 if paths.error else 0))


def _finished(report: Any) -> str:
    done = sum(bool(outcome.paths) for outcome in report.outcomes)
    return f"{done} {'map was' if done == 1 else 'maps were'} finished, and no file is half written"


@click.command(cls=Command)
@click.argument("folder", type=PATH, default="demo_cache", required=False)
def demo(folder: Path) -> None:
    """Write a small real cache to FOLDER: 1,797 handwritten digits, with their images."""
    from gpuvis import demo

    click.echo(os.fsencode(demo.write(folder)))


@click.command(cls=Command)
@click.argument("paths", metavar="FOLDER|FILE...", nargs=-1, required=True, type=PATH)
@click.option("--umap", is_flag=True, help="Of folders, measure the UMAP map only.")
@click.option("--tsne", is_flag=True, help="Of folders, measure the t-SNE map only.")
@option("out_prefix", default="vis", show_default=True, help="Start of the coordinates' names.")
@option(
    "out_dir", type=PATH, help="The coordinates lie here, under the same relative paths.  [default: beside the cache]"
)
@click.option(
    "--backend", type=click.Choice(["auto", "gpu", "cpu"]), default="auto", show_default=True, help="Where to work."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def score(paths: tuple[Path, ...], backend: str, as_json: bool, **flags: Any) -> None:
    """Measure how far maps that are there can be trusted, whoever made them.

    FOLDER is a cache folder with coordinates, or a folder with such folders anywhere below it. FILE is a map by any
    name: a .npy of two columns, in the folder of its cache or below. Each map is compared with the original
    embeddings, beside a plain PCA map.
    """  # fmt: skip
    from gpuvis.backends import choose
    from gpuvis.jobs import batch, measure
    from gpuvis.quality import report

    files = [path for path in paths if _is_file(path)]
    folders = tuple(path for path in paths if path not in files)
    request = batch.Request(folders, maps_of(flags), prefix=flags["out_prefix"], out_dir=flags["out_dir"])
    jobs = request.jobs() if folders else []
    code, measured = 0, {}
    for one in measure.scores(jobs, files, choose(backend, rows=measure.rows(jobs, files))[0]):
        if one.error:
            click.echo(harmless(f"error: {one.error}"), err=True)
            code = max(code, one.error.exit_code)
        if one.measured:
            measured[str(one.path)] = one.measured
            if not as_json:
                click.echo(harmless("\n".join([str(one.path), *report.report(one.measured)])))
            for note in filter(None, (one.changed, *report.warnings(one.measured))):
                click.echo(harmless(f"note: {one.path}: {note}"), err=True)
    if as_json:
        click.echo(json.dumps(measured, indent=2))
    click.get_current_context().exit(code)


def _is_file(path: Path) -> bool:
    """Tell a map from a folder, also where neither is there."""
    return os.path.isfile(path) or (path.suffix == ".npy" and not os.path.isdir(path))  # noqa: PTH112, PTH113  Path may raise


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(as_json: bool) -> None:
    """Say which backend would be used and why, and on what machine."""
    from dataclasses import asdict

    from gpuvis import machine
    from gpuvis.backends import MIN_GPU_ROWS, choose

    backend, reason = choose("auto")
    facts = {"backend": backend.name, "reason": reason, **asdict(backend.describe()), "versions": machine.versions()}
    if backend.name == "gpu":
        facts["auto"] = f"the GPU from {MIN_GPU_ROWS:,} rows in one command, fewer on the CPU"
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    versions, details = facts.pop("versions"), facts.pop("details")
    facts["memory_bytes"] = f"{facts['memory_bytes'] / 2**30:.1f} GiB"
    for key, value in {**facts, **details, **versions}.items():
        click.echo(f"{key.removesuffix('_bytes'):<19} {value}")


@click.command()  # loads no library, so that any limit will do
@option("rows", type=COUNT, required=True, help="Rows of the embeddings, as 50e6.")
@option("dim", type=COUNT, required=True, help="Columns of the embeddings.")
@option("gpu_memory", type=SIZE, required=True, help="Memory of the GPU that is free, as 80GiB.")
@option("host_memory", type=SIZE, help="Memory of the machine that is free.  [default: not looked at]")
@click.option("--dtype", type=click.Choice(list(ITEMSIZES)), default="float32", show_default=True, help="Of the file.")
@of_settings
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(
    rows: int, dim: int, gpu_memory: int, host_memory: int | None, dtype: str, as_json: bool, **flags: Any
) -> None:
    """Say how a job would be done on a GPU and what memory it would take, without the GPU and without the data.

    The sizes are estimates, from what the libraries' guides and sources say; a job that does not fit ends with code 4
    and what would fit.
    """
    from gpuvis.backends.gpu import limits
    from gpuvis.backends.gpu.memory_model import Bytes
    from gpuvis.backends.gpu.plan import Work, draft
    from gpuvis.backends.gpu.plan import plan as make_plan

    if rows < MIN_ROWS:
        raise DataError(f"{rows} rows are too few: a map needs {MIN_ROWS} or more")
    settings, notes = settings_of(flags).fitted_to(rows, dim)
    limits.check(settings)
    room = Bytes(gpu_memory, host_memory or 0)
    work = Work(rows, dim, ITEMSIZES[dtype], settings, room, host_memory is not None)
    drafted = draft(work)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    click.echo(json.dumps(drafted.describe(), indent=2) if as_json else "\n".join(drafted.lines()))
    make_plan(work)  # says so if it does not fit


@click.command("help")  # this too
@click.argument("topic", metavar="[TOPIC]", required=False, type=click.Choice(TOPICS))
@click.pass_context
def manual(ctx: click.Context, topic: str | None) -> None:
    """Show the manual: the list of its topics, or the page of one."""
    if topic:
        show_topic(topic)
    else:
        list_topics(ctx)


COMMANDS = (reduce, plot, outliers, score, plan, info, demo, manual)
