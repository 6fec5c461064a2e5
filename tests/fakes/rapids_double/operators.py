"""Operators and reductions of the device array, and CuPy's elementwise functions."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from rapids_double.array import ndarray, on_device, operand
from rapids_double.device import device
from rapids_double.overlap import refuse_overlap
from rapids_double.signatures import as_recorded

BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and_", "or_", "xor", "matmul")
COMPARISONS = ("lt", "le", "eq", "ne", "gt", "ge")
UNARY = ("neg", "pos", "invert", "abs")
REDUCTIONS = ("sum", "mean", "max", "min", "any", "all", "argmax")
UFUNCS = ("abs", "sqrt", "exp", "log", "log2", "isfinite", "sign", "square")
UFUNCS_OF_TWO = ("maximum", "minimum")


def _binary(name: str, compute: Callable[[Any, Any], Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def forward(self: ndarray, other: Any) -> ndarray:
        device.launch(f"cupy.{name}")
        with np.errstate(all="ignore"):
            return on_device(compute(self._host, operand(other)))

    def backward(self: ndarray, other: Any) -> ndarray:
        device.launch(f"cupy.{name}")
        with np.errstate(all="ignore"):
            return on_device(compute(operand(other), self._host))

    return forward, backward


def _in_place(name: str, compute: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def method(self: ndarray, other: Any) -> ndarray:
        device.launch(f"cupy.{name}")
        refuse_overlap(self._host, operand(other))
        with np.errstate(all="ignore"):
            compute(self._host, operand(other))
        return self

    return method


def _unary(name: str, compute: Callable[[Any], Any]) -> Callable[..., Any]:
    def method(self: ndarray) -> ndarray:
        device.launch(f"cupy.{name}")
        return on_device(compute(self._host))

    return method


def _reduction(name: str) -> Callable[..., Any]:
    @as_recorded(f"cupy.ndarray.{name}")
    def method(self: ndarray, *args: Any, **kwargs: Any) -> ndarray:
        device.launch(f"cupy.{name}")
        if kwargs.get("out") is not None:
            raise NotImplementedError(f"the double of cupy.{name} has no out=")
        with np.errstate(all="ignore"):
            return on_device(np.array(getattr(self._host, name)(*args, **kwargs)))

    return method


def _install() -> None:
    for name in (*BINARY, *COMPARISONS):
        plain = name.strip("_")
        forward, backward = _binary(plain, getattr(operator, name))
        setattr(ndarray, f"__{plain}__", forward)
        if name in BINARY:
            setattr(ndarray, f"__r{plain}__", backward)
            setattr(ndarray, f"__i{plain}__", _in_place(plain, getattr(operator, f"i{plain}")))
    for name in UNARY:
        setattr(ndarray, f"__{name}__", _unary(name, getattr(operator, name)))
    for name in REDUCTIONS:
        setattr(ndarray, name, _reduction(name))


def ufunc(name: str, takes: int = 1) -> Callable[..., Any]:
    """Return an elementwise function of CuPy."""
    compute = getattr(np, name)

    @as_recorded(f"cupy.{name}")
    def function(*args: Any, out: ndarray | None = None, dtype: Any = None) -> ndarray:
        device.launch(f"cupy.{name}")
        if len(args) != takes:
            raise TypeError(f"Wrong number of arguments for cupy.{name}: {len(args)}")
        values = [operand(value) for value in args]
        with np.errstate(all="ignore"):
            if out is None:
                return on_device(np.array(compute(*values, dtype=dtype)))
            compute(*values, out=out._host, dtype=dtype)
        return out

    function.__name__ = name
    return function


def of_method(name: str) -> Callable[..., Any]:
    """Return the function of CuPy that calls an array's method of the same name."""

    @as_recorded(f"cupy.{name}")
    def function(a: Any, *args: Any, **kwargs: Any) -> ndarray:
        if not isinstance(a, ndarray):
            raise TypeError(f"the double of cupy.{name} takes a cupy array; found {type(a)}")
        return getattr(a, name)(*args, **kwargs)

    function.__name__ = name
    return function


@as_recorded("cupy.ndarray.argsort")
def _argsort(self: ndarray, axis: int = -1, kind: Any = None) -> ndarray:
    device.launch("cupy.argsort")
    if kind not in (None, "stable"):
        raise ValueError("kind can only be None or 'stable'")
    return on_device(np.argsort(self._host, axis=axis, kind="stable"))


_install()
ndarray.argsort = _argsort  # type: ignore[attr-defined]
