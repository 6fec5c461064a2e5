"""The bytes that each step takes on the device and on the host, by the libraries' own arithmetic.

Every function gives a `Bytes` for N rows; fractions are the headroom that the libraries' own documentation asks for.
Sources: cuVS's guides to brute force, NN-descent and all-neighbors, and the allocations in the sources of RAPIDS 26.10
that each function names (cuML's cpp/src/umap and cpp/src/tsne, cuVS's cpp/src/neighbors). None of it has been measured
on a GPU yet.
"""

from __future__ import annotations

from typing import NamedTuple

FLOAT, INDEX = 4, 8  # bytes of float32 and int64
NEIGHBOUR = FLOAT + INDEX  # of one entry of a graph
TILES = 1 << 30  # the distances that a brute-force search holds at a time, at most
CHUNK = 256 << 20  # of a matrix that is streamed
OVERLAP = 2  # clusters that each row is put into by a batched search
UNEVEN = 1.5  # times as large as the mean may the largest cluster be


def in_units(size: float) -> str:
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
    """Copy a matrix to Fortran order, once at a time, and the scores to C order (cuml/decomposition/pca.pyx)."""
    scores = matrix(rows, n_components)
    return Bytes(matrix(rows, columns) + 2 * scores + 3 * matrix(columns, columns)).with_headroom(0.05)


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


def nn_descent(rows: int, columns: int, k: int, on_device: bool = False) -> Bytes:
    """Search by NN-descent, besides the matrix and the output.

    A matrix on the device is read as it is; one from the host is copied, as float16 above 16 columns (nn_descent.cuh,
    GNND::build).
    """
    final, intermediate = degrees(k)
    copied = 0 if on_device else columns * (2 if columns > 16 else FLOAT)
    device = rows * (copied + FLOAT + 276 + 4 * final)
    host = rows * (4 * final + 8 * _expanded(final) + 2 * _expanded(intermediate) + 912 + 4 * final + INDEX * k)
    return Bytes(device, host)


def approximate_graph(rows: int, k: int) -> Bytes:
    """Search by NN-descent in a matrix on the device, the output included."""
    return nn_descent(rows, 0, k, on_device=True).plus(Bytes(NEIGHBOUR * rows * k)).with_headroom(0.3)


def batched_graph(rows: int, columns: int, k: int, n_clusters: int, on_host: bool) -> Bytes:
    """Search cluster by cluster on the host, and merge into the output itself (all_neighbors_batched.cuh)."""
    members = int(UNEVEN * rows * OVERLAP / n_clusters) + 1
    cluster = members * (FLOAT * columns + k * (2 * INDEX + FLOAT) + INDEX)
    assigned = -(-rows // n_clusters) * (FLOAT * columns + OVERLAP * NEIGHBOUR)
    local = nn_descent(members, columns, k)
    output = NEIGHBOUR * rows * k
    device = max(cluster + local.device, assigned) + (0 if on_host else output)
    host = INDEX * rows * OVERLAP + matrix(members, columns) + local.host + (output if on_host else 0)
    return Bytes(device, host).with_headroom(0.25)


def umap_layout(rows: int, n_neighbors: int) -> Bytes:
    """Fuzzy graph, its symmetric form with the workspace of its sorting, optimiser and three embeddings (runner.cuh).

    cuML also copies the symmetric graph to the host, up to 2 k entries of 12 bytes a row, twice for a moment.
    """
    return Bytes(84 * rows * n_neighbors + 3 * 2 * FLOAT * rows, 4 * 12 * rows * n_neighbors)


def tsne_layout(rows: int, n_neighbors: int) -> Bytes:
    """Sort the symmetric affinities, then step by the FFT, whichever takes more.

    Of each of N k entries tsne_runner.cuh, distance_and_perplexity, has the squared distance and P (4 bytes each) while
    `thrust::sort` goes over the 2 N k entries of COO (20 bytes each, int64 twice and float32) with keys of 24 bytes.
    fft_tsne.cuh then has COO, the distances and, at its end, 4 bytes of each entry of COO; of each row 292 bytes, the
    buffers of a radix sort, and the start and the map, one of them in both orders.
    """
    entries, coo = rows * n_neighbors, 2 * (INDEX + INDEX + FLOAT)
    sorting = entries * (FLOAT + FLOAT + coo + 2 * 24)
    stepping = entries * (FLOAT + coo + 2 * FLOAT) + rows * (292 + 2 * INDEX + 3 * 2 * FLOAT)
    return Bytes(max(sorting, stepping))


LAYOUTS = {"umap": umap_layout, "tsne": tsne_layout}  # of the methods that the GPU knows
