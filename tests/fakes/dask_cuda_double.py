"""A double of dask_cuda: a cluster whose workers each see their own GPU first, by CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

import copy
import os
from typing import Any

from distributed import LocalCluster


class LocalCUDACluster(LocalCluster):
    """As that of dask_cuda 26.10, without what needs a GPU."""

    def __init__(self, CUDA_VISIBLE_DEVICES: None = None, n_workers: int | None = None, **options: Any) -> None:
        self.devices = [int(device) for device in os.environ["CUDA_VISIBLE_DEVICES"].split(",")]
        super().__init__(n_workers=0, processes=True, **options)
        self.scale(len(self.devices) if n_workers is None else n_workers)
        self.sync(self._correct_state)

    def new_worker_spec(self) -> dict[int, Any]:
        """Return the spec of a worker with the next GPU, which comes first in a turned list."""
        try:
            name = min(set(self.devices) - set(self.worker_spec))
        except ValueError:
            raise ValueError("Can not scale beyond visible devices", self.devices) from None
        spec: dict[str, Any] = copy.deepcopy(self.new_spec)
        place = self.devices.index(name)
        turned = ",".join(map(str, self.devices[place:] + self.devices[:place]))
        spec["options"]["env"] = {"CUDA_VISIBLE_DEVICES": turned}
        return {name: spec}
