"""Estimate the memory of each step on the device and on the host, from the allocations of the libraries.

Functions return the peak of a step, as `Bytes` or as one number of bytes. The headroom is what the documentation of the
libraries recommends. Sources: cuVS's guides to brute force, NN-descent and all-neighbors, and the allocations in the
source files of RAPIDS 26.10 that each function names (cuML's cpp/src/umap and cpp/src/tsne, cuVS's cpp/src/neighbors).
Nothing has been measured on a GPU yet.
"""

from __future__ import annotations

from typing import NamedTuple

FLOAT, INDEX = 4, 8  # bytes of float32 and int64
NEIGHBOUR = FLOAT + INDEX  # bytes of one entry of a graph
TILES = 1 << 30  # most bytes of distances that a brute-force search holds at a time
CHUNK = 256 << 20  # bytes of a matrix to copy at a time
OVERLAP = 2  # clusters to which a batched search assigns each row
UNEVEN = 1.5  # assumed size of the largest cluster, as a multiple of the mean


def in_units(size: float) -> str:
    """Return a size in bytes as text with a unit."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"


class Bytes(NamedTuple):
    """Memory on the device and on the host, in bytes."""

    device: int
    host: int = 0

    def plus(self, other: Bytes) -> Bytes:
        """Return the sum of both."""
        return Bytes(self.device + other.device, self.host + other.host)

    def with_headroom(self, share: float) -> Bytes:
        """Return the memory plus a share of it."""
        return Bytes(int(self.device * (1 + share)), int(self.host * (1 + share)))


def matrix(rows: int, columns: int) -> int:
    """Return the bytes of a float32 matrix."""
    return FLOAT * rows * columns


def loading(rows: int, columns: int, itemsize: int) -> Bytes:
    """Estimate copying a matrix to the device in its own dtype and converting it to float32 there."""
    original = itemsize * rows * columns
    return Bytes(matrix(rows, columns) + (original if itemsize != FLOAT else 0))


def pca_in_core(rows: int, columns: int, n_components: int) -> Bytes:
    """Estimate PCA of a matrix on the device, without the matrix itself.

    cuML copies the matrix to Fortran order, one copy at a time, and the scores to C order
    (cuml/decomposition/pca.pyx).
    """
    scores = matrix(rows, n_components)
    return Bytes(matrix(rows, columns) + 2 * scores + 3 * matrix(columns, columns)).with_headroom(0.05)


def pca_streamed(rows: int, columns: int) -> Bytes:
    """Estimate PCA chunk by chunk.

    It holds a chunk in its own dtype and as float32, its shifted copy, and float64 matrices for the eigenvectors.
    """
    chunk = min(CHUNK, matrix(rows, columns))
    return Bytes(4 * chunk + 5 * 8 * columns * columns, chunk)


def exact_graph(rows: int, k: int) -> Bytes:
    """Estimate a brute-force search, without the matrix."""
    return Bytes(int(1.1 * (NEIGHBOUR * rows * k + 3 * FLOAT * rows)) + min(TILES, FLOAT * rows * rows))


def _expanded(degree: int) -> int:
    """Return the degree that NN-descent allocates: 30 % more if above 32, rounded up to a multiple of 32."""
    return -(-int(degree if degree <= 32 else 1.3 * degree) // 32) * 32


def degrees(k: int) -> tuple[int, int]:
    """Return the final and the intermediate degree of an NN-descent graph: cuVS's defaults, or more for a large k."""
    final = max(64, k)
    return final, max(128, 3 * final // 2)


def nn_descent(rows: int, columns: int, k: int, on_device: bool = False) -> Bytes:
    """Estimate a search by NN-descent, without the matrix and the output.

    A matrix on the device is not copied; one on the host is, as float16 if it has more than 16 columns
    (nn_descent.cuh, GNND::build).
    """
    final, intermediate = degrees(k)
    copied = 0 if on_device else columns * (2 if columns > 16 else FLOAT)
    device = rows * (copied + FLOAT + 276 + 4 * final)
    host = rows * (4 * final + 8 * _expanded(final) + 2 * _expanded(intermediate) + 912 + 4 * final + INDEX * k)
    return Bytes(device, host)


def approximate_graph(rows: int, k: int) -> Bytes:
    """Estimate a search by NN-descent in a matrix on the device, including the output."""
    return nn_descent(rows, 0, k, on_device=True).plus(Bytes(NEIGHBOUR * rows * k)).with_headroom(0.3)


def batched_graph(rows: int, columns: int, k: int, n_clusters: int, on_host: bool) -> Bytes:
    """Estimate a search in batches from the host, including the output.

    Each cluster is searched separately, and its neighbours are merged into the output (all_neighbors_batched.cuh).
    """
    members = int(UNEVEN * rows * OVERLAP / n_clusters) + 1
    cluster = members * (FLOAT * columns + k * (2 * INDEX + FLOAT) + INDEX)
    assigned = -(-rows // n_clusters) * (FLOAT * columns + OVERLAP * NEIGHBOUR)
    local = nn_descent(members, columns, k)
    output = NEIGHBOUR * rows * k
    device = max(cluster + local.device, assigned) + (0 if on_host else output)
    host = INDEX * rows * OVERLAP + matrix(members, columns) + local.host + (output if on_host else 0)
    return Bytes(device, host).with_headroom(0.25)


def umap_layout(rows: int, n_neighbors: int) -> Bytes:
    """Estimate a UMAP layout.

    The device holds the fuzzy graph, its symmetric form with workspace to sort it, the optimiser and three embeddings
    (runner.cuh). cuML also copies the symmetric graph to the host, up to 2 k entries of 12 bytes for each row, and
    briefly holds it twice.
    """
    return Bytes(84 * rows * n_neighbors + 3 * 2 * FLOAT * rows, 4 * 12 * rows * n_neighbors)


def tsne_layout(rows: int, n_neighbors: int) -> Bytes:
    """Estimate a t-SNE layout: the larger of sorting the symmetric affinities and the steps by FFT.

    Sorting (tsne_runner.cuh, distance_and_perplexity): for each of N k entries the squared distance and P, 4 bytes
    each; and 2 N k entries in COO format, 20 bytes each (two int64, one float32), which `thrust::sort` sorts with keys
    of 24 bytes. Steps (fft_tsne.cuh): COO, the distances and, at the end, 4 bytes for each entry of COO; for each row
    292 bytes, the buffers of a radix sort, and the start and the map, one of them in both orders.
    """
    entries, coo = rows * n_neighbors, 2 * (INDEX + INDEX + FLOAT)
    sorting = entries * (FLOAT + FLOAT + coo + 2 * 24)
    stepping = entries * (FLOAT + coo + 2 * FLOAT) + rows * (292 + 2 * INDEX + 3 * 2 * FLOAT)
    return Bytes(max(sorting, stepping))


LAYOUTS = {"umap": umap_layout, "tsne": tsne_layout}  # the methods that the GPU supports
