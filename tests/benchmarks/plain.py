"""The plain pipeline that gpuvis is measured against: what a careful user would write by hand with the same libraries.

python tests/benchmarks/plain.py CACHE_DIR OUT_DIR umap|tsne PCA_DIM SEED         (PCA_DIM 0: no PCA)
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.express as px
import torch

cache, out, method, pca_dim, seed = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:])
X = torch.load(cache / "embeddings.pt", map_location="cpu").float().numpy()
table = pd.read_csv(cache / "metadata.csv", dtype=str, keep_default_na=False)

if pca_dim:
    from sklearn.decomposition import PCA

    X = PCA(n_components=pca_dim, random_state=seed).fit_transform(X)
if method == "umap":
    from umap import UMAP

    coords = UMAP(n_neighbors=30, min_dist=0.1, random_state=seed).fit_transform(X)
else:
    from sklearn.manifold import TSNE

    coords = TSNE(perplexity=30, metric="cosine", init="pca", random_state=seed).fit_transform(X)

np.save(out / f"plain_{method}_coords.npy", coords)
table = table.assign(x=coords[:, 0], y=coords[:, 1])
hover = ["file_name", "ground_truth_word_label", "ground_truth_num_label"]
figure = px.scatter(table, x="x", y="y", color="ground_truth_word_label", hover_data=hover, render_mode="webgl")
figure.write_html(out / f"plain_{method}.html")
