"""The double of cuDF: strings on the device, and a reader as lax as libcudf's.

libcudf drops fields that are too many in a row, makes those that are missing null, looks at no encoding, and skips
blank lines.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rapids_double.array import ndarray, on_device
from rapids_double.device import device
from rapids_double.ledger import Storage, Transfer, ledger
from rapids_double.signatures import as_recorded, signature

NA = ("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA")
NA += ("NULL", "NaN", "n/a", "nan", "null")
OFFERED = ("sep", "header", "names", "usecols", "dtype", "na_values", "keep_default_na", "na_filter", "nrows")
SAME = ("skip_blank_lines", "compression", "lineterminator", "quotechar", "quoting", "doublequote", "delimiter")
STRINGS = (str, "str", "string", "object", object)
UNREADABLE = (".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tgz", ".xz")


class Column:
    """What Series and Index share: an Arrow array, and its bytes on the device."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("the double makes cuDF's columns by cudf.read_csv only")

    _values: pa.Array
    name: Any = None

    @classmethod
    def _of(cls, values: pa.Array, name: Any = None) -> Any:
        made = object.__new__(cls)
        made._values, made.name = values, name
        made._storage = Storage(values.nbytes, "cudf")
        return made

    def __len__(self) -> int:
        return len(self._values)

    @property
    def dtype(self) -> Any:
        return np.dtype(bool) if self._values.type == pa.bool_() else pd.StringDtype(na_value=np.nan)

    @property
    def shape(self) -> tuple[int]:
        return (len(self),)

    def to_arrow(self) -> pa.Array:
        """Return the values on the host."""
        device.launch("cudf.to_arrow")
        kind = "str" if self._values.type == pa.string() else "bool"
        ledger.transfers.append(Transfer("host", self._values.nbytes, self.shape, kind, "cudf"))
        return self._values

    def to_pandas(self, **kwargs: Any) -> Any:
        raise NotImplementedError

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError(
            "Implicit conversion to a host NumPy array via __array__ is not allowed, To explicitly construct a GPU "
            "matrix, consider using .to_cupy() To explicitly construct a host matrix, consider using .to_numpy()."
        )


class Index(Column):
    """A stand-in for cudf.Index."""

    @as_recorded("cudf.Index.to_pandas")
    def to_pandas(self, *, nullable: bool = False, arrow_type: bool = False) -> pd.Index:
        return pd.Index(self.to_arrow().to_pandas(), name=self.name)


class Series(Column):
    """A stand-in for cudf.Series."""

    @property
    def null_count(self) -> int:
        return self._values.null_count

    @as_recorded("cudf.Series.isnull")
    def isnull(self) -> Series:
        return Series._of(pc.is_null(self._values), self.name)

    @as_recorded("cudf.Series.isna")
    def isna(self) -> Series:
        return self.isnull()

    @as_recorded("cudf.Series.notnull")
    def notnull(self) -> Series:
        return Series._of(pc.is_valid(self._values), self.name)

    @as_recorded("cudf.Series.any")
    def any(self, axis: Any = 0, bool_only: Any = None, skipna: bool = True) -> bool:
        return bool(pc.any(self._booleans()).as_py())

    @as_recorded("cudf.Series.all")
    def all(self, axis: Any = 0, bool_only: Any = None, skipna: bool = True) -> bool:
        return bool(pc.all(self._booleans()).as_py())

    def _booleans(self) -> pa.Array:
        if self._values.type != pa.bool_():
            raise TypeError("the double asks any and all of booleans only")
        return self._values

    @as_recorded("cudf.Series.nunique")
    def nunique(self, dropna: bool = True) -> int:
        return pc.count_distinct(self._values, mode="only_valid" if dropna else "all").as_py()

    @as_recorded("cudf.Series.factorize")
    def factorize(self, sort: bool = False, use_na_sentinel: bool = True) -> tuple[ndarray, Index]:
        """Return codes as an int64 array of CuPy, -1 for null, and the distinct values, all on the device."""
        device.launch("cudf.factorize", rows=len(self))
        values = self._values
        if not use_na_sentinel and values.null_count:
            raise NotImplementedError("the double factorises nulls to -1 only")
        found = pc.unique(values.drop_null())
        found = found.take(pc.sort_indices(found)) if sort else found
        codes = pc.fill_null(pc.index_in(values, value_set=found), -1)
        with ledger.at_work("cudf"):
            on = on_device(codes.to_numpy(zero_copy_only=False).astype(np.int64))
        return on, Index._of(found, self.name)

    @as_recorded("cudf.Series.to_pandas")
    def to_pandas(self, *, index: bool = True, nullable: bool = False, arrow_type: bool = False) -> pd.Series:
        return self.to_arrow().to_pandas().rename(self.name)


class DataFrame:
    """A stand-in for cudf.DataFrame."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("the double makes data frames by cudf.read_csv only")

    _columns: dict[str, Series]

    @property
    def columns(self) -> pd.Index:
        return pd.Index(list(self._columns))

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), len(self._columns)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()), ()))

    def __getitem__(self, name: str) -> Series:
        return self._columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    @as_recorded("cudf.DataFrame.to_arrow")
    def to_arrow(self, preserve_index: bool | None = None) -> pa.Table:
        return pa.table({name: column.to_arrow() for name, column in self._columns.items()})

    @as_recorded("cudf.DataFrame.to_pandas")
    def to_pandas(self, *, nullable: bool = False, arrow_type: bool = False) -> pd.DataFrame:
        return self.to_arrow().to_pandas()


@as_recorded("cudf.read_csv")
def read_csv(filepath_or_buffer: Any, **keywords: Any) -> DataFrame:
    """Read strings. The double infers no types: ask for dtype=str, or a str for each column."""
    device.launch("cudf.read_csv")
    defaults = {name: parameter.default for name, parameter in signature("cudf.read_csv").parameters.items()}
    for name, value in keywords.items():
        if name not in OFFERED and repr(value) != defaults[name] and not (name in SAME and value is None):
            raise NotImplementedError(f"the double of cudf.read_csv does not offer {name}={value!r}")
    path = Path(filepath_or_buffer)
    if path.name.lower().endswith(UNREADABLE):
        raise NotImplementedError(f"cudf's CSV reader cannot decompress {path.suffix[1:]!r} data")
    ledger.transfers.append(Transfer("device", path.stat().st_size, (path.stat().st_size,), "csv", "cudf"))
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = [row for row in csv.reader(file, delimiter=keywords.get("sep", ",")) if row]
    names, rows = _names(rows, keywords)
    _check_types(keywords.get("dtype"), names)
    nulls = _nulls(keywords)
    wanted = keywords.get("usecols") or names
    made = object.__new__(DataFrame)
    made._columns = {name: _column(name, rows, names.index(name), nulls) for name in names if name in wanted}
    return made


def _names(rows: list[list[str]], keywords: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    given, header = keywords.get("names"), keywords.get("header", "infer")
    if header not in ("infer", None, 0):
        raise NotImplementedError(f"the double of cudf.read_csv does not offer header={header!r}")
    first = rows[0] if rows else []
    named = given is None if header == "infer" else header == 0
    names = [str(name) for name in given] if given is not None else _distinct(first) if named else None
    body = rows[1:] if named else rows
    names = names if names is not None else [str(i) for i in range(len(first))]
    return names, body[: keywords.get("nrows")]


def _distinct(names: list[str]) -> list[str]:
    """Name columns as cuDF does where the file names two the same."""
    return [f"{name}.{names[:i].count(name)}" if name in names[:i] else name for i, name in enumerate(names)]


def _check_types(dtype: Any, names: list[str]) -> None:
    asked = dtype if isinstance(dtype, dict) else dict.fromkeys(names, dtype)
    for name in names:
        if asked.get(name) not in STRINGS:
            raise NotImplementedError(f"the double reads strings only; column {name!r} has dtype {asked.get(name)!r}")


def _nulls(keywords: dict[str, Any]) -> set[str]:
    if not keywords.get("na_filter", True):
        return set()
    own = keywords.get("na_values") or ()
    own = (own,) if isinstance(own, str) else own
    return {*own, *(NA if keywords.get("keep_default_na", True) else ())}


def _column(name: str, rows: list[list[str]], place: int, nulls: set[str]) -> Series:
    found = (row[place] if place < len(row) else None for row in rows)
    values = [None if value is None or value in nulls else value.encode("utf-8", "surrogateescape") for value in found]
    return Series._of(pa.array(values, pa.binary()).view(pa.string()), name)
