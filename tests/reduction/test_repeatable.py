"""Maps are the same to the bit, on any number of threads and by the loops of any instruction set."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import zip_longest

from process import FAKES

from gpuvis.backends.cpu.kernels import available

# On data too many for an exact graph, so that every loop has several ranges.
MAPS = """
import hashlib, sys
import numpy as np
from gpuvis.backends.cpu import kernels
kernels.loops = kernels.available()[sys.argv[2]]  # before others take it from there
import gpuvis
from gpuvis import Settings, Tsne, Umap
from gpuvis.backends import parallel
from gpuvis.backends.cpu import backend, neighbors, umap
neighbors.EXACT_ROWS, umap.FEW_ROWS = 2000, 5000
with backend.working(backend.plan(5, 2, 4, Settings(threads=int(sys.argv[1])))):
    assert parallel.current_threads() == int(sys.argv[1])
rng = np.random.default_rng(0)
X = rng.standard_normal((40, 60))[rng.integers(0, 40, 6000)] + 0.6 * rng.standard_normal((6000, 60))
X = X.astype(np.float32)
for rows, pca_dim in ((6000, None), (6000, 20), (700, 20)):
    asked = Settings(umap=Umap(), tsne=Tsne(perplexity=10), pca_dim=pca_dim, threads=int(sys.argv[1]))
    for done in gpuvis.reduce(X[:rows], asked, backend="cpu").values():
        assert "any number of threads" in done.plan.repeatable[done.method]
        print(rows, pca_dim, done.method, done.neighbors["recall"], hashlib.sha256(done.coords.tobytes()).hexdigest())
"""


def printed(script: str, *args: object) -> str:
    """Run a script in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([FAKES, *sys.path])}
    command = [sys.executable, "-c", script, *map(str, args)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_maps_are_the_same_bits_on_any_number_of_threads_and_at_each_level() -> None:
    best, *others = available()
    told = printed(MAPS, 2, best)
    assert len(told.splitlines()) == 6
    for threads, level in zip_longest((1, 16), others, fillvalue=None):
        assert printed(MAPS, threads or 2, level or best) == told


LOADED = """
import sys
from itertools import zip_longest
from gpuvis.cli.main import main
try:
    main(["reduce", *sys.argv[1:], "--backend", "cpu", "--umap", "--tsne"])
except SystemExit as ended:
    assert ended.code == 0
print("loaded:", *sorted({"numba", "llvmlite", "sklearn", "umap", "torch"}.intersection(sys.modules)))
"""


def test_maps_their_measures_and_their_pages_need_no_compiler_and_no_other_library(make_cache) -> None:
    assert printed(LOADED, make_cache(rows=300)).splitlines()[-1] == "loaded:"
