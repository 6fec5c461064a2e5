"""Lay out UMAP and t-SNE maps on the GPU, by cuML."""

from __future__ import annotations

import cupy
import numpy as np

from gpuvis.backends.base import ALL_THE_SAME, Layout
from gpuvis.backends.gpu import limits
from gpuvis.backends.gpu.cuml_parameters import tsne_keywords, umap_keywords
from gpuvis.backends.library_warnings import collect_all
from gpuvis.backends.neighbor_graph import Graph, for_perplexity
from gpuvis.settings import Tsne, Umap

LARGEST, NOISE = 10.0, 1e-4  # largest value and noise of cuML's own spectral start (init_embed/spectral_algo.cuh)

# cuML's t-SNE computes the repulsion on a grid with BOXES boxes a side, for a map of any width (fft_tsne.cuh,
# min_num_intervals). A map wider than WIDEST gets a note: its boxes are more than 2 wide, while FIt-SNE and openTSNE
# keep boxes 1 wide.
BOXES, WIDEST = 50, 100


def umap(X: cupy.ndarray, graph: Graph, settings: Umap, seed: int) -> Layout:
    """Lay out a graph by cuML's UMAP; X, (N, 2), as `start` returns it."""
    spectral, (fewest, most) = limits.spectral(len(X)), limits.SPECTRAL
    with collect_all() as notes:
        from cuml.manifold import UMAP

        model = UMAP(**umap_keywords(settings, seed) | ({} if spectral else {"init": _scale_start(X, seed)}))
        coords = model.fit_transform(X, knn_graph=graph.nearest(settings.n_neighbors))
    if len(X) > most:
        limit = f"cuML's spectral start takes {fewest:,} to {most:,} rows"
        notes.append(f"umap starts from principal components: {limit}")
    return Layout(coords, notes)


def _scale_start(scores: cupy.ndarray, seed: int) -> cupy.ndarray:
    """Scale principal components to the size of cuML's own start, and add its noise, so that no two rows coincide."""
    largest = float(cupy.abs(scores).max()) or 1.0
    noise = np.random.default_rng(seed).normal(0, NOISE, scores.shape).astype(np.float32)
    return scores * np.float32(LARGEST / largest) + cupy.asarray(noise)


def tsne(X: cupy.ndarray, graph: Graph, settings: Tsne, seed: int) -> Layout:
    """Lay out a graph by cuML's t-SNE; X, (N, 2), as `start` returns it.

    cuML overwrites the distances that it gets, so they are copied. Its `kl_divergence_` is not reported, because it is
    not the final divergence: Q is normalised over the stored pairs only, each pair counts in both directions, and after
    an early stop it is 0 (utils.cuh, compute_kl_div; fft_tsne.cuh).
    """
    keywords = tsne_keywords(settings, len(X), seed)
    no_axes = settings.init == "pca" and not bool(cupy.any(X[:, 0]))  # all rows are the same
    with collect_all() as notes:
        from cuml.manifold import TSNE

        model = TSNE(**keywords | ({"init": "random"} if no_axes else {}))
        indices, distances = graph.nearest(keywords["n_neighbors"])
        coords = model.fit_transform(X, knn_graph=(indices, for_perplexity(distances, cupy)))
    if no_axes:
        notes.append(ALL_THE_SAME)
    width = float(coords.max()) - float(coords.min())
    if width > WIDEST:
        grid = f"cuML's t-SNE has a grid of {BOXES} boxes a side however wide it is"
        notes.append(f"the map is {width:.0f} wide, and {grid}: it may show tiles; --backend cpu has a finer grid")
    details = {"iterations": int(model.n_iter_)}
    return Layout(coords, notes, details, X if settings.init == "pca" and not no_axes else None)
