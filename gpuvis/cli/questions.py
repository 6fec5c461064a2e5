"""The commands that answer a question and write no map: what would be used, what would fit, how far to trust a map."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from gpuvis.cli.options import COUNT, PATH, SIZE, of_settings, option, settings_of
from gpuvis.cli.program import Command
from gpuvis.cli.terminal import harmless
from gpuvis.errors import DataError
from gpuvis.settings import MIN_ROWS, Settings, Tsne, Umap

ITEMSIZES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


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
def score(paths: tuple[Path, ...], umap: bool, tsne: bool, backend: str, as_json: bool, **flags: Any) -> None:
    """Measure how far maps that are there can be trusted, whoever made them.

    FOLDER is a cache folder with coordinates, or a folder with such folders anywhere below it. FILE is a map by any
    name: a .npy of two columns, in the folder of its cache or below. Each map is compared with the original
    embeddings, beside a plain PCA map.
    """  # fmt: skip
    from gpuvis.backends import choose
    from gpuvis.jobs import batch, measure
    from gpuvis.quality import report

    both = umap == tsne
    settings = Settings(umap=Umap() if both or umap else None, tsne=Tsne() if both or tsne else None)
    files = [path for path in paths if _is_file(path)]
    folders = tuple(path for path in paths if path not in files)
    request = batch.Request(folders, settings, prefix=flags["out_prefix"], out_dir=flags["out_dir"])
    jobs = request.jobs() if folders else []
    code, all_told = 0, {}
    for one in measure.scores(jobs, files, choose(backend, rows=measure.rows(jobs, files))[0]):
        if one.error:
            click.echo(harmless(f"error: {one.error}"), err=True)
            code = max(code, one.error.exit_code)
        if one.told:
            all_told[str(one.path)] = one.told
            if not as_json:
                click.echo(harmless("\n".join([str(one.path), *report.report(one.told)])))
            for note in filter(None, (one.changed, *report.warnings(one.told))):
                click.echo(harmless(f"note: {one.path}: {note}"), err=True)
    if as_json:
        click.echo(json.dumps(all_told, indent=2))
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
    from gpuvis.backends import WORTH, choose

    backend, reason = choose("auto")
    told = {"backend": backend.name, "reason": reason, **asdict(backend.describe()), "versions": machine.versions()}
    if backend.name == "gpu":
        told["auto"] = f"the GPU from {WORTH:,} rows in one command, fewer on the CPU"
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    versions, details = told.pop("versions"), told.pop("details")
    told["memory_bytes"] = f"{told['memory_bytes'] / 2**30:.1f} GiB"
    for key, value in {**told, **details, **versions}.items():
        click.echo(f"{key.removesuffix('_bytes'):<19} {value}")


@click.command(cls=Command)
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
    from gpuvis.backends.gpu import plan as planning
    from gpuvis.backends.gpu import plan as sizing
    from gpuvis.backends.gpu.memory_model import Bytes

    if rows < MIN_ROWS:
        raise DataError(f"{rows} rows are too few: a map needs {MIN_ROWS} or more")
    settings, notes = settings_of(flags).fitted_to(rows, dim)
    limits.check(settings)
    room = Bytes(gpu_memory, host_memory or 0)
    work = planning.Work(rows, dim, ITEMSIZES[dtype], settings, room, host_memory is not None)
    drafted = planning.draft(work)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    click.echo(json.dumps(drafted.describe(), indent=2) if as_json else "\n".join(drafted.lines()))
    sizing.plan(work)  # says so if it does not fit
