"""The double answers as the real packages do, wherever that can be seen without a device."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import rapids_double

SAME_TEXT = (
    "cupy.is_available()",
    "cupy.cuda.runtime.driverGetVersion()",
    "cupy.cuda.runtime.getDeviceCount()",
    "cupy.cuda.runtime.getDeviceProperties(0)",
    "cupy.cuda.runtime.memGetInfo()",
    "cupy.cuda.runtime.deviceSynchronize()",
    "cupy.cuda.Device(0).compute_capability",
    "cupy.cuda.Stream.null.synchronize()",
    "cupy.get_default_memory_pool().free_all_blocks()",
    "cupy.zeros(3)",
    "cupy.asarray([1.0])",
    "cupy.from_dlpack(torch.zeros(3))",
    "cupy.asnumpy(numpy.ones(2))",
    "str(cupy.cuda.memory.OutOfMemoryError(1024, 2048))",
    "cupy.cuda.memory.OutOfMemoryError.__mro__[1]",
    "cuml.__version__, cuvs.__version__, cudf.__version__, rmm.__version__, cupy.__version__",
    "cuml.PCA(n_components=2).fit(numpy.ones((9, 4), 'f'))",
    "cuml.UMAP().fit(numpy.ones((9, 4), 'f'))",
    "cuml.TSNE().fit(numpy.ones((9, 4), 'f'))",
    "cuml.UMAP().get_params if False else cuml.UMAP(n_neighbors=3).n_neighbors",
    "cuml.UMAP(init='pca', build_algo='brute_force_knn').fit(numpy.ones((9, 4), 'f'), knn_graph=(1, 2))",
    "cuml.UMAP(metric='braycurtis').fit(numpy.ones((9, 4), 'f'), knn_graph=(1, 2))",
    "cuml.UMAP(metric='manhattan', build_algo='nn_descent').fit(numpy.ones((200, 4), 'f'))",
    "cuml.UMAP(build_algo='x').fit(numpy.ones((9, 4), 'f'))",
    "cuml.UMAP(min_dist=2).fit(numpy.ones((9, 4), 'f'))",
    "cuml.UMAP(build_kwds={'knn_n_clusters': 2}).fit(numpy.ones((9, 4), 'f'))",
    "cuml.UMAP(build_algo='nn_descent').fit(numpy.ones((200, 4), 'f') * numpy.nan)",
    "rmm.mr.set_current_device_resource(rmm.mr.CudaMemoryResource())",
    "rmm.statistics.get_statistics()",
    "list(cuvs.distance.DISTANCE_TYPES)",
    "params(algo='x')",
    "params(metric='manhattan')",
    "params(metric='euclidean').metric, params().metric, params().algo, params(n_clusters=3).n_clusters",
    "params(metric='cosine', nn_descent_params=index(metric='euclidean'))",
    "params(nn_descent_params=1)",
    "index(metric='euclidean').metric, index().metric, index().graph_degree, index().intermediate_graph_degree",
    "index(max_iterations=7).max_iterations, index().max_iterations",
    "index(dist_comp_dtype='fp8')",
    "build(numpy.ones((9, 4), 'f'), 3, 1)",
)
SAME_TYPE = (
    "cupy.cuda.runtime.malloc_",
    "cuml.UMAP(low_memory=True)",
    "cuml.UMAP().fit(numpy.ones((9, 4), 'f'), data_on_host=True)",
    "cuml.TSNE(n_iter=500)",
    "cuml.PCA(5)",
    "cuml.PCA(random_state=1)",
    "params('brute_force')",
    "index('euclidean')",
    "params(clusters=2)",
    "rmm.mr.LimitingResourceAdaptor(rmm.mr.CudaMemoryResource(), 1.5)",
    "rmm.mr.LimitingResourceAdaptor(rmm.mr.CudaMemoryResource(), 'x')",
    "rmm.mr.LimitingResourceAdaptor(rmm.mr.CudaMemoryResource(), limit=1)",
    "rmm.mr.CudaAsyncMemoryResource().pool_handle",
    "rmm.mr.available_device_memory()",
    "rmm.mr.CudaAsyncMemoryResource()",
    "cudf.DataFrame.from_arrow('x')",
    "cudf.DataFrame.from_arrow(data='x')",
    "cupy.zeros(3, kind='f')",
    "torch.zeros(3).cuda()",
)
SAME_OF_ARRAYS = (
    "numpy.asarray(a)",
    "a.foo",
    "hash(a)",
    "a.shape, a.strides, a.nbytes, a.itemsize, a.ndim, a.size, str(a.dtype), len(a)",
    "a.flags.c_contiguous, a.flags['F_CONTIGUOUS'], a.reshape(2, 5).T.flags.f_contiguous",
    "a.reshape(2, 5).T.flags.c_contiguous, a.reshape(2, 5).T.strides, a[::2].strides, a[None].shape",
    "a[2:5].data.ptr - a.data.ptr, a.T.data.ptr - a.data.ptr, a.ravel().data.ptr - a.data.ptr",
    "cupy.ascontiguousarray(a) is a",
    "a.astype('f8', copy=False) is a",
    "isinstance(a, cupy.ndarray)",
)
SAME_TYPE_OF_ARRAYS = ("a @ numpy.ones(10)", "a.sum(keepdim=1)", "a.get(outt=1)", "cupy.matmul(a, numpy.ones(10))")
ON_REAL = """
import cupy
a = cupy.ndarray((10,), 'f8', cupy.cuda.MemoryPointer(cupy.cuda.UnownedMemory(4096, 80, None, 0), 0))  # no such memory
"""
ON_DOUBLE = """
import cupy
a = cupy.zeros(10)
"""
CODE = """
import json, sys
import cudf, cuml, cupy, cuvs.distance, cuvs.neighbors, numpy, rmm, rmm.statistics, torch
index = cuvs.neighbors.nn_descent.IndexParams
params, build = cuvs.neighbors.all_neighbors.AllNeighborsParams, cuvs.neighbors.all_neighbors.build
for expression in json.load(sys.stdin):
    try:
        print(json.dumps(["value", repr(eval(expression))]))
    except Exception as error:
        mro = [one.__name__ for one in type(error).__mro__ if one.__module__ == "builtins"]
        print(json.dumps([mro[0], " ".join(str(error).split())]))
"""


def answers(expressions: tuple[str, ...], env: dict[str, str], first: str = "") -> list[list[str]]:
    """Evaluate expressions in a process of its own; return each one's value, or its error's built-in kind and text."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", first + CODE],
        input=json.dumps(expressions),
        capture_output=True,
        text=True,
        check=False,
        env=env,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


@pytest.fixture(scope="module")
def both(without_gpu: dict[str, str]) -> dict[str, tuple[list[str], list[str]]]:
    error = answers(("cupy.cuda.runtime.getDeviceCount()",), without_gpu)[0][1].partition(":")[0]
    double = rapids_double.environment(present=False, torch_cuda=False, absent_error=error)
    every = (*SAME_TEXT, *SAME_TYPE)
    real, ours = answers(every, without_gpu), answers(every, without_gpu | double)
    return {one: (real[i], ours[i]) for i, one in enumerate(every)}


@pytest.mark.parametrize("expression", SAME_TEXT)
def test_same_answer(both: dict[str, tuple[list[str], list[str]]], expression: str) -> None:
    real, ours = both[expression]
    assert ours == real


@pytest.mark.parametrize("expression", SAME_TYPE)
def test_same_kind_of_answer(both: dict[str, tuple[list[str], list[str]]], expression: str) -> None:
    real, ours = both[expression]
    assert ours[0] == real[0], (real, ours)


def test_arrays_answer_the_same(without_gpu: dict[str, str]) -> None:
    """CuPy's own array, on memory that is not there, tells much as long as nobody looks inside."""
    every = (*SAME_OF_ARRAYS, *SAME_TYPE_OF_ARRAYS)
    real = answers(every, without_gpu, ON_REAL)
    ours = answers(every, without_gpu | rapids_double.environment(), ON_DOUBLE)
    for expression, theirs, mine in zip(every, real, ours, strict=True):
        same = mine == theirs if expression in SAME_OF_ARRAYS else mine[0] == theirs[0] == "TypeError"
        assert same, (expression, theirs, mine)


def test_the_double_is_what_was_asked(without_gpu: dict[str, str]) -> None:
    env = without_gpu | rapids_double.environment()
    (found,) = answers(("cupy.__file__, cupy.cuda.runtime.getDeviceProperties(0)['name']",), env)
    assert str(Path(rapids_double.__file__).parent) in found[1]
    assert rapids_double.NAME in found[1]


def test_what_cuvs_raises_is_neither_a_runtime_error_nor_a_memory_error() -> None:
    from cuvs.common.exceptions import CuvsException
    from rapids_double import errors

    assert CuvsException.__mro__[1:] == errors.CuvsException.__mro__[1:] == (Exception, BaseException, object)
