"""The class of each row: by its number, or where there are none, by its word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuvis.io.schema import NUMBER, WORD
from gpuvis.io.table import factorize, has_values

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Classes:
    """Classes in the order of their numbers.

    Attributes
    ----------
    codes : ndarray of shape (N,), int64
        The place of each row's class among them; -1: it has none.
    names : list of str
        Their numbers, or words if they have none.
    numbers : list of str
        Blank where there are none.
    table : DataFrame
        Of the rows.
    """

    codes: np.ndarray
    names: list[str]
    numbers: list[str]
    table: pd.DataFrame

    @cached_property
    def words(self) -> list[str]:
        """The words of classes, each as its first row has it; blank where there are none."""
        words = [""] * len(self.names)
        if WORD in self.table:
            named = np.flatnonzero((self.table[WORD] != "").to_numpy() & (self.codes >= 0))
            which, first = np.unique(self.codes[named], return_index=True)
            for code, at in zip(which, first, strict=True):
                words[code] = str(self.table[WORD].iloc[named[at]])
        return words


def labelled(table: pd.DataFrame, labels: Any) -> pd.DataFrame:
    """Return a table with numbers of classes: its own, or where it has none, those of `labels.pt`, if there are any."""
    if labels is None or has_values(table, NUMBER):
        return table
    found, codes = np.unique(np.asarray(labels), return_inverse=True)
    return table.assign(**{NUMBER: np.array(list(map(str, found.tolist())), object)[codes].tolist()})


def of(
    table: pd.DataFrame, labels: Any = None, factorize: Callable[[pd.Series], tuple[np.ndarray, list[str]]] = factorize
) -> Classes:
    """Return the classes of a table's rows.

    Parameters
    ----------
    table : DataFrame with N rows
    labels : array of shape (N,), optional
        Those of `labels.pt`, which are used if the table has no numbers.
    factorize : callable
        As `gpuvis.io.table.factorize`.
    """
    table = labelled(table, labels)
    known = [name for name in (NUMBER, WORD) if has_values(table, name)]
    if not known:
        return Classes(np.full(len(table), -1), [], [], table)
    codes, names = factorize(table[known[0]])
    order = sorted((k for k, name in enumerate(names) if name), key=lambda k: (_number(names[k]), names[k]))
    place = np.full(len(names), -1)
    place[order] = np.arange(len(order))
    codes, names = place[codes], [names[k] for k in order]
    numbers = [""] * len(names) if known == [WORD] else names
    return Classes(codes, names, numbers, table)


def _number(name: str) -> Decimal:
    """Return the number that a class is named by, with all its digits; infinity where it is none."""
    try:
        number = Decimal(name)
    except InvalidOperation:
        return Decimal("inf")
    return number if number.is_finite() else Decimal("inf")
