"""Turn a neighbour graph into the weights of a layout: UMAP's memberships, t-SNE's joint probabilities.

Both find the width of a kernel over the neighbours of each row by bisection. The kernel gives a directed weight from a
row to each of its neighbours; the weights of both directions are then joined to one.
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

    As in umap-learn with `local_connectivity` 1: the membership of the nearest neighbour at a distance above 0 is 1,
    and the memberships of a row sum to log2(k). The memberships of both directions, a and b, become a + b - ab.

    Parameters
    ----------
    graph : Graph
    k : int
        Columns of the graph to use, including the row itself.
    least : float
        Weights below this are left out.

    Returns
    -------
    csr_matrix of shape (N, N), float32
        Symmetric, with sorted indices.
    """
    indices, distances = graph.nearest(k)
    values = np.empty((len(indices), k - 1), np.float32)
    in_ranges(loops.memberships, len(indices), distances, values)
    outgoing, incoming = _directions(indices[:, 1:], values)
    joined, both = outgoing + incoming, outgoing.multiply(incoming)
    del outgoing, incoming  # each is as large as the graph
    joined -= both
    joined.data[joined.data < least] = 0
    joined.eliminate_zeros()
    return joined


def probabilities(graph: Graph, k: int, perplexity: float) -> csr_matrix:
    """Return the joint probabilities of t-SNE (van der Maaten 2014, JMLR 15:3221, section 4.1); they sum to 1.

    Distances by any metric are squared, as in scikit-learn.

    Parameters
    ----------
    graph : Graph
    k : int
        Columns of the graph to use, including the row itself.
    perplexity : float

    Returns
    -------
    csr_matrix of shape (N, N), float32
        Symmetric, with sorted indices.
    """
    indices, distances = graph.nearest(k)
    values = np.empty((len(indices), k - 1), np.float32)
    in_ranges(loops.probabilities, len(indices), distances, float(np.log(perplexity)), values)
    outgoing, incoming = _directions(indices[:, 1:], values)
    joined = outgoing + incoming
    joined.data /= joined.data.sum(dtype=np.float64)
    return joined


def _directions(indices: np.ndarray, values: np.ndarray) -> tuple[csr_matrix, csr_matrix]:
    """Return the matrix of the weights from each row to its neighbours, (N, N), and its transpose."""
    rows, k = indices.shape
    starts = np.arange(0, rows * k + 1, k)
    outgoing = csr_matrix((values.ravel(), indices.ravel(), starts), (rows, rows))
    outgoing.sort_indices()
    return outgoing, outgoing.T.tocsr()


def arrays(graph: csr_matrix) -> tuple[Any, Any, Any]:
    """Return the arrays of a graph, with the types that the compiled loops take: indptr, indices and weights."""
    return graph.indptr.astype(np.int64), graph.indices.astype(np.int32, copy=False), graph.data
