"""What numba compiles: where it is kept, and that no result depends on the number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gpuvis import machine, place
from gpuvis.backends import compiled, cpu
from gpuvis.backends.cpu_plan import CpuPlan

# On data too many for an exact graph, so that every kernel has several blocks.
MAPS = """
import hashlib, sys
import numpy as np
import gpuvis
from gpuvis import Settings, Tsne, Umap
from gpuvis.backends import compiled, cpu, cpu_neighbors, umap_layout
cpu_neighbors.EXACT_ROWS, umap_layout.FEW_ROWS = 2000, 5000
with cpu.working(cpu.plan(5, 2, 4, Settings(threads=int(sys.argv[1])))):
    assert compiled.current_threads() == int(sys.argv[1])
rng = np.random.default_rng(0)
X = rng.standard_normal((40, 60))[rng.integers(0, 40, 9000)] + 0.6 * rng.standard_normal((9000, 60))
X = X.astype(np.float32)
for rows, pca_dim in ((9000, None), (9000, 20), (700, 20)):
    asked = Settings(umap=Umap(), tsne=Tsne(perplexity=10), pca_dim=pca_dim, threads=int(sys.argv[1]))
    for done in gpuvis.reduce(X[:rows], asked, backend="cpu").values():
        assert "any number of threads" in done.plan.repeatable[done.method]
        print(rows, pca_dim, done.method, done.neighbors["recall"], hashlib.sha256(done.coords.tobytes()).hexdigest())
"""


def maps(threads: int, kept: Path) -> str:
    """Draw maps in a process of its own; `kept`: where compiled code is."""
    command = [sys.executable, "-c", MAPS, str(threads)]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(kept), "NUMBA_NUM_THREADS": "16"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 6
    return done.stdout


def test_maps_are_the_same_bits_on_any_number_of_threads_and_in_the_first_process(tmp_path) -> None:
    compiles = maps(2, tmp_path)
    assert any(tmp_path.rglob("*.nbc"))
    assert maps(2, tmp_path) == compiles
    assert maps(1, tmp_path) == compiles
    assert maps(16, tmp_path) == compiles


@pytest.mark.parametrize("count", [1, 2, 3])
def test_threads_are_used_in_the_block_only(count) -> None:
    from numba import get_num_threads

    before = get_num_threads()
    with compiled.threads(count):
        assert get_num_threads() == min(count, compiled.numba.config.NUMBA_NUM_THREADS)
    assert get_num_threads() == before


def test_more_threads_than_there_are_do_no_harm_once_numba_is_there(monkeypatch) -> None:
    """It refuses to compile when the variable differs from what it saw as it was imported."""
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    with cpu.working(CpuPlan(machine.cpu_threads() + 3, {}, {}, {})):
        assert "NUMBA_NUM_THREADS" not in os.environ


def test_results_come_in_order_and_few_items_are_taken_ahead() -> None:
    taken = []

    def items():
        for item in range(20):
            taken.append(item)
            yield item

    def slow_at_first(item: int) -> int:
        time.sleep(0.02 if item % 4 == 0 else 0)
        return item * item

    for done, got in enumerate(compiled.in_order(slow_at_first, items(), 2)):
        assert got == done * done
        assert len(taken) <= done + 4
    assert len(taken) == 20


def test_an_error_in_a_thread_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(compiled.in_order(lambda item: 1 / item, [1, 0, 1], 2))


@pytest.mark.parametrize(("count", "size"), [(1, 256), (256, 256), (257, 256), (100_000, 1024)])
def test_blocks_cover_all_and_depend_on_the_size_alone(count, size) -> None:
    bounds = compiled.blocks(count, size)
    assert (bounds[0], bounds[-1], bounds.dtype) == (0, count, np.int64)
    assert (0 < np.diff(bounds)).all()
    assert np.diff(bounds).max() <= size


def raising(error: type[Exception]) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_compiled_code_goes_where_it_may_be_written(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "chosen"))
    assert compiled._place() is None
    writable = {tmp_path}
    monkeypatch.setattr(place, "is_writable", lambda folder: folder.parent in writable)
    monkeypatch.setattr(compiled.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setenv("HOME", "/somebody/else")
    assert compiled._place() == tmp_path / f"numba-{os.getuid()}"
    monkeypatch.setattr(compiled, "SHARED_MEMORY", str(tmp_path / "shm"))
    (tmp_path / "shm").mkdir()
    writable.add(tmp_path / "shm")
    monkeypatch.chdir(tmp_path)  # a folder of the user's, which Python takes where there is no temporary one
    assert compiled._place() == tmp_path / "shm" / f"numba-{os.getuid()}"
    monkeypatch.setattr(compiled.tempfile, "gettempdir", raising(FileNotFoundError))
    assert compiled._place() == tmp_path / "shm" / f"numba-{os.getuid()}"
    writable.clear()
    assert not compiled._keep()


def test_what_was_compiled_before_the_last_change_is_forgotten(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(compiled, "HERE", tmp_path)
    (tmp_path / "__pycache__").mkdir()
    for name, written in (("one.py", 100), ("other.py", 300)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (written, written))
    for name, written in (("old.nbi", 200), ("new.nbi", 400)):
        (tmp_path / "__pycache__" / name).touch()
        os.utime(tmp_path / "__pycache__" / name, (written, written))
    compiled._forget()
    assert [path.name for path in (tmp_path / "__pycache__").iterdir()] == ["new.nbi"]


def test_nothing_is_compiled_twice(tmp_path) -> None:
    """The second process finds all that the first one compiled."""
    code = "import numpy as np, gpuvis; gpuvis.reduce(np.eye(40, 9, dtype=np.float32), backend='cpu')"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    kept = []
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        kept.append({path: path.stat().st_mtime_ns for path in sorted(Path(tmp_path).rglob("*.nb?"))})
    assert len(kept[0]) > 10
    assert kept[0] == kept[1]


PRODUCTS = """
from gpuvis.backends import cpu
from gpuvis.backends.cpu_plan import CpuPlan
with cpu.working(CpuPlan(2, {}, {}, {})):
    import scipy.linalg
    from threadpoolctl import threadpool_info
    print(*(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"))
"""


def test_matrix_products_are_on_one_thread_from_the_first_on() -> None:
    """A library that is loaded after the limit was set is not limited."""
    done = subprocess.run([sys.executable, "-c", PRODUCTS], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"1"}
