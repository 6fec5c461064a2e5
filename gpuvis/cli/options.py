"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import csv
import os
import re
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial, reduce
from pathlib import Path
from typing import Any

import click

from gpuvis.page.options import PLOTLYJS, STATIC, THEMES, PageOptions
from gpuvis.settings import INITS, METHODS, OPTIMIZERS, TSNE_METHODS, Settings, TsneSettings, UmapSettings

# "g" and "gib" → 2³⁰, "gb" → 10⁹, and so on
UNITS = {f"{letter}{ending}": base**power for power, letter in enumerate("mgt", 2)
         for ending, base in (("", 1024), ("b", 1000), ("ib", 1024))}  # fmt: skip
_umap, _tsne, _page = UmapSettings(), TsneSettings(), PageOptions()


def option(name: str, **kwargs: Any) -> Callable[..., Any]:
    """Return an option with both spellings, `--pca_dim` and `--pca-dim`."""
    return click.option(*dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}", name)), **kwargs)


def _group(*options: Callable[..., Any]) -> Callable[..., Any]:
    """Return a decorator that gives a command several options."""
    return lambda command: reduce(lambda decorated, add: add(decorated), reversed(options), command)


def columns(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """Split a list of columns as a line of CSV: names with commas can be quoted."""
    try:
        return tuple(name for name in next(csv.reader([value], skipinitialspace=True), []) if name)
    except csv.Error as error:
        raise click.BadParameter(f"{value!r} is no list of columns: {error}") from None


class _Path(click.Path):
    """A path. Whether it can be read is checked later, folder by folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if str(value) == "":
            self.fail("the path is empty", param, ctx)
        try:
            os.path.abspath(value)
        except FileNotFoundError:
            self.fail(f"{str(value)!r} leads nowhere: the current folder was removed; go to another one", param, ctx)
        return super().convert(value, param, ctx)


class _Workers(click.ParamType):  # type: ignore[type-arg]
    name = "workers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value == "auto":
            return 0
        if not str(value).isdecimal() or not int(value):
            self.fail(f"{value!r} is neither a whole number above 0 nor the word auto", param, ctx)
        return int(value)


class _Size(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.2
    """Bytes: a number and a unit. GB is 10⁹ bytes, G and GiB are 2³⁰."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*([a-z]*)\s*", str(value).lower())
        size = float(match[1]) * UNITS.get(match[2], 0) if match else 0
        if size < 1 << 20:
            self.fail(f"{value!r} is no size of a MiB or more; expected a number with a unit, as 80GiB", param, ctx)
        return int(size)


class _Count(click.ParamType):  # type: ignore[type-arg]
    """A whole number above 0, also written as 50e6 or 50_000_000."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = float(str(value).replace(",", ""))
        except ValueError:
            number = 0.0
        if not 1 <= number < 2**53 or number % 1:
            self.fail(f"{value!r} is no whole number above 0, as 1400 or 50e6", param, ctx)
        return int(number)


class _Seed(click.ParamType):  # type: ignore[type-arg]
    """A whole number, or `random` for a seed that is drawn."""

    name = "seed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value == "random":
            return secrets.randbelow(2**32)
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a whole number nor the word random", param, ctx)


PATH, SIZE, COUNT, SEED = _Path(readable=False, path_type=Path), _Size(), _Count(), _Seed()

folder_arguments = _group(
    click.argument("folders", metavar="[FOLDER]...", nargs=-1, type=PATH),
    click.option("--cache_dir", "--cache-dir", "cache_dirs", multiple=True, type=PATH,
                 help="The same as FOLDER; may be repeated."),
)  # fmt: skip
backend_option = click.option("--backend", type=click.Choice(["auto", "gpu", "cpu"]), default="auto", show_default=True, help="Where to compute.")
threads_option = option("threads", type=COUNT, help="CPU threads to use.  [default: all that the process may use]")
cluster_options = _group(
    option("workers", type=_Workers(), metavar="N_OR_AUTO",
           help="Do the folders in N processes of this machine; auto: one for each GPU, or for each processor.  [default: in one]"),
    option("scheduler", metavar="ADDRESS_OR_FILE",
           help="Do the folders on the workers of this Dask scheduler, which has to run already."),
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
verbosity_options = _group(
    click.option("-q", "--quiet", is_flag=True, help="Print errors only."),
    click.option("-v", "--verbose", is_flag=True, help="Print each step."),
)

settings_options = _group(
    click.option("--umap", is_flag=True, help="Draw a UMAP map (the default)."),
    click.option("--tsne", is_flag=True, help="Draw a t-SNE map; with --umap, both."),
    option("pca_dim", type=int, help="Reduce to this many principal components first.  [default: no PCA]"),
    option("seed", type=SEED, default=1, show_default=True, help="Seed of every random choice; random: draw one."),
    option("umap_neighbors", type=int, default=_umap.n_neighbors, show_default=True, help="Size of a neighbourhood."),
    option("umap_min_dist", type=float, default=_umap.min_dist, show_default=True, help="How close points may lie."),
    option("umap_metric", default=_umap.metric, show_default=True, help="Distance between rows."),
    option("umap_optimizer", type=click.Choice(OPTIMIZERS), default="auto", show_default=True, help="Program that computes the layout."),
    option("tsne_perplexity", type=float, default=_tsne.perplexity, show_default=True, help="Effective neighbours."),
    option("tsne_metric", default=_tsne.metric, show_default=True, help="Distance between rows."),
    option("tsne_init", type=click.Choice(INITS), default=_tsne.init, show_default=True, help="Where points start."),
    option("tsne_method", type=click.Choice(TSNE_METHODS), default="auto", show_default=True, help="Algorithm of t-SNE."),
    threads_option,
    click.option("--deterministic", is_flag=True, help="Use only algorithms that repeat exactly; fail where there is none."),
)

page_options = _group(
    option("color_by", default=_page.color_by, show_default=True, help="Column of metadata.csv that colours the points."),
    option("hover", default=",".join(_page.hover), show_default=True, callback=columns,
           help="Columns to show first for a point, separated by commas."),
    option("image_root", metavar="DIR_OR_URL",
           help="Folder or address of the images that file_name names.  [default: images beside metadata.csv, if they are there]"),
    click.option("--thumbnails", is_flag=True, help="Put small images into the page, so that it can be sent."),
    click.option("--neighbors/--no-neighbors", default=None,
                 help="Show the true nearest neighbours of each point.  [default: up to 10,000 rows]"),
    click.option("--theme", type=click.Choice(THEMES), default=_page.theme, show_default=True, help="Colours of the page."),
    click.option("--plotlyjs", type=click.Choice(PLOTLYJS), default=_page.plotlyjs, show_default=True,
                 help="plotly.js: in each page, one copy at the root of the batch, or from cdn.plot.ly."),
    click.option("--static", type=click.Choice(STATIC), multiple=True,
                 help="Also draw a picture for papers; may be repeated."),
)  # fmt: skip


def cluster_from(flags: dict[str, Any]) -> Callable[[Any], AbstractContextManager[Any]] | None:
    """Return what connects to the cluster that the flags of `cluster_options` name; None if they name none."""
    workers, scheduler = flags["workers"], flags["scheduler"]
    if workers is not None and scheduler:
        raise click.UsageError("--workers starts workers, and --scheduler uses those that run: name one of them")
    if workers is None and not scheduler:
        return None
    from gpuvis.jobs import connect

    if scheduler:
        return partial(connect.connected, scheduler)
    return partial(connect.local, workers or None)


def page_from(flags: dict[str, Any]) -> PageOptions:
    """Return the page options from the flags of `page_options`.

    Raises
    ------
    SettingsError
    """
    names = ("color_by", "hover", "image_root", "thumbnails", "neighbors", "theme", "plotlyjs")
    static = tuple(file_format for file_format in STATIC if file_format in flags["static"])
    return PageOptions(**{name: flags[name] for name in names}, static=static)


def methods_from(flags: dict[str, Any]) -> Settings:
    """Return default settings for the methods that --umap and --tsne name; for all methods if neither is given."""
    methods = [method for method in METHODS if flags.get(method)]
    return Settings.of(*(methods or METHODS))


def settings_from(flags: dict[str, Any]) -> Settings:
    """Return the settings from the flags of `settings_options`.

    Raises
    ------
    SettingsError
    """

    def method_flags(method: str, *names: str) -> dict[str, Any]:
        return {name: flags[f"{method}_{name}"] for name in names}

    umap = UmapSettings(n_neighbors=flags["umap_neighbors"], **method_flags("umap", "min_dist", "metric", "optimizer"))
    tsne = TsneSettings(**method_flags("tsne", "perplexity", "metric", "init", "method"))
    return Settings(
        umap=umap if flags["umap"] or not flags["tsne"] else None,
        tsne=tsne if flags["tsne"] else None,
        pca_dim=flags["pca_dim"],
        seed=flags["seed"],
        deterministic=flags["deterministic"],
        threads=flags["threads"],
    )
