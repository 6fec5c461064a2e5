"""How many bytes each step takes on the device and on the host: arithmetic read off the libraries.

Every function gives a `Bytes` for N rows; fractions are the headroom that the libraries' own documentation asks for.
Sources: cuVS's guides to brute force, NN-descent and all-neighbors; for what follows the graph, the allocations in
cuML 26.10's cpp/src/umap/runner.cuh and cpp/src/tsne/*.cuh. None of it has been measured on a GPU yet.
"""

from __future__ import annotations

from typing import NamedTuple

FLOAT, INDEX = 4, 8  # bytes of float32 and int64
NEIGHBOUR = FLOAT + INDEX  # of one entry of a graph
TILES = 1 << 30  # the distances that a brute-force search holds at a time, at most
CHUNK = 256 << 20  # of a matrix that is streamed
OVERLAP = 2  # clusters that each row is put into by a batched search
UNEVEN = 1.5  # times as large as the mean may the largest cluster be


def told(size: float) -> str:
    """Return a size in words."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"


class Bytes(NamedTuple):
    """Memory on the device and on the host."""

    device: int
    host: int = 0

    def plus(self, other: Bytes) -> Bytes:
        """Return both together."""
        return Bytes(self.device + other.device, self.host + other.host)

    def with_headroom(self, share: float) -> Bytes:
        """Return more by a share of it."""
        return Bytes(int(self.device * (1 + share)), int(self.host * (1 + share)))


def matrix(rows: int, columns: int) -> int:
    """Return the size of a matrix of float32."""
    return FLOAT * rows * columns


def loading(rows: int, columns: int, itemsize: int) -> Bytes:
    """Bring a matrix over in its own type, and make float32 of it."""
    own = itemsize * rows * columns
    return Bytes(matrix(rows, columns) + (own if itemsize != FLOAT else 0))


def pca_in_core(rows: int, columns: int, n_components: int) -> Bytes:
    """CuML's PCA copies a matrix in C order to Fortran order; its scores are then put into C order."""
    scores = matrix(rows, n_components)
    return Bytes(2 * matrix(rows, columns) + 2 * scores + 3 * matrix(columns, columns)).with_headroom(0.05)


def pca_streamed(rows: int, columns: int) -> Bytes:
    """Hold a chunk, as it crossed and as float32, its shifted copy, and matrices of float64 for the eigenvectors."""
    chunk = min(CHUNK, matrix(rows, columns))
    return Bytes(4 * chunk + 5 * 8 * columns * columns, chunk)


def exact_graph(rows: int, k: int) -> Bytes:
    """Search by brute force, besides the matrix itself."""
    return Bytes(int(1.1 * (NEIGHBOUR * rows * k + 3 * FLOAT * rows)) + min(TILES, FLOAT * rows * rows))


def _expanded(degree: int) -> int:
    return -(-int(degree if degree <= 32 else 1.3 * degree) // 32) * 32


def degrees(k: int) -> tuple[int, int]:
    """Return the final and the intermediate degree of an NN-descent graph: cuVS's defaults, or what k needs."""
    final = max(64, k)
    return final, max(128, 3 * final // 2)


def nn_descent(rows: int, columns: int, k: int) -> Bytes:
    """Search by NN-descent, besides the matrix and the output; the matrix is copied as float16."""
    final, intermediate = degrees(k)
    device = rows * (2 * columns + FLOAT + 276 + 4 * final)
    host = rows * (4 * final + 8 * _expanded(final) + 2 * _expanded(intermediate) + 912 + 4 * final + INDEX * k)
    return Bytes(device, host)


def approximate_graph(rows: int, columns: int, k: int) -> Bytes:
    """Search by NN-descent in a matrix on the device, the output included."""
    return nn_descent(rows, columns, k).plus(Bytes(NEIGHBOUR * rows * k)).with_headroom(0.3)


def batched_graph(rows: int, columns: int, k: int, n_clusters: int, on_host: bool) -> Bytes:
    """Search cluster by cluster on the host; the merge buffers are managed memory, at worst on the device."""
    members = int(UNEVEN * rows * OVERLAP / n_clusters) + 1
    cluster = members * (FLOAT * columns + k * (2 * INDEX + FLOAT) + INDEX)
    assigned = -(-rows // n_clusters) * (FLOAT * columns + OVERLAP * NEIGHBOUR)
    local = nn_descent(members, columns, k)
    output = NEIGHBOUR * rows * k
    device = output + max(cluster + local.device, assigned) + (0 if on_host else output)
    host = INDEX * rows * OVERLAP + matrix(members, columns) + local.host + (output if on_host else 0)
    return Bytes(device, host).with_headroom(0.25)


def umap_layout(rows: int, n_neighbors: int) -> Bytes:
    """Fuzzy graph, its symmetric form with the workspace of its sorting, optimiser and three embeddings.

    cuML also copies the symmetric graph to the host, up to 2 k entries of 12 bytes a row, twice for a moment.
    """
    return Bytes(84 * rows * n_neighbors + 3 * 2 * FLOAT * rows, 4 * 12 * rows * n_neighbors)


def tsne_layout(rows: int, n_neighbors: int) -> Bytes:
    """Squared distances, affinities, their symmetric form with the workspace of its sorting, and the FFT's buffers."""
    return Bytes(rows * n_neighbors * (FLOAT + FLOAT + 40 + 40) + 300 * rows)
