"""The real LocalCUDACluster takes what we give it: up to the GPU itself, which dask-cuda's own switches leave out."""

from __future__ import annotations

import os

import pytest

from gpuvis.errors import SettingsError
from gpuvis.jobs import connect
from gpuvis.jobs.remote import Terms


def devices() -> str:
    return os.environ["CUDA_VISIBLE_DEVICES"]


@pytest.fixture(autouse=True)
def _two_devices(monkeypatch) -> None:
    from dask_cuda import local_cuda_cluster

    for name in ("DASK_CUDA_TEST_SINGLE_GPU", "DASK_CUDA_TEST_DISABLE_DEVICE_SPECIFIC"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.setattr(local_cuda_cluster, "nvml_device_index", lambda index, devices: index)
    monkeypatch.setattr(local_cuda_cluster, "parse_device_memory_limit", lambda limit, device_index: limit)
    monkeypatch.setattr("gpuvis.jobs.remote.obstacle", lambda name: None)


def test_each_worker_has_a_gpu_of_its_own() -> None:
    with connect.local(None, Terms("gpu")) as client:
        assert sorted(client.run(devices).values()) == ["4,7", "7,4"]
        told = client.scheduler_info()
        assert told["address"].startswith("tls://127.0.0.1:")
        assert {(one["memory_limit"], one["nthreads"]) for one in told["workers"].values()} == {(0, 1)}


def test_more_workers_than_gpus_are_refused() -> None:
    refused = pytest.raises(SettingsError, match="no 3 workers with a GPU each can be started")
    with refused, connect.local(3, Terms("gpu")):
        pass
