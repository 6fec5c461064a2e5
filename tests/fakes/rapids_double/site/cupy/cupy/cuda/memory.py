from rapids_double.errors import OutOfMemoryError  # noqa: F401
