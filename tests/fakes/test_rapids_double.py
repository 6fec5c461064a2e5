"""The double itself: arrays, tensors, memory, the device. What uses it can be no stricter than it is."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest
import rapids_double
import torch
from rapids_double import signatures

import gpuvis.backends

X = np.random.default_rng(0).standard_normal((60, 8)).astype(np.float32)


@pytest.fixture
def cp(rapids):
    return importlib.import_module("cupy")


def test_nothing_of_the_double_is_there_without_it() -> None:
    assert not any("rapids_double" in path for path in sys.path)
    assert "cupy" not in sys.modules
    assert not torch.cuda.is_available()


def test_it_says_that_it_is_no_gpu(rapids, cp) -> None:
    assert cp.cuda.runtime.getDeviceProperties(0)["name"] == b"RAPIDS double (no GPU)"
    assert torch.cuda.get_device_name() == "RAPIDS double (no GPU)"


def test_what_it_does_not_offer_is_missing(cp) -> None:
    for owner, name in ((cp, "fromDlpack"), (cp.zeros(3), "tolist"), (cp.cuda.runtime, "malloc")):
        with pytest.raises(AttributeError):
            getattr(owner, name)


def test_every_recorded_name_is_offered_or_null(rapids) -> None:
    missing = []
    for name in signatures.RECORD["signatures"]:
        package, _, rest = name.partition(".")
        found = importlib.import_module(package)
        try:
            for part in rest.split("."):
                if not hasattr(found, part) and hasattr(found, "__path__"):
                    importlib.import_module(f"{found.__name__}.{part}")
                found = getattr(found, part)
        except (AttributeError, ModuleNotFoundError):
            missing.append(name)
    assert missing == []


def test_nothing_but_recorded_names_is_offered(rapids) -> None:
    recorded = {part for name in signatures.RECORD["signatures"] for part in name.split(".")}
    for name in ("cupy", "cupy.cuda", "cupy.cuda.runtime", "cupy.linalg", "cuml", "cudf", "cuvs", "rmm", "rmm.mr"):
        module = importlib.import_module(name)
        offered = {one for one in vars(module) if not one.startswith("_")}
        assert offered <= recorded, name


class TestArray:
    def test_refuses_to_become_numpy_by_itself(self, cp) -> None:
        a = cp.asarray(X)
        with pytest.raises(TypeError, match=r"Implicit conversion to a NumPy array is not allowed.*`\.get\(\)`"):
            np.asarray(a)
        for mix in (lambda: a + X, lambda: X + a, lambda: a > X, lambda: np.sqrt(a), lambda: a[0].fill(X[0])):
            with pytest.raises(TypeError):
                mix()
        with pytest.raises(TypeError, match="Unsupported type"):
            a += X
        with pytest.raises(TypeError, match="Unsupported type"):
            a[0] = X[0]
        with pytest.raises(TypeError, match="Only cupy arrays can be concatenated"):
            cp.concatenate([X, X])

    def test_unknown_keywords_are_refused_as_by_the_real_one(self, cp) -> None:
        for call in (
            lambda: cp.asarray(X, device=0),
            lambda: cp.zeros(3, kind="f"),
            lambda: cp.zeros(3).sum(keepdim=True),
            lambda: cp.sqrt(cp.zeros(3), where=True),
        ):
            with pytest.raises(TypeError):
                call()
        with pytest.raises(NotImplementedError, match="does not offer subok"):
            cp.zeros(3).astype("f4", subok=True)

    def test_computes_as_numpy_does(self, cp) -> None:
        a = cp.asarray(X)
        expected = (X - X.mean(axis=0)) @ X[:8].T / 2
        got = (a - a.mean(axis=0)) @ a[:8].T / 2
        np.testing.assert_array_equal(got.get(), expected)
        assert got.dtype == np.float32
        order = cp.argsort(a, axis=1)
        np.testing.assert_array_equal(cp.take_along_axis(a, order, axis=1).get(), np.sort(X, axis=1))
        np.testing.assert_array_equal(cp.where(a > 0, a, 0).get(), np.where(X > 0, X, 0))
        np.testing.assert_array_equal(a[cp.asarray([3, 1]), :, None].get(), X[[3, 1], :, None])
        values, vectors = cp.linalg.eigh(a.T @ a)
        np.testing.assert_allclose((vectors * values @ vectors.T).get(), X.T @ X, rtol=1e-3, atol=1e-3)
        assert float(cp.abs(a).max()) == np.abs(X).max()
        assert not (a == np.inf).any()

    def test_what_is_empty_is_rubbish(self, cp) -> None:
        assert not cp.isfinite(cp.empty((2, 2), np.float32)).any()
        assert (cp.empty(3, np.int64) != 0).all()

    def test_counts_what_crosses_the_bus(self, rapids, cp) -> None:
        a = cp.asarray(X)
        (one,) = rapids.ledger.crossings("device")
        assert (one.nbytes, one.shape, one.dtype, one.by) == (X.nbytes, X.shape, "float32", "cupy")
        assert cp.asarray(a) is a
        b = a * 2
        assert rapids.ledger.crossings("host") == []
        assert float(b.sum()) == pytest.approx(2 * X.sum(), abs=1e-3)
        out = np.empty_like(X)
        assert b.get(out=out) is out
        assert [one.nbytes for one in rapids.ledger.crossings("host")] == [4, X.nbytes]
        with pytest.raises(TypeError):
            b.get(out=np.empty(X.shape))
        a.set(X)
        assert rapids.ledger.bytes_to("device") == 2 * X.nbytes
        with pytest.raises(TypeError, match="float64 array cannot be set to float32"):
            a.set(X.astype(float))

    def test_counts_bytes_on_the_device(self, rapids, cp) -> None:
        a = cp.zeros((1000, 10), np.float32)
        view = a[5:, :2].T
        assert rapids.ledger.now == a.nbytes
        del a
        assert rapids.ledger.now == 40_000  # the view keeps all of it
        b = view * 2
        assert rapids.ledger.now == 40_000 + b.nbytes
        del view, b
        assert rapids.ledger.now == 0
        assert rapids.ledger.peak == 40_000 + 995 * 2 * 4
        assert rapids.ledger.held == rapids.ledger.peak  # CuPy's pool keeps it
        importlib.import_module("cupy").get_default_memory_pool().free_all_blocks()
        assert rapids.ledger.held == 0

    def test_orders(self, cp) -> None:
        a = cp.asarray(X)
        f = cp.asfortranarray(a)
        assert a.flags.c_contiguous
        assert f.flags.f_contiguous
        assert not f.flags["C_CONTIGUOUS"]
        assert f.data.ptr != a.data.ptr
        assert cp.ascontiguousarray(a) is a
        assert f.get().flags.c_contiguous  # order="C" is what CuPy's get means
        assert f.get(order="A").flags.c_contiguous or True


class TestTorch:
    def test_tensor_to_cupy_without_a_copy(self, rapids, cp) -> None:
        t = torch.from_numpy(X).half().cuda()
        assert t.is_cuda
        wide = t.float()
        a = cp.from_dlpack(wide)
        assert a.data.ptr == wide.data_ptr()
        assert rapids.ledger.now == X.nbytes // 2 + X.nbytes
        wide.mul_(2)
        np.testing.assert_array_equal(a.get(), X.astype(np.float16).astype(np.float32) * 2)
        del t, wide
        gc.collect()
        assert rapids.ledger.now == X.nbytes  # two owners: the array keeps what the tensor brought
        assert torch.cuda.memory_reserved() == X.nbytes // 2 + X.nbytes
        torch.cuda.empty_cache()
        assert torch.cuda.memory_reserved() == X.nbytes
        del a
        torch.cuda.empty_cache()
        assert rapids.ledger.held == 0

    def test_half_crosses_as_half(self, rapids) -> None:
        half = torch.from_numpy(X).half()
        half.to("cuda").to(torch.float32)
        assert [one.dtype for one in rapids.ledger.crossings("device")] == ["float16"]
        rapids.ledger.mark()
        half.to("cuda", torch.float32)  # torch converts on the host, and sends twice as much
        buffer = torch.empty(X.shape, device="cuda")
        buffer[:].copy_(half)
        buffer.copy_(half, non_blocking=True)
        assert [one.dtype for one in rapids.ledger.crossings("device")] == ["float32", "float32", "float16"]

    def test_refusals(self, cp) -> None:
        t = torch.from_numpy(X)
        with pytest.raises(TypeError, match="CPU arrays cannot be directly imported to CuPy"):
            cp.from_dlpack(t)
        with pytest.raises(TypeError, match="CPU arrays cannot be directly imported to CuPy"):
            cp.from_dlpack(X)
        with pytest.raises(BufferError, match=r"tensor\.detach\(\)"):
            cp.from_dlpack(t.clone().requires_grad_().cuda())
        with pytest.raises(NotImplementedError):
            cp.from_dlpack(t.bfloat16().cuda())
        with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
            t.cuda().numpy()
        with pytest.raises(TypeError, match="can't convert cuda:0"):
            np.asarray(t.cuda())
        with pytest.raises(AttributeError):
            t.cuda().svd()

    def test_memory(self, rapids) -> None:
        t = torch.from_numpy(X).cuda()
        assert torch.cuda.memory_allocated() == torch.cuda.max_memory_allocated() == X.nbytes
        del t
        assert torch.cuda.memory_allocated() == 0
        torch.cuda.reset_peak_memory_stats()
        assert torch.cuda.max_memory_allocated() == 0
        total = torch.cuda.mem_get_info()[1]
        torch.cuda.set_per_process_memory_fraction(X.nbytes / 2 / total)
        with pytest.raises(torch.cuda.OutOfMemoryError, match="CUDA out of memory"):
            torch.from_numpy(X).cuda()

    def test_a_torch_without_cuda(self, monkeypatch) -> None:
        rapids_double.install(monkeypatch, torch_cuda=False)
        assert not torch.cuda.is_available()
        with pytest.raises(AssertionError, match="not compiled with CUDA"):
            torch.zeros(3).cuda()
        assert importlib.import_module("cupy").is_available()


class TestMemory:
    def test_the_device_has_an_end(self, monkeypatch) -> None:
        rapids_double.install(monkeypatch, memory=3 * X.nbytes)
        cp = importlib.import_module("cupy")
        kept = [cp.asarray(X) for _ in range(3)]
        with pytest.raises(cp.cuda.memory.OutOfMemoryError, match="Out of memory allocating 1,920 bytes"):
            cp.asarray(X)
        assert cp.cuda.runtime.memGetInfo() == (0, 3 * X.nbytes)
        kept.pop()
        cp.asarray(X)

    def test_cuml_makes_cupy_allocate_from_rmm(self, rapids, cp) -> None:
        rmm = importlib.import_module("rmm")
        importlib.import_module("cuml")
        rmm.mr.set_current_device_resource(rmm.mr.LimitingResourceAdaptor(rmm.mr.CudaMemoryResource(), X.nbytes))
        a = cp.asarray(X)
        with pytest.raises(MemoryError, match="std::bad_alloc: out_of_memory"):
            a * 2
        del a
        cp.asarray(X)

    def test_statistics(self, rapids, cp) -> None:
        rmm = importlib.import_module("rmm")
        importlib.import_module("cuml")
        assert importlib.import_module("rmm.statistics").get_statistics() is None
        rmm.statistics.enable_statistics()
        a = cp.asarray(X)
        b = a * 2
        del a
        seen = rmm.statistics.get_statistics()
        assert (seen.current_bytes, seen.peak_bytes, seen.total_bytes) == (X.nbytes, 2 * X.nbytes, 2 * X.nbytes)
        del b

    def test_the_pool_keeps_what_it_had(self, rapids, cp) -> None:
        rmm = importlib.import_module("rmm")
        importlib.import_module("cuml")
        rmm.mr.set_current_device_resource(rmm.mr.CudaAsyncMemoryResource())
        cp.asarray(X)
        assert (rapids.ledger.now, rapids.ledger.held) == (0, X.nbytes)

    def test_the_resource_may_not_change_once_it_was_used(self, rapids, cp) -> None:
        rmm = importlib.import_module("rmm")
        cp.asarray(X)
        with pytest.raises(RuntimeError, match="before the first allocation"):
            rmm.mr.set_current_device_resource(rmm.mr.CudaAsyncMemoryResource())
        rmm.statistics.enable_statistics()  # which goes around the same one

    def test_what_the_pool_keeps_can_be_limited(self, rapids, cp) -> None:
        rmm = importlib.import_module("rmm")
        importlib.import_module("cuml")
        rmm.mr.set_current_device_resource(rmm.mr.CudaAsyncMemoryResource(release_threshold=0))
        cp.asarray(X)
        assert rapids.ledger.held == X.nbytes
        cp.cuda.runtime.deviceSynchronize()
        assert rapids.ledger.held == 0

    def test_a_limit_has_its_own_name(self, rapids) -> None:
        rmm = importlib.import_module("rmm")
        with pytest.raises(TypeError, match="limit"):
            rmm.mr.LimitingResourceAdaptor(rmm.mr.CudaMemoryResource(), limit=1)


class TestDevice:
    def test_none(self, monkeypatch) -> None:
        rapids_double.install(monkeypatch, present=False, absent_error="cudaErrorNoDevice")
        cp = importlib.import_module("cupy")
        assert not cp.is_available()
        assert not torch.cuda.is_available()
        with pytest.raises(cp.cuda.runtime.CUDARuntimeError, match="cudaErrorNoDevice: no CUDA-capable") as caught:
            cp.cuda.runtime.getDeviceCount()
        assert caught.value.status == 100
        with pytest.raises(RuntimeError, match="cudaErrorNoDevice"):
            cp.zeros(3)

    def test_old(self, monkeypatch) -> None:
        rapids_double.install(monkeypatch, driver=12040, compute_capability=(7, 0))
        cp = importlib.import_module("cupy")
        assert cp.cuda.runtime.driverGetVersion() == 12040
        assert cp.cuda.Device(0).compute_capability == "70"

    def test_not_installed_or_broken(self, monkeypatch) -> None:
        rapids_double.install(monkeypatch, missing=("cuml",), broken={"cupy": "undefined symbol __nvJitLink"})
        assert importlib.util.find_spec("cuml") is None
        with pytest.raises(metadata.PackageNotFoundError):
            metadata.version("cuml-cu13")
        assert metadata.version("cupy-cuda13x") == "14.2.0"
        assert importlib.util.find_spec("cupy") is not None
        with pytest.raises(ImportError, match="undefined symbol __nvJitLink"):
            importlib.import_module("cupy")

    def test_a_sick_device_stays_sick(self, monkeypatch) -> None:
        rapids_double.install(monkeypatch, fails={"cuml.PCA@60": "cudaErrorIllegalAddress"})
        cp, cuml = importlib.import_module("cupy"), importlib.import_module("cuml")
        cuml.PCA(n_components=2).fit(cp.asarray(X[:50]))
        with pytest.raises(RuntimeError, match="Reason=cudaErrorIllegalAddress:an illegal memory access"):
            cuml.PCA(n_components=2).fit(cp.asarray(X))
        with pytest.raises(RuntimeError, match="cudaErrorIllegalAddress"):
            cp.asarray(X)

    def test_a_fit_that_finds_no_kernel(self, monkeypatch) -> None:
        rapids_double.install(monkeypatch, fails={"any": "cudaErrorNoKernelImageForDevice"})
        cp = importlib.import_module("cupy")
        assert cp.is_available()
        with pytest.raises(RuntimeError, match="no kernel image"):
            cp.asarray(X)

    @pytest.mark.parametrize(("options", "says"), [({}, "True RAPIDS double (no GPU)"), ({"present": False}, "False")])
    def test_a_child_process_finds_the_same(self, monkeypatch, options, says) -> None:
        rapids_double.install(monkeypatch, **options)
        code = "import torch, cupy; on = cupy.is_available(); print(on, torch.cuda.get_device_name() if on else '')"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == says

    def test_a_crash_is_one(self, monkeypatch) -> None:
        rapids_double.install(monkeypatch, fails={"cupy.asarray": "crash"})
        code = "import cupy; cupy.asarray([1.0])"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9

    def test_everything_is_forgotten_at_the_end(self, monkeypatch) -> None:
        with pytest.MonkeyPatch.context() as inner:
            rapids_double.install(inner, memory=5)
            importlib.import_module("cuml")
            assert importlib.import_module("gpuvis.backends.gpu.backend") is gpuvis.backends.gpu.backend
        assert "cuml" not in sys.modules
        assert "gpuvis.backends.gpu.backend" not in sys.modules
        assert not hasattr(gpuvis.backends.gpu, "backend")
        assert (
            importlib.util.find_spec("cuml") is None or "rapids_double" not in importlib.util.find_spec("cuml").origin
        )
        assert rapids_double.device.options.memory > 5


def test_operands_that_overlap_the_result_are_refused(rapids) -> None:
    import cupy

    a = cupy.arange(12, dtype=cupy.float32).reshape(3, 4)
    with pytest.raises(AssertionError, match="on a GPU this is a race"):
        a[:, 1:] -= a[:, 1:2]
    with pytest.raises(AssertionError, match="on a GPU this is a race"):
        a[1:] = a[:-1]
    a[:, 1:] -= a[:, 1:2].copy()
    a += a
    np.testing.assert_array_equal(a.get()[0], [0, 0, 2, 4])
