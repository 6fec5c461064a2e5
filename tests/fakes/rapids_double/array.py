"""The device array: a NumPy array that behaves as if it lay on a device.

What it does not offer is AttributeError, and what CuPy refuses is TypeError, in CuPy's words.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from rapids_double.device import device
from rapids_double.ledger import Storage, ledger
from rapids_double.overlap import refuse_overlap
from rapids_double.signatures import as_recorded

SCALARS = (bool, int, float, complex, np.generic)


class Flags:
    """Flags as CuPy gives them, by name or key."""

    def __init__(self, flags: Any) -> None:
        self.c_contiguous, self.f_contiguous = bool(flags.c_contiguous), bool(flags.f_contiguous)
        self.owndata = bool(flags.owndata)

    def __getitem__(self, key: str) -> bool:
        return bool(getattr(self, key.lower()))


class ndarray:  # noqa: N801  # CuPy's name
    """A stand-in for cupy.ndarray. Made by the functions of `cupy`, not by calling the class."""

    __array_ufunc__ = None  # NumPy's arrays leave operators to this class, which refuses them
    __hash__ = None  # type: ignore[assignment]
    _host: np.ndarray
    _storage: Storage

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("the double makes arrays by cupy.empty, cupy.asarray and the like only")

    # what it is

    @property
    def shape(self) -> tuple[int, ...]:
        return self._host.shape

    @property
    def dtype(self) -> np.dtype:
        return self._host.dtype

    @property
    def ndim(self) -> int:
        return self._host.ndim

    @property
    def size(self) -> int:
        return self._host.size

    @property
    def nbytes(self) -> int:
        return self._host.nbytes

    @property
    def itemsize(self) -> int:
        return self._host.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        return self._host.strides

    @property
    def flags(self) -> Flags:
        return Flags(self._host.flags)

    @property
    def data(self) -> SimpleNamespace:
        return SimpleNamespace(ptr=self._host.ctypes.data)

    @property
    def T(self) -> ndarray:
        return on_device(self._host.T, self)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        device.require()
        strides = None if self._host.flags.c_contiguous else self._host.strides
        place = (self._host.ctypes.data, False)
        return {"shape": self.shape, "typestr": self.dtype.str, "strides": strides, "data": place, "version": 3}

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[ndarray]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        ledger.moved("host", self._host)
        return f"double {self._host!r}"

    # to the host

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy array "
            "explicitly."
        )

    @as_recorded("cupy.ndarray.get")
    def get(
        self, stream: Any = None, order: str = "C", out: np.ndarray | None = None, blocking: bool = True
    ) -> np.ndarray:
        device.launch("cupy.get")
        ledger.moved("host", self._host)
        if out is None:
            return np.array(self._host, order=order)
        if not isinstance(out, np.ndarray):
            raise TypeError(f"Only numpy.ndarray can be obtained from cupy.ndarray, found {type(out)}")
        if out.dtype != self.dtype or out.shape != self.shape:
            raise TypeError(f"out has {out.dtype} {out.shape}, and the array {self.dtype} {self.shape}")
        if not (out.flags.c_contiguous or out.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        out[...] = self._host
        return out

    @as_recorded("cupy.ndarray.item")
    def item(self) -> Any:
        device.launch("cupy.item")
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        ledger.moved("host", self._host)
        return self._host.item()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return int(np.asarray(self.item()).__index__())

    def __bool__(self) -> bool:
        return bool(self.item())

    @as_recorded("cupy.ndarray.__dlpack__")
    def __dlpack__(self, *, stream: Any = None, max_version: Any = None) -> Capsule:
        device.require()
        return Capsule(self._host, self._storage)

    def __dlpack_device__(self) -> tuple[int, int]:
        device.require()
        return (2, 0)

    # from the host

    @as_recorded("cupy.ndarray.set")
    def set(self, arr: np.ndarray, stream: Any = None) -> None:
        device.launch("cupy.set")
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if arr.dtype != self.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if arr.shape != self.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not (self._host.flags.c_contiguous or self._host.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        ledger.moved("device", arr)
        self._host[...] = arr

    # shape and values

    @as_recorded("cupy.ndarray.astype")
    def astype(self, dtype: Any, order: str = "K", casting: Any = None, *, copy: bool = True) -> ndarray:
        device.launch("cupy.astype")
        with np.errstate(all="ignore"):
            made = self._host.astype(dtype, order=order, copy=copy)
        return self if made is self._host else on_device(made, self)

    @as_recorded("cupy.ndarray.copy")
    def copy(self, order: str = "C") -> ndarray:
        device.launch("cupy.copy")
        return on_device(self._host.copy(order=order))

    @as_recorded("cupy.ndarray.reshape")
    def reshape(self, *shape: Any, order: str = "C", copy: Any = None) -> ndarray:
        device.launch("cupy.reshape")
        return on_device(self._host.reshape(*shape, order=order), self)

    @as_recorded("cupy.ndarray.ravel")
    def ravel(self, order: str = "C") -> ndarray:
        return on_device(self._host.ravel(order=order), self)

    @as_recorded("cupy.ndarray.transpose")
    def transpose(self, *axes: Any) -> ndarray:
        return on_device(self._host.transpose(*axes), self)

    @as_recorded("cupy.ndarray.fill")
    def fill(self, value: Any) -> None:
        device.launch("cupy.fill")
        self._host.fill(operand(value))

    def __getitem__(self, key: Any) -> ndarray:
        device.launch("cupy.getitem")
        return on_device(self._host[_indices(key)], self)

    def __setitem__(self, key: Any, value: Any) -> None:
        device.launch("cupy.setitem")
        refuse_overlap(self._host[_indices(key)], operand(value))
        self._host[_indices(key)] = operand(value)


class Capsule:
    """What `__dlpack__` gives: the memory, and who owns it."""

    def __init__(self, host: np.ndarray, storage: Storage) -> None:
        self.host, self.storage = host, storage


def on_device(made: Any, origin: ndarray | None = None) -> ndarray:
    """Return an array of the double, on the storage of its origin where it is a view of that."""
    host = np.asarray(made)
    array = object.__new__(ndarray)
    array._host = host
    view = origin is not None and np.may_share_memory(host, origin._host)
    array._storage = origin._storage if origin is not None and view else Storage(host.nbytes)
    return array


def operand(value: Any) -> Any:
    """Return what NumPy may compute with: the inside of an array, or a scalar. Anything else CuPy refuses."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, SCALARS):
        return value
    raise TypeError(f"Unsupported type {type(value)}")


def _indices(key: Any) -> Any:
    if isinstance(key, tuple):
        return tuple(_indices(one) for one in key)
    if isinstance(key, ndarray):
        return key._host
    if isinstance(key, (list, np.ndarray)):  # CuPy takes them, and sends them to the device
        ledger.moved("device", np.asarray(key))
        return np.asarray(key)
    return key
