"""UMAP and t-SNE layouts on the GPU, by cuML."""

from __future__ import annotations

import cupy
import numpy as np

from gpuvis.backends.base import ALL_THE_SAME, Layout
from gpuvis.backends.gpu import limits
from gpuvis.backends.gpu.cuml_parameters import tsne_keywords, umap_keywords
from gpuvis.backends.library_warnings import collect_all
from gpuvis.backends.neighbor_graph import Graph, for_perplexity
from gpuvis.settings import Tsne, Umap

STARTED, NOISE = 10.0, 1e-4  # of cuML's own spectral start (init_embed/spectral_algo.cuh): its largest value, its noise

# A side of the grid on which cuML's t-SNE reckons repulsion, whatever the map (fft_tsne.cuh, min_num_intervals), and
# the width from which that is noted: boxes of 2, where FIt-SNE and openTSNE take more of them to keep boxes of 1.
BOXES, WIDEST = 50, 100


def umap(X: cupy.ndarray, graph: Graph, settings: Umap, seed: int) -> Layout:
    """UMAP by cuML; X is what `start` gave."""
    spectral, most = limits.spectral(len(X)), limits.SPECTRAL
    with collect_all() as notes:
        from cuml.manifold import UMAP

        model = UMAP(**umap_keywords(settings, seed) | ({} if spectral else {"init": _spread(X, seed)}))
        coords = model.fit_transform(X, knn_graph=graph.nearest(settings.n_neighbors))
    if len(X) > most[1]:
        takes = f"cuML's spectral start takes {most[0]:,} to {most[1]:,} rows"
        notes.append(f"umap starts from principal components: {takes}")
    return Layout(coords, notes)


def _spread(scores: cupy.ndarray, seed: int) -> cupy.ndarray:
    """Return principal components as large as cuML's own start, and with its noise, so that no two rows coincide."""
    largest = float(cupy.abs(scores).max()) or 1.0
    noise = np.random.default_rng(seed).normal(0, NOISE, scores.shape).astype(np.float32)
    return scores * np.float32(STARTED / largest) + cupy.asarray(noise)


def tsne(X: cupy.ndarray, graph: Graph, settings: Tsne, seed: int) -> Layout:
    """t-SNE by cuML; X is what `start` gave. cuML overwrites the distances that it is given, so they are a copy.

    Its `kl_divergence_` is left out: Q is normalised over the stored pairs alone, each pair counts in both directions,
    and it is 0 after an early stop (utils.cuh, compute_kl_div; fft_tsne.cuh). So it is not the divergence reached.
    """
    keywords = tsne_keywords(settings, len(X), seed)
    lost = settings.init == "pca" and not bool(cupy.any(X[:, 0]))
    with collect_all() as notes:
        from cuml.manifold import TSNE

        model = TSNE(**keywords | ({"init": "random"} if lost else {}))
        indices, distances = graph.nearest(keywords["n_neighbors"])
        coords = model.fit_transform(X, knn_graph=(indices, for_perplexity(distances, cupy)))
    if lost:
        notes.append(ALL_THE_SAME)
    wide = float(coords.max()) - float(coords.min())
    if wide > WIDEST:
        grid = f"cuML's t-SNE has a grid of {BOXES} boxes a side however wide it is"
        notes.append(f"the map is {wide:.0f} wide, and {grid}: it may show tiles; --backend cpu has a finer grid")
    details = {"iterations": int(model.n_iter_)}
    return Layout(coords, notes, details, X if settings.init == "pca" and not lost else None)
