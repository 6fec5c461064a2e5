from rapids_double.cuml_pca import PCA  # noqa: F401
