"""What RAPIDS 26.10 cannot do, and what it promises about repeating a map; read in its sources."""

from __future__ import annotations

from gpuvis.backends.gpu import memory_model
from gpuvis.errors import SettingsError
from gpuvis.settings import METRICS, Settings

MOST_ROWS = 2**31 - 1  # cuML counts rows, and t-SNE the entries of its graph, in C's int
MOST_NEIGHBORS = 1023  # of cuML's t-SNE

# Between which the largest value of a matrix may lie: NN-descent measures in float16, whose largest number is 65504.
SAFE = (1e-3, 1.0)

COMPARED = 1024, 1 << 16  # anchors and rows that are compared at a time: their distances take 256 MiB

# Rows of which UMAP can start from eigenvectors. cuVS asks for three of them in a space of at most N - 3 dimensions
# (spectral_embedding.cuh, compute_eigenpairs), which is out of bounds for 5 to 7 rows and says little of a few more;
# raft indexes 20 vectors of N values in C's int (lanczos.cuh, kernel_normalize).
SPECTRAL = 16, (2**31 - 1) // 20

# Neighbours up to which a search chooses the same ones of several that are equally far: above, raft's select_k is a
# radix sort with atomics (select_k-inl.cuh, choose_select_k_algorithm).
STEADY = 256

SAME = "identical coordinates on the same GPU model with the same library versions and the same plan"
TIES = f"{SAME}, unless the last of its more than {STEADY} neighbours is as far as the next: one of them is taken"
DIFFERS = "no, because the neighbour graph is built by NN-descent, which differs from run to run (see --deterministic)"


def spectral(rows: int) -> bool:
    """Tell whether UMAP can start from eigenvectors; else it starts from principal components."""
    return SPECTRAL[0] <= rows <= SPECTRAL[1]


def promise(exact: bool, k: int) -> str:
    """Return what is promised about repeating a map, by how its graph of k columns is found."""
    if not exact:
        return DIFFERS
    return SAME if k <= STEADY else TIES


def check(settings: Settings) -> None:
    """Refuse what the GPU does not know, whatever the data.

    Raises
    ------
    SettingsError
    """
    for method, asked in settings.maps.items():
        if method not in memory_model.LAYOUTS:
            raise SettingsError(f"{method} is not known on the GPU; use --backend cpu")
        if asked.library:
            raise SettingsError(f"{method} by {asked.library} is for the CPU; leave that out, or use --backend cpu")
        if not METRICS[asked.metric].on_gpu:
            raise SettingsError(f"{method}_metric {asked.metric} is not known on the GPU; use --backend cpu")
    if settings.tsne and 3 * settings.tsne.perplexity + 2 > MOST_NEIGHBORS:
        raise SettingsError(
            f"tsne_perplexity {settings.tsne.perplexity:g} is too large for the GPU, which takes {MOST_NEIGHBORS} "
            f"neighbours: at most {(MOST_NEIGHBORS - 2) // 3}; use --backend cpu"
        )
