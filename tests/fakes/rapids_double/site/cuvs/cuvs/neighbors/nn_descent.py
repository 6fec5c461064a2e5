from rapids_double.cuvs_params import IndexParams  # noqa: F401
