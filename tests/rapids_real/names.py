"""Every name of the RAPIDS packages that gpuvis may use, and that the double stands in for."""

from __future__ import annotations

DISTRIBUTIONS = ("cupy-cuda13x", "cuml-cu13", "cudf-cu13", "cuvs-cu13", "rmm-cu13")

NAMES = {
    "cupy": """
        __version__ ndarray asarray array ascontiguousarray asfortranarray empty empty_like zeros zeros_like ones full
        arange concatenate where abs sqrt exp log log2 isfinite maximum minimum argmax argsort argpartition
        take_along_axis sign sum mean max min any all square matmul dot einsum linalg.eigh linalg.norm asnumpy
        from_dlpack is_available get_default_memory_pool get_array_module
        float16 float32 float64 int8 int32 int64 uint8 bool_ newaxis inf nan
        ndarray.shape ndarray.dtype ndarray.ndim ndarray.size ndarray.nbytes ndarray.itemsize ndarray.T ndarray.flags
        ndarray.data ndarray.strides ndarray.astype ndarray.copy ndarray.ravel ndarray.reshape ndarray.sum ndarray.mean
        ndarray.max ndarray.min ndarray.any ndarray.all ndarray.argmax ndarray.argsort ndarray.item ndarray.get
        ndarray.fill ndarray.set ndarray.transpose ndarray.__dlpack__ ndarray.__dlpack_device__
        ndarray.__cuda_array_interface__
        cuda.is_available cuda.Device cuda.Device.compute_capability cuda.Device.synchronize cuda.Device.mem_info
        cuda.set_allocator cuda.Stream cuda.Stream.null cuda.Stream.ptds cuda.Stream.synchronize
        cuda.memory.OutOfMemoryError cuda.runtime.CUDARuntimeError cuda.runtime.getDeviceCount
        cuda.runtime.driverGetVersion cuda.runtime.runtimeGetVersion cuda.runtime.getDeviceProperties
        cuda.runtime.memGetInfo cuda.runtime.deviceSynchronize
    """,
    "cuml": """
        __version__ PCA UMAP TSNE decomposition.PCA manifold.UMAP manifold.TSNE
        PCA.fit PCA.fit_transform PCA.transform UMAP.fit UMAP.fit_transform TSNE.fit TSNE.fit_transform
    """,
    "cuvs": """
        __version__ neighbors.all_neighbors.build neighbors.all_neighbors.AllNeighborsParams
        neighbors.nn_descent.IndexParams distance.DISTANCE_TYPES common.Resources common.Resources.sync
    """,
    "cudf": """
        __version__ DataFrame Series Index DataFrame.from_arrow DataFrame.columns DataFrame.shape DataFrame.to_arrow
        DataFrame.to_pandas Series.factorize Series.isnull Series.isna Series.notnull Series.any Series.all
        Series.to_arrow Series.to_pandas Series.nunique Series.null_count Series.dtype Index.to_arrow Index.to_pandas
    """,
    "rmm": """
        __version__ mr.CudaAsyncMemoryResource mr.CudaMemoryResource mr.ManagedMemoryResource mr.DeviceMemoryResource
        mr.PrefetchResourceAdaptor
        mr.LimitingResourceAdaptor mr.LimitingResourceAdaptor.get_allocated_bytes
        mr.LimitingResourceAdaptor.get_allocation_limit mr.StatisticsResourceAdaptor
        mr.StatisticsResourceAdaptor.allocation_counts mr.set_current_device_resource mr.get_current_device_resource
        mr.available_device_memory statistics.enable_statistics statistics.get_statistics statistics.push_statistics
        statistics.pop_statistics statistics.statistics statistics.Statistics allocators.cupy.rmm_cupy_allocator
    """,
}


def every_name() -> list[str]:
    """Return the full dotted names."""
    return [f"{package}.{name}" for package, names in NAMES.items() for name in names.split()]
