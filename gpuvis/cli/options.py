"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import csv
import os
import re
import secrets
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from gpuvis.page.options import PLOTLYJS, STATIC, THEMES, PageOptions
from gpuvis.settings import INITS, METHODS, OPTIMIZERS, TSNE_METHODS, Settings, TsneSettings, UmapSettings

UNITS = {f"{letter}{kind}": base ** (2 + power) for power, letter in enumerate("mgt")
         for kind, base in (("", 1024), ("b", 1000), ("ib", 1024))}  # fmt: skip
_umap, _tsne, _page = UmapSettings(), TsneSettings(), PageOptions()


def option(name: str, **kwargs: Any) -> Callable[..., Any]:
    """Give an option both spellings, `--pca_dim` and `--pca-dim`."""
    return click.option(*dict.fromkeys((f"--{name}", f"--{name.replace('_', '-')}", name)), **kwargs)


def columns(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """Split a list of columns as a line of CSV: names that hold commas may stand in quotes."""
    try:
        return tuple(name for name in next(csv.reader([value], skipinitialspace=True), []) if name)
    except csv.Error as error:
        raise click.BadParameter(f"{value!r} is no list of columns: {error}") from None


class _Path(click.Path):
    """A path; whether it can be read is checked later, for each folder on its own."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if str(value) == "":
            self.fail("the path is empty", param, ctx)
        try:
            os.path.abspath(value)
        except FileNotFoundError:
            self.fail(f"{str(value)!r} leads nowhere: the current folder was removed; go to another one", param, ctx)
        return super().convert(value, param, ctx)


class _Size(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.2
    """Bytes: a number and a unit. GB is 10⁹ bytes, G and GiB are 2³⁰."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*([a-z]*)\s*", str(value).lower())
        if not found or found[2] not in UNITS or float(found[1]) * UNITS[found[2]] < 1 << 20:
            self.fail(f"{value!r} is no size of a MiB or more; expected a number with a unit, as 80GiB", param, ctx)
        return int(float(found[1]) * UNITS[found[2]])


class _Count(click.ParamType):  # type: ignore[type-arg]
    """A whole number above 0, which may be written as 50e6 or 50_000_000."""

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
    """A whole number, or `random`, which draws one."""

    name = "seed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value == "random":
            return secrets.randbelow(2**32)
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a whole number nor the word random", param, ctx)


PATH, SIZE, COUNT, SEED = _Path(readable=False, path_type=Path), _Size(), _Count(), _Seed()

_OF_SETTINGS = (
    click.option("--umap", is_flag=True, help="Draw a UMAP map (the default)."),
    click.option("--tsne", is_flag=True, help="Draw a t-SNE map; with --umap, both."),
    option("pca_dim", type=int, help="Reduce to so many principal components first.  [default: no PCA]"),
    option("seed", type=SEED, default=1, show_default=True, help="Seed of every random choice; random: draw one."),
    option("umap_neighbors", type=int, default=_umap.n_neighbors, show_default=True, help="Size of a neighbourhood."),
    option("umap_min_dist", type=float, default=_umap.min_dist, show_default=True, help="How close points may lie."),
    option("umap_metric", default=_umap.metric, show_default=True, help="Distance between rows."),
    option("umap_optimizer", type=click.Choice(OPTIMIZERS), default="auto", show_default=True, help="Program that computes the layout."),
    option("tsne_perplexity", type=float, default=_tsne.perplexity, show_default=True, help="Effective neighbours."),
    option("tsne_metric", default=_tsne.metric, show_default=True, help="Distance between rows."),
    option("tsne_init", type=click.Choice(INITS), default=_tsne.init, show_default=True, help="Where points start."),
    option("tsne_method", type=click.Choice(TSNE_METHODS), default="auto", show_default=True, help="Algorithm of t-SNE."),
    option("threads", type=COUNT, help="CPU threads to use.  [default: those that the process may use]"),
    click.option("--deterministic", is_flag=True, help="Use only algorithms that repeat; fail where there is none."),
)


_OF_PAGE = (
    option("color_by", default=_page.color_by, show_default=True, help="Column of metadata.csv that colours the points."),
    option("hover", default=",".join(_page.hover), show_default=True, callback=columns,
           help="Columns told first of a point, separated by commas."),
    option("image_root", metavar="DIR_OR_URL",
           help="Where the images are that file_name names.  [default: images beside metadata.csv, if they are there]"),
    click.option("--thumbnails", is_flag=True, help="Put small images into the page, so that it can be sent."),
    click.option("--neighbors/--no-neighbors", default=None,
                 help="Show the true nearest neighbours of each point.  [default: up to 10,000 rows]"),
    click.option("--theme", type=click.Choice(THEMES), default=_page.theme, show_default=True, help="Colours of the page."),
    click.option("--plotlyjs", type=click.Choice(PLOTLYJS), default=_page.plotlyjs, show_default=True,
                 help="plotly.js: in each page, one copy at the root of the batch, or from cdn.plot.ly."),
    click.option("--static", type=click.Choice(STATIC), multiple=True,
                 help="Draw a picture for papers as well; may be repeated."),
)  # fmt: skip


def of_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say what is to be computed."""
    return reduce(lambda made, add: add(made), reversed(_OF_SETTINGS), command)


def of_page(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say what the page shows."""
    return reduce(lambda made, add: add(made), reversed(_OF_PAGE), command)


def page_of(flags: dict[str, Any]) -> PageOptions:
    """Return what those options say.

    Raises
    ------
    SettingsError
    """
    names = ("color_by", "hover", "image_root", "thumbnails", "neighbors", "theme", "plotlyjs")
    static = tuple(kind for kind in STATIC if kind in flags["static"])
    return PageOptions(**{name: flags[name] for name in names}, static=static)


def maps_of(flags: dict[str, Any]) -> Settings:
    """Return default settings of the maps that --umap and --tsne pick; of all maps, where neither is given."""
    picked = [method for method in METHODS if flags.get(method)]
    return Settings.of(*(picked or METHODS))


def settings_of(flags: dict[str, Any]) -> Settings:
    """Return what those options say.

    Raises
    ------
    SettingsError
    """

    def of(method: str, *names: str) -> dict[str, Any]:
        return {name: flags[f"{method}_{name}"] for name in names}

    umap = UmapSettings(n_neighbors=flags["umap_neighbors"], **of("umap", "min_dist", "metric", "optimizer"))
    tsne = TsneSettings(**of("tsne", "perplexity", "metric", "init", "method"))
    return Settings(
        umap=umap if flags["umap"] or not flags["tsne"] else None,
        tsne=tsne if flags["tsne"] else None,
        pca_dim=flags["pca_dim"],
        seed=flags["seed"],
        deterministic=flags["deterministic"],
        threads=flags["threads"],
    )
