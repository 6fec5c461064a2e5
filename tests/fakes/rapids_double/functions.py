"""CuPy's functions that make and combine arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from rapids_double.array import Capsule, ndarray, on_device, operand
from rapids_double.device import device
from rapids_double.device import device as the_device
from rapids_double.ledger import ledger
from rapids_double.signatures import as_recorded

__all__ = [
    "arange",
    "argpartition",
    "array",
    "asarray",
    "ascontiguousarray",
    "asfortranarray",
    "asnumpy",
    "concatenate",
    "dot",
    "einsum",
    "empty",
    "empty_like",
    "from_dlpack",
    "full",
    "get_array_module",
    "matmul",
    "ones",
    "take_along_axis",
    "where",
    "zeros",
    "zeros_like",
]


def as_device(obj: Any, dtype: Any = None, order: str | None = None, copy: bool | None = None) -> ndarray:
    """Return an array on the device: the same, a copy on the device, or one moved there from the host."""
    if hasattr(obj, "__cuda_array_interface__") and not isinstance(obj, ndarray):
        obj = obj._as_cupy()
    if isinstance(obj, ndarray):
        made = np.array(obj._host, dtype=dtype, order=order or "K", copy=copy)
        return obj if made is obj._host else on_device(made, obj)
    host = np.array(obj, dtype=dtype, order=order or "K")
    if host.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {host.dtype}")
    ledger.moved("device", host)
    return on_device(host)


@as_recorded("cupy.asarray")
def asarray(
    a: Any, dtype: Any = None, order: str | None = None, *, copy: Any = None, blocking: bool = False
) -> ndarray:
    device.launch("cupy.asarray")
    return as_device(a, dtype, order, copy)


@as_recorded("cupy.array")
def array(obj: Any, dtype: Any = None, copy: Any = True, order: str = "K") -> ndarray:
    device.launch("cupy.array")
    return as_device(obj, dtype, order, copy)


@as_recorded("cupy.ascontiguousarray")
def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    return as_device(a, dtype, "C")


@as_recorded("cupy.asfortranarray")
def asfortranarray(a: Any, dtype: Any = None) -> ndarray:
    return as_device(a, dtype, "F")


@as_recorded("cupy.empty")
def empty(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    """Return an array of rubbish, so that nobody counts on zeros."""
    return on_device(_rubbish(np.empty(shape, dtype, order=order)))


@as_recorded("cupy.empty_like")
def empty_like(prototype: ndarray, dtype: Any = None, order: str = "K") -> ndarray:
    return on_device(_rubbish(np.empty_like(operand(prototype), dtype=dtype, order=order)))


def _rubbish(made: np.ndarray) -> np.ndarray:
    made.fill(np.nan if made.dtype.kind == "f" else 113)
    return made


@as_recorded("cupy.zeros")
def zeros(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return on_device(np.zeros(shape, dtype, order=order))


@as_recorded("cupy.zeros_like")
def zeros_like(a: ndarray, dtype: Any = None, order: str = "K") -> ndarray:
    return on_device(np.zeros_like(operand(a), dtype=dtype, order=order))


@as_recorded("cupy.ones")
def ones(shape: Any, dtype: Any = float, order: str = "C") -> ndarray:
    return on_device(np.ones(shape, dtype, order=order))


@as_recorded("cupy.full")
def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> ndarray:
    return on_device(np.full(shape, operand(fill_value), dtype, order=order))


@as_recorded("cupy.arange")
def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> ndarray:
    return on_device(np.arange(start, dtype=dtype) if stop is None else np.arange(start, stop, step, dtype))


@as_recorded("cupy.concatenate")
def concatenate(tup: Any, axis: int = 0, out: ndarray | None = None, *, dtype: Any = None) -> ndarray:
    if not all(isinstance(one, ndarray) for one in tup):
        raise TypeError("Only cupy arrays can be concatenated")
    if out is not None:
        np.concatenate([one._host for one in tup], axis, out=out._host)
        return out
    return on_device(np.concatenate([one._host for one in tup], axis, dtype=dtype))


@as_recorded("cupy.where")
def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None:
        return tuple(on_device(one) for one in np.nonzero(operand(condition)))
    return on_device(np.where(operand(condition), operand(x), operand(y)))


@as_recorded("cupy.argpartition")
def argpartition(a: ndarray, kth: Any, axis: int = -1) -> ndarray:
    device.launch("cupy.argpartition")
    return on_device(np.argpartition(operand(a), kth, axis))


@as_recorded("cupy.take_along_axis")
def take_along_axis(a: ndarray, indices: ndarray, axis: int | None) -> ndarray:
    return on_device(np.take_along_axis(operand(a), operand(indices), axis))


@as_recorded("cupy.matmul")
def matmul(*args: Any, out: ndarray | None = None, dtype: Any = None) -> ndarray:
    device.launch("cupy.matmul")
    for one in args:
        if not isinstance(one, ndarray):
            raise TypeError(
                f"Argument 'b' has incorrect type (expected cupy._core.core._ndarray_base, got {type(one)})"
            )
    with np.errstate(all="ignore"):
        made = np.matmul(*[one._host for one in args], out=None if out is None else out._host, dtype=dtype)
    return on_device(made) if out is None else out


@as_recorded("cupy.dot")
def dot(a: ndarray, b: ndarray, out: ndarray | None = None) -> ndarray:
    device.launch("cupy.dot")
    made = np.dot(operand(a), operand(b), out=None if out is None else out._host)
    return on_device(made) if out is None else out


@as_recorded("cupy.einsum")
def einsum(*operands: Any, **kwargs: Any) -> ndarray:
    device.launch("cupy.einsum")
    return on_device(np.einsum(operands[0], *[operand(one) for one in operands[1:]], **kwargs))


@as_recorded("cupy.linalg.eigh")
def eigh(a: ndarray, UPLO: str = "L") -> tuple[ndarray, ndarray]:
    device.launch("cupy.eigh")
    values, vectors = np.linalg.eigh(operand(a), UPLO)
    return on_device(values), on_device(vectors)


@as_recorded("cupy.linalg.norm")
def norm(x: ndarray, ord: Any = None, axis: Any = None, keepdims: bool = False) -> ndarray:  # noqa: A002
    device.launch("cupy.norm")
    return on_device(np.linalg.norm(operand(x), ord, axis, keepdims))


@as_recorded("cupy.asnumpy")
def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> np.ndarray:
    if isinstance(a, ndarray):
        return a.get(order=order, out=out)
    if out is not None:
        np.copyto(out, a)
        return out
    return np.asarray(a, order=order)


@as_recorded("cupy.from_dlpack")
def from_dlpack(array: Any, *, device: Any = None, copy: Any = None) -> ndarray:
    """Return a view of another library's device memory, which it keeps alive."""
    if isinstance(array, np.ndarray) or array.__dlpack_device__()[0] == 1:
        raise TypeError(
            "CPU arrays cannot be directly imported to CuPy. Use `cupy.array(numpy.from_dlpack(input))` instead."
        )
    the_device.require()
    if device is not None:
        raise NotImplementedError("device= is not supported")
    capsule = array.__dlpack__(stream=1)
    if not isinstance(capsule, Capsule):
        raise TypeError("Unsupported array type")
    made = object.__new__(ndarray)
    made._host, made._storage = capsule.host, capsule.storage
    return made


@as_recorded("cupy.get_array_module")
def get_array_module(*args: Any) -> Any:
    import cupy

    return cupy if any(isinstance(one, ndarray) for one in args) else np
