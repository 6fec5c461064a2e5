"""The commands of gpuvis: each turns flags into a request, runs it, and prints the result."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from gpuvis.cli.manual import TOPICS, list_topics, show_topic
from gpuvis.cli.options import (
    COUNT,
    PATH,
    SIZE,
    backend_option,
    cluster_from,
    cluster_options,
    folder_arguments,
    json_option,
    methods_from,
    option,
    page_from,
    page_options,
    settings_from,
    settings_options,
    threads_option,
    verbosity_options,
)
from gpuvis.cli.terminal import printable
from gpuvis.errors import DataError
from gpuvis.settings import MIN_ROWS, QUALITIES, Settings
from gpuvis.signals import ignore_stops

ITEMSIZES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


class Command(click.Command):
    """Check the free memory before libraries are loaded: some crash while loading if there is too little."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. click answers --help before."""
        from gpuvis import machine

        machine.check_room()
        return super().invoke(ctx)


@click.command(cls=Command)
@folder_arguments
@settings_options
@option("out_prefix", default="vis", show_default=True, help="Start of the outputs' names.")
@option("out_dir", type=PATH, help="Write the outputs here, under the same relative paths.  [default: into each cache folder]")
@click.option("--overwrite", is_flag=True, help="Compute again, even if outputs exist.")
@page_options
@option("no_html", is_flag=True, help="Draw no page.")
@click.option("--outliers", is_flag=True, help="Also score how well each sample fits its label: see gpuvis outliers.")
@click.option("--quality", type=click.Choice(QUALITIES), default="auto", show_default=True,
              help="Measure how far each map can be trusted; full: every point, which takes long if there are many.")
@option("min_trust", type=float, metavar="X",
        help="Fail with code 5, and keep the files, if the trustworthiness of a map is below X.  [default: never]")
@backend_option
@option("gpu_memory_limit", type=SIZE, help="Use at most this much of the GPU's memory, such as 20GiB.  [default: all that is free]")
@click.option("--timeout", type=float, metavar="SECONDS",
              help="Most seconds that one step of a map may take; after that its folder fails, and the next one goes on.  "
                   "[default: no limit]")
@cluster_options
@verbosity_options
def reduce(folders: tuple[Path, ...], cache_dirs: tuple[Path, ...], quiet: bool, verbose: bool, **flags: Any) -> None:
    """Reduce cached embeddings to 2-D maps.

    FOLDER is a cache folder (embeddings.pt, metadata.csv), or a folder with cache folders anywhere below it. Into
    each cache folder it writes vis_umap_coords.npy, vis_umap_quality.npy, vis_umap.html and vis_umap_run.json
    (vis_tsne_… for t-SNE), and prints their paths. Maps that are up to date are skipped. Other maps are replaced
    only with --overwrite.

    \b
    Exit codes: 0 done, 1 bad input or outputs in the way, 2 bad option, 3 no GPU, 4 out of memory, 5 below --min-trust,
    130 or 143 stopped by Ctrl-C or SIGTERM. With several folders, the largest.
    """  # fmt: skip
    if not (folders or cache_dirs):
        raise click.UsageError("name a cache folder, or a folder with cache folders below it")
    from gpuvis.jobs import batch  # not at the top: --help needs no libraries

    page = page_from(flags)
    request = batch.Request(
        roots=(*folders, *cache_dirs),
        settings=settings_from(flags),
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
    _run(request, cluster_from(flags), quiet, verbose)


@click.command(cls=Command)
@folder_arguments
@click.option("--umap", is_flag=True, help="Draw the UMAP map only.")
@click.option("--tsne", is_flag=True, help="Draw the t-SNE map only.")
@option("out_prefix", default="vis", show_default=True, help="Start of the outputs' names.")
@option("out_dir", type=PATH, help="Folder of the coordinates, under the same relative paths.  [default: each cache folder]")
@click.option("--overwrite", is_flag=True, help="Also replace pages that something else made or changed.")
@page_options
@cluster_options
@verbosity_options
def plot(folders: tuple[Path, ...], cache_dirs: tuple[Path, ...], quiet: bool, verbose: bool, **flags: Any) -> None:
    """Draw pages again from saved coordinates, without reducing.

    FOLDER is a cache folder with coordinates, or a folder with such folders anywhere below it. There may be any number
    of rows. The embeddings may be missing: the page only takes the nearest neighbours of each point from them.
    """  # fmt: skip
    if not (folders or cache_dirs):
        raise click.UsageError("name a cache folder with coordinates, or a folder with such folders below it")
    from gpuvis.jobs import batch

    request = batch.Request(
        roots=(*folders, *cache_dirs),
        settings=methods_from(flags),
        page=page_from(flags),
        prefix=flags["out_prefix"],
        overwrite=flags["overwrite"],
        out_dir=flags["out_dir"],
        backend="cpu",
        only_draw=True,
        quality="none",
    )
    _run(request, cluster_from(flags), quiet, verbose)


@click.command(cls=Command)
@click.argument("folders", metavar="FOLDER...", nargs=-1, required=True, type=PATH)
@option("out_dir", type=PATH, help="Write the scores here, under the same relative paths.  [default: into each cache folder]")
@click.option("--overwrite", is_flag=True, help="Compute again, even if outputs exist.")
@threads_option
@backend_option
@cluster_options
@verbosity_options
def outliers(folders: tuple[Path, ...], quiet: bool, verbose: bool, **flags: Any) -> None:
    """Find samples that do not fit their label: wrong labels, outliers and duplicates.

    FOLDER is a cache folder, or a folder with cache folders anywhere below it. Into each cache folder it writes
    scores_centroid.csv and scores_neighbors.csv, and prints their paths. It lists the most suspicious labels, and marks
    suspects with a !. Pages that are drawn later show the scores.
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
    _run(request, cluster_from(flags), quiet, verbose)


def _run(request: Any, connect: Any, quiet: bool, verbose: bool) -> None:
    """Run a request, on a cluster if `connect` connects to one, show its progress, and exit with its code."""
    from gpuvis.cli.console import Display, Paths
    from gpuvis.jobs import batch

    paths = Paths()
    with Display(int(verbose) - int(quiet), paths.add) as display:
        report = batch.run_with(request, display, connect)
    if report.stopped:  # a second Ctrl-C must not suppress the summary
        ignore_stops()
    paths.flush()
    display.summary(report)  # last, where people look
    if paths.error:
        display.say(f"stdout: {paths.error.strerror}; the files are written", "bold red", "error: ")
    if report.stopped:
        advice = "" if request.overwrite else "; the same command goes on from there"
        display.say(f"stopped by {report.stopped}: {_finished(report)}{advice}")
        raise report.stopped
    sys.exit(max(report.exit_code, 1 if paths.error else 0))


def _finished(report: Any) -> str:
    count = sum(bool(outcome.paths) for outcome in report.outcomes)
    return f"{count} {'map was' if count == 1 else 'maps were'} finished, and no file is half written"


@click.command(cls=Command)
@click.argument("folder", type=PATH, default="demo_cache", required=False)
def demo(folder: Path) -> None:
    """Write a small real cache to FOLDER: 1,797 handwritten digits, with their images."""
    from gpuvis import demo

    click.echo(os.fsencode(demo.write(folder)))


@click.command(cls=Command)
@click.argument("paths", metavar="FOLDER|FILE...", nargs=-1, required=True, type=PATH)
@click.option("--umap", is_flag=True, help="In folders, measure the UMAP map only.")
@click.option("--tsne", is_flag=True, help="In folders, measure the t-SNE map only.")
@option("out_prefix", default="vis", show_default=True, help="Start of the coordinates' names.")
@option("out_dir", type=PATH, help="Folder of the coordinates, under the same relative paths.  [default: each cache folder]")
@backend_option
@cluster_options
@json_option
def score(paths: tuple[Path, ...], as_json: bool, **flags: Any) -> None:
    """Measure how far existing maps can be trusted, whichever program made them.

    FOLDER is a cache folder with coordinates, or a folder with such folders anywhere below it. FILE is a map with any
    name: a .npy file of two columns, in its cache folder or below. Each map is compared with the original embeddings,
    and so is a plain PCA map.
    """  # fmt: skip
    from gpuvis.jobs import batch
    from gpuvis.quality import report

    files = [path for path in paths if _is_file(path)]
    folders = tuple(path for path in paths if path not in files)
    request = batch.Request(folders, methods_from(flags), prefix=flags["out_prefix"], out_dir=flags["out_dir"])
    jobs = request.jobs() if folders else []
    exit_code, measured = 0, {}
    for result in _scores(jobs, files, flags["backend"], cluster_from(flags)):
        if result.error:
            click.echo(printable(f"error: {result.error}"), err=True)
            exit_code = max(exit_code, result.error.exit_code)
        if result.measured:
            measured[str(result.path)] = result.measured
            if not as_json:
                click.echo(printable("\n".join([str(result.path), *report.report(result.measured)])))
            for note in filter(None, (result.changed, *report.warnings(result.measured))):
                click.echo(printable(f"note: {result.path}: {note}"), err=True)
    if as_json:
        click.echo(json.dumps(measured, indent=2))
    click.get_current_context().exit(exit_code)


def _scores(jobs: list[Any], files: list[Path], backend: str, connect: Any) -> Iterator[Any]:
    """Measure maps, on a cluster if `connect` connects to one."""
    from gpuvis.backends import choose
    from gpuvis.jobs import measure

    rows = measure.rows(jobs, files)
    if connect is None:
        return measure.scores(jobs, files, choose(backend, rows=rows).backend)
    from gpuvis.jobs import cluster
    from gpuvis.jobs.remote import Terms

    return cluster.scores(connect, jobs, files, Terms(backend, rows=rows, folders=len(jobs) + len(files)))


def _is_file(path: Path) -> bool:
    """Tell whether a path names a map rather than a folder, even if it does not exist."""
    return os.path.isfile(path) or (path.suffix == ".npy" and not os.path.isdir(path))  # noqa: PTH112, PTH113  Path may raise


@click.command(cls=Command)
@json_option
def info(as_json: bool) -> None:
    """Show which backend would be used and why, and the machine."""
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


@click.command()  # not a `Command`: it loads no libraries, so it needs no check of memory
@option("rows", type=COUNT, required=True, help="Rows of the embeddings, such as 50e6.")
@option("dim", type=COUNT, required=True, help="Columns of the embeddings.")
@option("gpu_memory", type=SIZE, required=True, help="Free memory of the GPU, such as 80GiB.")
@option("host_memory", type=SIZE, help="Free memory of the machine.  [default: not checked]")
@click.option("--dtype", type=click.Choice(list(ITEMSIZES)), default="float32", show_default=True, help="Type of the numbers in the file.")
@settings_options
@json_option
def plan(
    rows: int, dim: int, gpu_memory: int, host_memory: int | None, dtype: str, as_json: bool, **flags: Any
) -> None:
    """Say how a job would be done on a GPU and what memory it would take, without the GPU and without the data.

    The sizes are estimates from the libraries' guides and sources. If the job does not fit, the command ends with code 4
    and says what would fit.
    """
    from gpuvis.backends.gpu import limits
    from gpuvis.backends.gpu.memory_model import Bytes
    from gpuvis.backends.gpu.plan import Work, draft
    from gpuvis.backends.gpu.plan import plan as make_plan

    if rows < MIN_ROWS:
        raise DataError(f"{rows} rows are too few: a map needs {MIN_ROWS} or more")
    settings, notes = settings_from(flags).fitted_to(rows, dim)
    limits.check(settings)
    free = Bytes(gpu_memory, host_memory or 0)
    work = Work(rows, dim, ITEMSIZES[dtype], settings, free, host_memory is not None)
    drafted = draft(work)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    click.echo(json.dumps(drafted.describe(), indent=2) if as_json else "\n".join(drafted.lines()))
    make_plan(work)  # raises an error if the job does not fit


@click.command("help")  # loads no libraries either
@click.argument("topic", metavar="[TOPIC]", required=False, type=click.Choice(TOPICS))
@click.pass_context
def manual(ctx: click.Context, topic: str | None) -> None:
    """Show the manual: the list of its topics, or one page."""
    if topic:
        show_topic(topic)
    else:
        list_topics(ctx)


COMMANDS = (reduce, plot, outliers, score, plan, info, demo, manual)
