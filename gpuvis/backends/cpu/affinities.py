"""Turn a neighbour graph into the weights of a layout: UMAP's memberships, t-SNE's joint probabilities.

Both find, for each row, the width of a kernel over its neighbours by bisection, and then join what i says of j with
what j says of i.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from gpuvis.backends.cpu.kernels import loops
from gpuvis.backends.neighbor_graph import Graph
from gpuvis.backends.parallel import in_ranges


def memberships(graph: Graph, k: int, least: float) -> csr_matrix:
    """Return the fuzzy simplicial set of UMAP (McInnes, Healy, Melville 2018, arXiv:1802.03426, section 3.1).

    It is umap-learn's, with `local_connectivity` 1: the nearest neighbour at a distance above 0 is joined with
    certainty, and the memberships of a row sum to log2(k). Those of both directions, a and b, become a + b - ab.

    Parameters
    ----------
    graph : Graph
    k : int
        Neighbours to look at, the row itself counted.
    least : float
        Weights below it are left out.

    Returns
    -------
    csr_matrix of shape (N, N), float32
        Symmetric, with sorted indices.
    """
    indices, distances = graph.nearest(k)
    values = np.empty((len(indices), k - 1), np.float32)
    in_ranges(loops.memberships, len(indices), distances, values)
    forth, back = _directions(indices[:, 1:], values)
    joined, both = forth + back, forth.multiply(back)
    del forth, back  # each is as large as the graph
    joined -= both
    joined.data[joined.data < least] = 0
    joined.eliminate_zeros()
    return joined


def probabilities(graph: Graph, k: int, perplexity: float) -> csr_matrix:
    """Return the joint probabilities of t-SNE (van der Maaten 2014, JMLR 15:3221, section 4.1); they sum to 1.

    As in scikit-learn the distances are squared, whatever the metric.

    Parameters
    ----------
    graph : Graph
    k : int
        Neighbours to look at, the row itself counted.
    perplexity : float

    Returns
    -------
    csr_matrix of shape (N, N), float32
        Symmetric, with sorted indices.
    """
    indices, distances = graph.nearest(k)
    values = np.empty((len(indices), k - 1), np.float32)
    in_ranges(loops.probabilities, len(indices), distances, float(np.log(perplexity)), values)
    forth, back = _directions(indices[:, 1:], values)
    joined = forth + back
    joined.data /= joined.data.sum(dtype=np.float64)
    return joined


def _directions(indices: np.ndarray, values: np.ndarray) -> tuple[csr_matrix, csr_matrix]:
    """Return what each row says of its neighbours, and what they say of it."""
    rows, k = indices.shape
    starts = np.arange(0, rows * k + 1, k)
    forth = csr_matrix((values.ravel(), indices.ravel(), starts), (rows, rows))
    forth.sort_indices()
    return forth, forth.T.tocsr()


def arrays(graph: csr_matrix) -> tuple[Any, Any, Any]:
    """Return indptr, indices and weights of a graph, as the compiled loops take them."""
    return graph.indptr.astype(np.int64), graph.indices.astype(np.int32, copy=False), graph.data
