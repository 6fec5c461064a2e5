"""Compute the edge weights of a layout from a neighbour graph: UMAP's memberships, t-SNE's joint probabilities.

Both find, for each row, the width of a kernel over its neighbours by bisection. The kernel gives a directed weight from
the row to each neighbour. The weights of both directions are then combined.
"""

from __future__ import annotations

from collections.abc import Callable
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
    outgoing, incoming = _directed_weights(graph, k, loops.memberships)
    weights, products = outgoing + incoming, outgoing.multiply(incoming)
    del outgoing, incoming  # each is as large as the graph
    weights -= products
    weights.data[weights.data < least] = 0
    weights.eliminate_zeros()
    return weights


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
    outgoing, incoming = _directed_weights(graph, k, loops.probabilities, float(np.log(perplexity)))
    weights = outgoing + incoming
    weights.data /= weights.data.sum(dtype=np.float64)
    return weights


def _directed_weights(
    graph: Graph, k: int, loop: Callable[..., None], *parameters: float
) -> tuple[csr_matrix, csr_matrix]:
    """Return the matrix of the weights from each row to its neighbours, (N, N), and its transpose.

    `loop`: the compiled function that computes the weights from the distances and `parameters`.
    """
    indices, distances = graph.nearest(k)
    rows, others = len(indices), k - 1
    values = np.empty((rows, others), np.float32)
    in_ranges(loop, rows, distances, *parameters, values)
    starts = np.arange(0, rows * others + 1, others)
    outgoing = csr_matrix((values.ravel(), indices[:, 1:].ravel(), starts), (rows, rows))
    outgoing.sort_indices()
    return outgoing, outgoing.T.tocsr()


def csr_arrays(graph: csr_matrix) -> tuple[Any, Any, Any]:
    """Return indptr, indices and weights of a graph, with the dtypes that the compiled loops take."""
    return graph.indptr.astype(np.int64), graph.indices.astype(np.int32, copy=False), graph.data
