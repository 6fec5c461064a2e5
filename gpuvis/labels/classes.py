"""The class of each row: its number; or its word, if the table has no numbers."""

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
    """The classes of N rows, in the order of their numbers.

    Attributes
    ----------
    codes : ndarray of shape (N,), int64
        The class of each row, as an index into `names`; -1 for a row without one.
    names : list of str
        The number of each class; or its word, if there are no numbers.
    numbers : list of str
        The number of each class; all blank if there are none.
    table : DataFrame with N rows
        The metadata, with a column of numbers if there are any.
    """

    codes: np.ndarray
    names: list[str]
    numbers: list[str]
    table: pd.DataFrame

    @cached_property
    def words(self) -> list[str]:
        """The word of each class, from the first of its rows that has one; blank if none has."""
        words = [""] * len(self.names)
        if WORD in self.table:
            named = np.flatnonzero((self.table[WORD] != "").to_numpy() & (self.codes >= 0))
            codes, first = np.unique(self.codes[named], return_index=True)
            for code, index in zip(codes, first, strict=True):
                words[code] = str(self.table[WORD].iloc[named[index]])
        return words


def labelled(table: pd.DataFrame, labels: Any) -> pd.DataFrame:
    """Return a table with the numbers of classes; if it has none, those of `labels.pt` are added.

    Parameters
    ----------
    table : DataFrame with N rows
    labels : array of shape (N,), or None
        The content of `labels.pt`, if there is such a file.
    """
    if labels is None or has_values(table, NUMBER):
        return table
    numbers, codes = np.unique(np.asarray(labels), return_inverse=True)
    return table.assign(**{NUMBER: np.array(list(map(str, numbers.tolist())), object)[codes].tolist()})


def of(
    table: pd.DataFrame, labels: Any = None, factorize: Callable[[pd.Series], tuple[np.ndarray, list[str]]] = factorize
) -> Classes:
    """Return the classes of a table's rows.

    Parameters
    ----------
    table : DataFrame with N rows
    labels : array of shape (N,), optional
        The content of `labels.pt`, used if the table has no numbers.
    factorize : callable
        Does what `gpuvis.io.table.factorize` does.

    Returns
    -------
    Classes
        No classes if neither the table nor `labels` has any.
    """
    table = labelled(table, labels)
    columns = [name for name in (NUMBER, WORD) if has_values(table, name)]
    if not columns:
        return Classes(np.full(len(table), -1), [], [], table)
    codes, names = factorize(table[columns[0]])
    order = sorted((k for k, name in enumerate(names) if name), key=lambda k: (_number(names[k]), names[k]))
    rank = np.full(len(names), -1)
    rank[order] = np.arange(len(order))
    codes, names = rank[codes], [names[k] for k in order]
    numbers = [""] * len(names) if columns == [WORD] else names
    return Classes(codes, names, numbers, table)


def _number(name: str) -> Decimal:
    """Return the name of a class as a number, with all its digits; infinity if it is no number."""
    try:
        number = Decimal(name)
    except InvalidOperation:
        return Decimal("inf")
    return number if number.is_finite() else Decimal("inf")
