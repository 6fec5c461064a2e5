"""Time gpuvis against the plain pipeline: whole fresh processes, in turn, and print the medians as a Markdown table.

python tests/benchmarks/bench.py CACHE_DIR [--pca_dim 50] [--runs 3]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def timed(command: list[str]) -> tuple[float, float]:
    """Run a command; return its seconds and its peak memory in MiB."""
    meter = (
        "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:], stdout=2, stderr=subprocess.DEVNULL)"
    )
    meter += "; print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", meter, *command], capture_output=True, text=True, check=True)
    return time.perf_counter() - start, int(done.stdout) / 1024


def bench(cache: Path, method: str, pca_dim: int, runs: int) -> str:
    """Measure one method on one cache; return a row of the table."""
    with tempfile.TemporaryDirectory() as out:
        plain = [sys.executable, str(HERE / "plain.py"), str(cache), out, method, str(pca_dim)]
        ours = [sys.executable, "-m", "gpuvis", "reduce", str(cache), f"--{method}", "--overwrite", "--out-dir", out]
        ours += ["--backend", "cpu", *(["--pca_dim", str(pca_dim)] if pca_dim else [])]
        pairs = [(timed(plain), timed(ours)) for _ in range(runs)]
        rows = len(np.load(Path(out) / f"vis_{method}_coords.npy"))
        if rows != len(np.load(Path(out) / f"plain_{method}_coords.npy")):
            raise SystemExit("the two pipelines did not reduce the same rows")
    seconds = [[pair[side][0] for pair in pairs] for side in (0, 1)]
    memory = [max(pair[side][1] for pair in pairs) for side in (0, 1)]
    ratio = statistics.median(a / b for a, b in zip(*seconds, strict=True))
    cells = (method, f"{rows:,}", *(f"{statistics.median(s):.1f} s" for s in seconds), f"{ratio:.2f}")
    return "| " + " | ".join((*cells, *(f"{m:,.0f} MiB" for m in memory))) + " |"


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--pca_dim", type=int, default=0)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    print("| method | rows | plain | gpuvis | plain / gpuvis | plain, peak | gpuvis, peak |")
    print("|---|---|---|---|---|---|---|")
    for method in ("umap", "tsne"):
        print(bench(asked.cache, method, asked.pca_dim, asked.runs), flush=True)


if __name__ == "__main__":
    main()
