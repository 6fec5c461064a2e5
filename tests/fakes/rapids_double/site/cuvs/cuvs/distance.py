from rapids_double.cuvs_params import DISTANCE_TYPES  # noqa: F401
