from rapids_double.cuvs_params import Resources  # noqa: F401
