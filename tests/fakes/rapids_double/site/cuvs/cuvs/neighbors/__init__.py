from cuvs.neighbors import all_neighbors, nn_descent  # noqa: F401
