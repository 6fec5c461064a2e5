"""The GPU backend: RAPIDS on CuPy arrays."""
