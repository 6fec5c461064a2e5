"""The stages of one folder: what they keep in memory."""

from __future__ import annotations

import gc
import weakref

import pytest
from doubles import FirstColumns

from gpuvis.backends import Selection
from gpuvis.jobs import job, stages
from gpuvis.jobs.job import Job
from gpuvis.settings import Settings
from gpuvis.timing import StepTimer


class FailingPca(FirstColumns):
    def pca(self, *args):
        raise ZeroDivisionError


@pytest.mark.parametrize("backend", [FirstColumns(), FailingPca()], ids=["success", "failure"])
def test_the_embeddings_are_released_once_the_maps_are_computed(make_cache, backend) -> None:
    folder = make_cache()
    decision = job.decide(Job(folder, folder, Settings(pca_dim=4), page=None))
    inputs = stages.read(decision, Selection(backend, "for the test"), StepTimer())
    task, embeddings = inputs.task, weakref.ref(inputs.maps.cache.embeddings)
    maps = stages.maps(inputs)
    del inputs
    failed = False
    try:
        for _ in maps:
            assert embeddings() is not None
    except ZeroDivisionError:
        failed = True
    gc.collect()
    assert failed == isinstance(backend, FailingPca)
    assert embeddings() is None
    assert task.job.folder == folder
