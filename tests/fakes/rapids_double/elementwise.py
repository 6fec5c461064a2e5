"""CuPy's elementwise functions and reductions: names that would hide Python's own, in a module with nothing else."""

from __future__ import annotations

from rapids_double import operators

MADE = {
    **{name: operators.ufunc(name) for name in operators.UFUNCS},
    **{name: operators.ufunc(name, 2) for name in operators.UFUNCS_OF_TWO},
    **{name: operators.of_method(name) for name in (*operators.REDUCTIONS, "argsort")},
}
