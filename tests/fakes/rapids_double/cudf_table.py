"""The double of cuDF: strings on the device, brought there as Arrow's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rapids_double.array import ndarray, on_device
from rapids_double.device import device
from rapids_double.ledger import Storage, Transfer, ledger
from rapids_double.signatures import as_recorded

STRINGS = (pa.string(), pa.large_string())


class Column:
    """What Series and Index share: an Arrow array, and its bytes on the device."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("the double makes cuDF's columns by cudf.DataFrame.from_arrow only")

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
        kind = "bool" if self._values.type == pa.bool_() else "str"
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
        raise NotImplementedError("the double makes data frames by cudf.DataFrame.from_arrow only")

    _columns: dict[str, Series]

    @classmethod
    @as_recorded("cudf.DataFrame.from_arrow")
    def from_arrow(cls, table: pa.Table) -> DataFrame:
        """Bring strings to the device; they come back in Arrow's type with long offsets, as pandas has them."""
        if not isinstance(table, pa.Table):
            raise TypeError(f"data must be a pyarrow.Table, not {type(table).__name__}")
        device.launch("cudf.from_arrow", rows=len(table))
        made = object.__new__(cls)
        made._columns = {}
        for name, column in zip(table.column_names, table.itercolumns(), strict=True):
            if column.type not in STRINGS:
                raise NotImplementedError(f"the double takes strings only; column {name!r} has type {column.type}")
            ledger.transfers.append(Transfer("device", column.nbytes, (len(column),), "str", "cudf"))
            made._columns[name] = Series._of(column.cast(pa.large_string()).combine_chunks(), name)
        return made

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
