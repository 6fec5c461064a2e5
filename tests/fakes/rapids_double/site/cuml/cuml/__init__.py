"""The double of cuml (see rapids_double): it computes with scikit-learn and our own loops on the host."""

from rapids_double.device import device as _device

_device.import_of("cuml")

import cupy as _cupy  # noqa: E402
from rapids_double.cuml_pca import PCA  # noqa: E402
from rapids_double.cuml_tsne import TSNE  # noqa: E402
from rapids_double.cuml_umap import UMAP  # noqa: E402
from rmm.allocators.cupy import rmm_cupy_allocator as _rmm_cupy_allocator  # noqa: E402

from cuml import decomposition, manifold  # noqa: E402, F401

_cupy.cuda.set_allocator(_rmm_cupy_allocator)  # as the real one does
__version__ = "26.10.00"
__all__ = ["PCA", "TSNE", "UMAP"]
