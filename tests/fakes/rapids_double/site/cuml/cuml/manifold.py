from rapids_double.cuml_tsne import TSNE  # noqa: F401
from rapids_double.cuml_umap import UMAP  # noqa: F401
