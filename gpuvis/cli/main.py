"""The command line: flags become settings, errors become exit codes. Results go to stdout, talk to stderr."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from gpuvis import __version__
from gpuvis.cli import questions
from gpuvis.cli.options import COUNT, PATH, SIZE, of_page, of_settings, option, page_of, settings_of
from gpuvis.cli.program import Program
from gpuvis.settings import QUALITIES, Settings, Tsne, Umap
from gpuvis.signals import ignore_stops


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def main() -> None:
    """Turn cached image embeddings into 2-D maps, on a GPU where there is one, on the CPU where there is none.

    \b
    gpuvis demo demo_cache                      write a small real cache to try things on
    gpuvis reduce demo_cache                    draw its UMAP map
    gpuvis reduce feat_cache_vis --umap --tsne  draw two maps of every cache below a folder
    gpuvis plot demo_cache --color_by file_name draw the page again, without reducing
    gpuvis score demo_cache                     measure how far its maps can be trusted
    gpuvis outliers demo_cache                  find labels that are probably wrong
    gpuvis plan --rows 5e6 --dim 1152 --gpu-memory 80GiB   say whether a job fits a GPU, and how it would be done
    """


@main.command()
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


@main.command()
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

    both = flags["umap"] == flags["tsne"]
    request = batch.Request(
        roots=(*folders, *cache_dirs),
        settings=Settings(umap=Umap() if both or flags["umap"] else None, tsne=Tsne() if both or flags["tsne"] else None),
        page=page_of(flags),
        prefix=flags["out_prefix"],
        overwrite=flags["overwrite"],
        out_dir=flags["out_dir"],
        backend="cpu",
        only_draw=True,
        quality="none",
    )
    _run(request, quiet, verbose)


@main.command()
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


@main.command()
@click.argument("folder", type=PATH, default="demo_cache", required=False)
def demo(folder: Path) -> None:
    """Write a small real cache to FOLDER: 1,797 handwritten digits, with their images."""
    from gpuvis import demo

    click.echo(os.fsencode(demo.write(folder)))


for question in (questions.info, questions.plan, questions.score):
    main.add_command(question)
