"""Check a matrix that a caller passed from Python, and plan the work on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gpuvis import arrays
from gpuvis.backends import choose
from gpuvis.backends.base import Backend, Plan, Planned
from gpuvis.errors import DataError
from gpuvis.settings import Settings


class CheckedMatrix(NamedTuple):
    """A checked matrix and its plan.

    Attributes
    ----------
    X : torch.Tensor or array of shape (N, D)
    planned : Planned
    notes : list of str
        Notes on unusual values.
    """

    X: Any
    planned: Planned
    notes: list[str]


def choose_for(X: Any, backend: str) -> Backend:
    """Choose the backend for a matrix: "auto", "gpu" or "cpu".

    Raises
    ------
    NoGpuError
        "gpu" was requested, and this machine has no GPU that can be used.
    """
    # An array on the GPU stays there, even with few rows. A scalar has no rows; `check_matrix` refuses it.
    rows = None if hasattr(X, "__cuda_array_interface__") or getattr(X, "ndim", 2) == 0 else len(X)
    return choose(backend, rows=rows).backend


def check_matrix(X: Any, settings: Settings, backend: Backend) -> CheckedMatrix:
    """Check a matrix, and plan the work on it.

    Parameters
    ----------
    X : torch.Tensor or array of shape (N, D)
    settings : Settings
    backend : Backend

    Raises
    ------
    DataError
        X is not a matrix of real numbers, is too small, or is not finite.
    SettingsError
        The backend does not support a setting, or would take too long with it.
    OutOfMemoryError
        The work does not fit in memory.
    """
    try:
        X = _as_supported(X, backend)
        arrays.check_shape(X)
        arrays.check_type(X)
        plan(X, settings, backend)  # refuse what does not fit before all values are read
        largest, notes = arrays.check_values(X)
    except DataError as error:
        raise DataError(f"X {error}") from None
    return CheckedMatrix(X, Planned(plan(X, settings, backend, largest), largest), [f"X: {note}" for note in notes])


def _as_supported(X: Any, backend: Backend) -> Any:
    """Return a tensor or an array of the device unchanged, anything else as a NumPy array in native byte order."""
    if hasattr(X, "detach") or (backend.xp is not np and isinstance(X, backend.xp.ndarray)):
        return X
    foreign = hasattr(X, "__dlpack__") and not isinstance(X, np.ndarray)
    array = np.from_dlpack(X) if foreign else np.asarray(X)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def plan(X: Any, settings: Settings, backend: Backend, largest: float | None = None) -> Plan:
    """Plan the work on a matrix, before anything is computed.

    Parameters
    ----------
    X : torch.Tensor or array of shape (N, D)
    settings : Settings
    backend : Backend
    largest : float, optional
        The largest absolute value of X. If given, the plan considers whether X has to be scaled.

    Raises
    ------
    SettingsError
        The backend does not support a setting, or would take too long with it.
    OutOfMemoryError
        The work does not fit in memory.
    """
    rows, columns = X.shape
    fitted, _ = settings.fitted_to(rows, columns)
    backend.check(fitted)
    scaled = largest is not None and arrays.scale(largest, backend.SAFE) != 1
    return backend.plan(rows, columns, X.itemsize, fitted, scaled)


def label_codes(labels: Sequence[Any] | np.ndarray, rows: int) -> np.ndarray:
    """Return the class of each row as a number, counted from 0; -1 for a row without a label.

    Parameters
    ----------
    labels : sequence of length N
        Numbers or strings. A negative number, NaN, None or an empty string is no label.
    rows : int
        N.

    Raises
    ------
    DataError
        The number of labels is not N.
    """
    labels = labels.tolist() if hasattr(labels, "tolist") else labels  # elements of tensors cannot be dictionary keys
    if len(labels) != rows:
        raise DataError(f"labels has {len(labels)} entries; expected one for each of the {rows} rows of X")
    codes: dict[Any, int] = {}
    return np.array([codes.setdefault(label, len(codes)) if _is_label(label) else -1 for label in labels], np.int64)


def _is_label(label: Any) -> bool:
    if label is None or isinstance(label, str):
        return bool(label)
    return bool(label >= 0)  # NaN is not
