"""The limits of RAPIDS 26.10 (metrics, rows, neighbours), from its source code, and which maps are repeatable."""

from __future__ import annotations

from gpuvis.backends.gpu import memory_model
from gpuvis.errors import SettingsError
from gpuvis.settings import METRICS, Settings

MOST_ROWS = 2**31 - 1  # cuML counts rows, and its t-SNE the entries of the graph, in C's int
MOST_NEIGHBORS = 1023  # most neighbours that cuML's t-SNE takes

# Range for the largest absolute value of a matrix: NN-descent computes in float16, whose largest number is 65504.
SAFE = (1e-3, 1.0)

COMPARED = 1024, 1 << 16  # anchors and rows to compare at a time: their distances take 256 MiB

# Fewest and most rows for which UMAP can start from eigenvectors. cuVS computes three of them in a space of at most
# N - 3 dimensions (spectral_embedding.cuh, compute_eigenpairs), which is out of bounds for 5 to 7 rows and imprecise
# for a few more; raft indexes 20 vectors of N values with C's int (lanczos.cuh, kernel_normalize).
SPECTRAL = 16, (2**31 - 1) // 20

# Most neighbours for which a search always breaks ties of distances in the same way. For more, raft's select_k is a
# radix sort with atomics (select_k-inl.cuh, choose_select_k_algorithm).
STEADY = 256

SAME = "identical coordinates on the same GPU model with the same library versions and the same plan"
TIES = f"{SAME}, unless the last of its more than {STEADY} neighbours is as far as the next: one of them is taken"
DIFFERS = "no, because the neighbour graph is built by NN-descent, which differs from run to run (see --deterministic)"


def spectral(rows: int) -> bool:
    """Return whether UMAP can start from eigenvectors; otherwise it starts from principal components."""
    return SPECTRAL[0] <= rows <= SPECTRAL[1]


def promise(exact: bool, k: int) -> str:
    """Return whether a map is repeatable, as a sentence.

    Parameters
    ----------
    exact : bool
        Whether its neighbour graph is exact.
    k : int
        Columns of the graph.
    """
    if not exact:
        return DIFFERS
    return SAME if k <= STEADY else TIES


def check(settings: Settings) -> None:
    """Check that the GPU supports the settings, whatever the data.

    Raises
    ------
    SettingsError
        The GPU does not support a setting.
    """
    for method, options in settings.maps.items():
        if method not in memory_model.LAYOUTS:
            raise SettingsError(f"{method} is not known on the GPU; use --backend cpu")
        if options.library:
            raise SettingsError(f"{method} by {options.library} is for the CPU; leave that out, or use --backend cpu")
        if not METRICS[options.metric].on_gpu:
            raise SettingsError(f"{method}_metric {options.metric} is not known on the GPU; use --backend cpu")
    if settings.tsne and 3 * settings.tsne.perplexity + 2 > MOST_NEIGHBORS:
        raise SettingsError(
            f"tsne_perplexity {settings.tsne.perplexity:g} is too large for the GPU, which takes {MOST_NEIGHBORS} "
            f"neighbours: at most {(MOST_NEIGHBORS - 2) // 3}; use --backend cpu"
        )
