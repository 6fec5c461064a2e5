"""What a box with torch, CuPy and a GPU can show without RAPIDS, as a table: `make test-gpu-core`, in under 8 minutes.

Each check is one row or more: what was done, what was measured, what is expected, and whether it is so. A row without a
verdict only tells. The double of RAPIDS runs the same checks on a few rows, so that they are in order; it names itself,
and its numbers are of no device.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "fakes"), str(TESTS)]

import rapids_double  # noqa: E402
from gpu.conftest import device_name, what_the_core_lacks  # noqa: E402

from gpuvis import arrays  # noqa: E402
from gpuvis.backends import neighbor_graph, pca, tally  # noqa: E402
from gpuvis.backends.gpu import limits, memory_model  # noqa: E402
from gpuvis.quality import ranks  # noqa: E402

LONGEST = 480.0  # seconds
FILLER = 0x7FFFFFFF  # CUDA's NaN, whose bits are those of the filler in raft's select_k
NOBODY, FAR = np.iinfo(np.int64).max, np.finfo(np.float32).max


class Row(NamedTuple):
    """One line of the table; ok None: there is nothing to judge."""

    what: str
    measured: str
    expected: str
    ok: bool | None


@dataclass(frozen=True)
class Sizes:
    """How many rows, columns, rounds."""

    rounds: int = 1000
    wide: tuple[int, int] = (1_000_000, 512)
    narrow: tuple[int, int] = (1_000_000, 50)
    compared: int = 20_000
    anchors: int = 1000
    entries: tuple[int, int] = (10_000_000, 30)
    of_host: int = 200_000
    queries: int = 8_192


FEW = Sizes(20, (400, 24), (300, 8), 300, 60, (2_000, 12), 500, 64)


def seconds(cp: Any, work: Callable[[], Any], warm: bool = True) -> tuple[float, Any]:
    """Return how long work takes on the device, once it is warm unless it changes its input, and what it gave."""
    if warm:
        work()
    cp.cuda.runtime.deviceSynchronize()
    start = time.perf_counter()
    found = work()
    cp.cuda.runtime.deviceSynchronize()
    return time.perf_counter() - start, found


def backend(xp: Any) -> Any:
    """Return the part of a backend that compares rows, by CuPy or NumPy alone."""

    def as_array(X: Any, scale: float = 1.0) -> Any:
        if isinstance(X, xp.ndarray):
            return xp.ascontiguousarray(X, np.float32)
        return crossed(xp, X) if xp is not np else X.float().numpy()

    return SimpleNamespace(
        xp=xp,
        as_array=as_array,
        COMPARED=limits.COMPARED,
        in_parts=tally.in_parts,
        to_numpy=xp.asnumpy if xp is not np else np.asarray,
        cdist=lambda A, B, metric: tally.cdist(A, B, metric, xp),
        tally=lambda *args: tally.tally(*args, xp),
    )


def crossed(cp: Any, block: torch.Tensor) -> Any:
    """Bring rows over in their own type, and look at them as float32."""
    return cp.from_dlpack(block.cuda().float().contiguous())


def versions(cp: Any, sizes: Sizes) -> Iterator[Row]:
    """Tell what is there, and the bits of 0 / 0."""
    runtime = cp.cuda.runtime
    told = f"CuPy {cp.__version__}, torch {torch.__version__}, driver {runtime.driverGetVersion()}"
    yield Row("versions", told, "", None)
    nothing = cp.zeros(1, np.float32)
    bits = int(cp.asnumpy(nothing / nothing).view(np.uint32)[0])
    yield Row("bits of 0 / 0", f"{bits:#010x}", f"{FILLER:#010x}", bits == FILLER)


def suite(cp: Any, sizes: Sizes) -> Iterator[Row]:
    """Run the tests that are marked gpu_core."""
    marked = "gpu_core and not real_gpu" if device_name() == rapids_double.NAME else "gpu_core"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", marked, str(TESTS / "gpu")]
    done = subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, check=False, timeout=LONGEST)
    last = (done.stdout.strip() or done.stderr.strip() or "nothing was told").splitlines()[-1]
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
    yield Row("tests marked gpu_core", last, "all pass", done.returncode == 0)


def dlpack(cp: Any, sizes: Sizes) -> Iterator[Row]:
    """Let the tensor go while CuPy works on its memory, on streams of several kinds, and make others in between."""
    streams = [cp.cuda.Stream.null, cp.cuda.Stream(non_blocking=True), cp.cuda.Stream()]
    before, wrong = torch.cuda.memory_allocated(), 0
    for turn in range(sizes.rounds):
        with streams[turn % len(streams)]:
            tensor = torch.full((256, 1024), float(turn % 100)).cuda()
            array = cp.from_dlpack(tensor)
            del tensor
            doubled = array * 2
            other = torch.full((256, 1024), -1.0).cuda()  # takes the place of the first, had that been let go too soon
            wrong += float(doubled.max()) != 2 * (turn % 100) or float(array.min()) != turn % 100
            del array, other
    held = torch.cuda.memory_allocated() - before
    yield Row(
        f"DLPack, {sizes.rounds} rounds",
        f"{wrong} wrong, {held} bytes held",
        "0 wrong, 0 bytes held",
        wrong + held == 0,
    )


def sanitizer(cp: Any, sizes: Sizes) -> Iterator[Row]:
    """Do a few of these rounds under compute-sanitizer, where there is one."""
    found = shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path="/usr/local/cuda/bin")
    if found is None:
        yield Row("compute-sanitizer", "not installed", "0 errors", None)
        return
    command = [found, "--error-exitcode", "9", sys.executable, __file__, "--checks", "dlpack", "--rounds", "20"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR SUMMARY" in line]
    yield Row("DLPack under compute-sanitizer", lines[-1] if lines else "no summary", "0 errors", done.returncode == 0)


def streamed_pca(cp: Any, sizes: Sizes) -> Iterator[Row]:
    """Stream a matrix of half precision through our PCA, and hold it against the covariance in float64."""
    rows, columns = sizes.wide
    decay = 2.0 ** -np.minimum(np.arange(columns) / 4, 5)
    X = (torch.randn(rows, columns, generator=torch.Generator().manual_seed(0)) * torch.from_numpy(decay)).half()
    n = min(12, columns - 1)

    def fitted(of: torch.Tensor) -> pca.Pca:
        return pca.fit((crossed(cp, block) for _, block in arrays.blocks(of, memory_model.CHUNK // 2)), n, cp)

    pageable, model = seconds(cp, lambda: fitted(X))
    pinned, _ = seconds(cp, lambda: fitted(X.pin_memory()))
    wide = [crossed(cp, block).astype(np.float64) for _, block in arrays.blocks(X[:4096], 1 << 24)]
    total, gram = 0, 0
    for _, block in arrays.blocks(X, 1 << 26):
        of_block = crossed(cp, block).astype(np.float64)
        total, gram = total + of_block.sum(0), gram + of_block.T @ of_block
    mean = total / rows
    values, axes = cp.linalg.eigh(gram / rows - mean[:, None] * mean[None, :])
    expected = (cp.concatenate(wide) - mean) @ axes.T[::-1][:n].T
    scores = model.transform(cp.concatenate(wide).astype(np.float32))
    off = float(cp.abs(cp.abs(scores) - cp.abs(expected)).max()) / float(cp.sqrt(values.max()))
    told = f"{off:.1e} of the first axis' spread"
    yield Row(f"streamed PCA, {rows:,} × {columns} half, against float64", told, "below 1e-3", off < 1e-3)
    speed = f"{pageable:.2f} s pageable, {pinned:.2f} s pinned (pinning included), {X.nbytes / 1e9:.1f} GB"
    yield Row("streamed PCA, one pass", speed, "", None)


def compared(cp: Any, sizes: Sizes) -> Iterator[Row]:
    """Compare anchors with all rows, as measuring does: CuPy against NumPy, and in time."""
    draw = np.random.default_rng(0)

    def seen(X: Any, xp: Any) -> ranks.Comparison:
        anchors = np.sort(np.random.default_rng(1).choice(len(X), sizes.anchors, replace=False))
        ids, none = np.random.default_rng(2).integers(0, len(X), (len(anchors), 8)), np.empty((len(anchors), 0), int)
        return ranks.compare(ranks.Space(X, ("euclidean",), backend(xp), 1.0, False), anchors, ids, none, 15)[0]

    few = torch.from_numpy(draw.standard_normal((sizes.compared, sizes.wide[1])).astype(np.float32))
    ours, theirs = seen(few, cp), seen(few, np)
    same = float((ours.nearest == theirs.nearest).mean())
    yield Row(
        f"neighbours of {sizes.anchors} in {sizes.compared:,} rows, as NumPy's", f"{same:.5f}", "0.999", same >= 0.999
    )
    off = int(np.abs(ours.closer - theirs.closer).max())
    yield Row("ranks of 8 others, off NumPy's by at most", str(off), "3", off <= 3)
    many = torch.randn(*sizes.wide, generator=torch.Generator().manual_seed(0)).half()
    yield Row(
        f"the same in {sizes.wide[0]:,} × {sizes.wide[1]}", f"{seconds(cp, lambda: seen(many, cp))[0]:.2f} s", "", None
    )
    block = cp.asarray(draw.random((min(1024, sizes.anchors), limits.COMPARED[1] if sizes != FEW else 200), np.float32))
    part, _ = seconds(cp, lambda: cp.argpartition(block, 15, 1))
    whole, _ = seconds(cp, lambda: block.argsort(1))
    told = f"argpartition {part * 1e3:.1f} ms, argsort {whole * 1e3:.1f} ms"
    yield Row(f"the 16 least of {block.shape[0]} × {block.shape[1]:,}", told, "argpartition sooner", None)


def hostile(rows: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a graph with all that may be wrong with one: NaN, places unfilled, rows that are their own neighbours."""
    indices = (np.arange(rows)[:, None] + np.arange(k)) % rows
    distances = np.broadcast_to(np.arange(k, dtype=np.float32), (rows, k)).copy()
    indices[::7], distances[::7] = 0, np.nan
    indices[1::7, k // 2 :], distances[1::7, k // 2 :] = NOBODY, FAR
    indices[2::7, 1:], distances[2::7, 1:] = NOBODY, FAR
    indices[3::7] = np.arange(rows)[3::7, None]
    indices[4::7] = indices[4::7, ::-1]
    return indices, distances


def graphs(cp: Any, sizes: Sizes) -> Iterator[Row]:
    """Repair hostile graphs, and turn their distances into those for cuML's perplexity search."""
    rows, k = sizes.entries
    few = hostile(sizes.of_host, k)
    there = neighbor_graph.repaired(*(cp.asarray(one) for one in few), cp)
    here = neighbor_graph.repaired(*few, np)
    same = all((cp.asnumpy(getattr(there, name)) == getattr(here, name)).all() for name in ("indices", "distances"))
    yield Row(f"graph of {sizes.of_host:,} × {k} repaired as by NumPy", str(bool(same)), "True", bool(same))
    ours, theirs = (
        cp.asnumpy(neighbor_graph.for_perplexity(there.distances, cp)),
        neighbor_graph.for_perplexity(here.distances, np),
    )
    off = float(np.abs(ours - theirs).max() / theirs.max())
    yield Row("distances for the perplexity, off NumPy's by", f"{off:.1e}", "1e-6", off <= 1e-6)
    indices, distances = (cp.asarray(one) for one in hostile(rows, k))
    taken, whole = seconds(cp, lambda: neighbor_graph.repaired(indices, distances, cp), warm=False)
    own = cp.arange(rows)[:, None]
    alone = int((whole.indices == own).all(1).sum()) + int((whole.indices[:, :1] != own).sum())
    yield Row(f"graph of {rows:,} × {k}: rows alone, or not first", str(alone), "0", alone == 0)
    taken += seconds(cp, lambda: neighbor_graph.for_perplexity(distances, cp))[0]
    yield Row("both on that graph", f"{taken:.2f} s", "", None)


def exact(cp: Any, sizes: Sizes) -> Iterator[Row]:
    """Find exact neighbours by matrix products of blocks and the least of each, without cuVS."""
    for rows, columns in (sizes.narrow, sizes.wide):
        X = crossed(cp, torch.randn(rows, columns, generator=torch.Generator().manual_seed(1)))
        space, queries = ranks.Space(X, ("euclidean",), backend(cp), 1.0, False), np.arange(sizes.queries)
        none = np.empty((len(queries), 0), int)
        taken, (found,) = seconds(cp, lambda s=space, q=queries, e=none: ranks.compare(s, q, e, e, 15))
        precise = ranks.compare(replace(space, precise=True), queries[:32], none[:32], none[:32], 15)[0].nearest
        recall = float(np.mean([np.isin(a, b).mean() for a, b in zip(found.nearest[:32], precise, strict=True)]))
        yield Row(f"exact neighbours in {rows:,} × {columns}: recall", f"{recall:.4f}", "0.999", recall >= 0.999)
        told = f"{len(queries) * rows / taken:.1e} pairs/s, {taken * rows / len(queries):.0f} s for all rows"
        yield Row("  and in time", told, "9.3e10 pairs/s are published", None)


CHECKS = {
    "versions": versions,
    "suite": suite,
    "dlpack": dlpack,
    "sanitizer": sanitizer,
    "pca": streamed_pca,
    "ranks": compared,
    "graphs": graphs,
    "exact": exact,
}


def run(cp: Any, names: list[str], sizes: Sizes) -> Iterator[Row]:
    """Give the rows of some checks, and of the time that they took; one that fails does not cost the next."""
    begin = time.perf_counter()
    for name in names:
        try:
            yield from CHECKS[name](cp, sizes)
        except Exception as error:  # noqa: BLE001  it is what was measured
            yield Row(name, f"{type(error).__name__}: {' '.join(str(error).split())}", "no error", False)
    taken = time.perf_counter() - begin
    yield Row("seconds in all", f"{taken:.0f}", f"below {LONGEST:.0f}", taken < LONGEST)


def table(rows: list[Row]) -> str:
    """Return the rows as a table of Markdown."""
    verdict = {True: "yes", False: "NO", None: "–"}
    lines = [("what", "measured", "expected", "ok"), *((*row[:3], verdict[row.ok]) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |" for line in lines
    )


def main() -> int:
    """Run the checks that are asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checks", nargs="+", choices=CHECKS, default=list(CHECKS))
    parser.add_argument("--rounds", type=int, help="of the check of DLPack")
    asked = parser.parse_args()
    lacking = what_the_core_lacks()
    if lacking:
        sys.stderr.write(f"nothing was checked, because no GPU can be used: {lacking}\n")
        return 1
    import cupy

    sizes = FEW if device_name() == rapids_double.NAME else Sizes()
    sizes = replace(sizes, rounds=asked.rounds) if asked.rounds else sizes
    sys.stdout.write(f"device: {device_name()}\n")
    rows = []
    for row in run(cupy, asked.checks, sizes):
        rows.append(row)
        sys.stderr.write(f"{row.what}: {row.measured}\n")
    sys.stdout.write(f"{table(rows)}\nmeasured on {device_name()}\n")
    return int(any(row.ok is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
