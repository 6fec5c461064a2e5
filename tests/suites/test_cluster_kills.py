"""Clusters of Dask are killed at random moments: a few of the kills of `make kills-cluster`."""

from __future__ import annotations

import cluster_kills


def test_no_folder_is_lost_and_none_has_another_result() -> None:
    assert cluster_kills.trials(3, seed=7) == 0
