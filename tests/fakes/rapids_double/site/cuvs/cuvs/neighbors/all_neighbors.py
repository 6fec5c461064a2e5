from rapids_double.cuvs_neighbors import AllNeighborsParams, build  # noqa: F401
