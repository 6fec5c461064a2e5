"""The GPU: RAPIDS on CuPy arrays."""
