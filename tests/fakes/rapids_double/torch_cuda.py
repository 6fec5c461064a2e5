"""torch's CUDA: what puts tensors on the double's device, and the functions of torch.cuda."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from rapids_double.device import NAME, device
from rapids_double.errors import cuda_error
from rapids_double.ledger import Storage, ledger
from rapids_double.memory import free, memory
from rapids_double.torch_tensor import CPU_TO, CudaTensor, split_place

the_device = device  # torch's functions have a parameter of the name


def _require() -> None:
    if not device.options.torch_cuda:
        raise AssertionError("Torch not compiled with CUDA enabled")
    if not device.options.present:
        raise RuntimeError("No CUDA GPUs are available")


def _cuda(self: torch.Tensor, device: Any = None, non_blocking: bool = False) -> CudaTensor:
    _require()
    the_device.launch("torch.cuda")
    storage = Storage(self.nbytes, "torch")
    ledger.moved("device", self, "torch")
    copy = self.detach().clone(memory_format=torch.preserve_format)
    return CudaTensor(copy.requires_grad_(self.requires_grad) if self.requires_grad else copy, storage)


def _to(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    place, rest, more = split_place(args, kwargs)
    if place is None or torch.device(place).type != "cuda":
        return CPU_TO(self, *args, **kwargs)
    non_blocking = more.pop("non_blocking", False)
    dtype = rest[0] if rest else more.pop("dtype", self.dtype)
    if non_blocking:
        return _cuda(self).to(dtype)
    return _cuda(CPU_TO(self, dtype))


def _making(name: str) -> Callable[..., Any]:
    """Return torch.empty or torch.zeros with device="cuda"."""
    plain = getattr(torch, name)

    def make(*args: Any, device: Any = None, **kwargs: Any) -> Any:
        if device is None or torch.device(device).type != "cuda":
            return plain(*args, **kwargs) if device is None else plain(*args, device=device, **kwargs)
        _require()
        return CudaTensor(plain(*args, **kwargs))

    return make


def _empty_cache() -> None:
    ledger.pools["torch"].kept = 0


def _peak() -> int:
    return ledger.peaks.get("torch", 0)


def _set_fraction(fraction: float, device: Any = None) -> None:
    _require()
    if not 0 <= fraction <= 1:
        raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
    memory.torch_limit = fraction


def _reset_peak(device: Any = None) -> None:
    ledger.peaks["torch"] = ledger.pools["torch"].live


def _available() -> bool:
    return device.options.torch_cuda and device.options.present


def _synchronize(device: Any = None) -> None:
    _require()
    the_device.launch("torch.synchronize")


def replacements() -> list[tuple[Any, str, Any]]:
    """Return what stands in for what: owner, name, stand-in."""
    cuda = {
        "is_available": _available,
        "device_count": lambda: int(_available()),
        "current_device": lambda: 0,
        "is_initialized": _available,
        "init": _require,
        "get_device_name": lambda device=None: NAME,
        "get_device_capability": lambda device=None: device_capability(),
        "synchronize": _synchronize,
        "empty_cache": _empty_cache,
        "memory_allocated": lambda device=None: ledger.pools["torch"].live,
        "memory_reserved": lambda device=None: ledger.pools["torch"].live + ledger.pools["torch"].kept,
        "max_memory_allocated": lambda device=None: _peak(),
        "reset_peak_memory_stats": _reset_peak,
        "set_per_process_memory_fraction": _set_fraction,
        "mem_get_info": lambda device=None: _mem_info(),
    }
    tensor = {"cuda": _cuda, "to": _to, "pin_memory": lambda self: self}
    made = {name: _making(name) for name in ("empty", "zeros")}
    return [
        *((torch.cuda, name, value) for name, value in cuda.items()),
        *((torch.Tensor, name, value) for name, value in tensor.items()),
        *((torch, name, value) for name, value in made.items()),
        (torch.version, "cuda", "13.0" if device.options.torch_cuda else None),
    ]


def device_capability() -> tuple[int, int]:
    _require()
    return device.options.compute_capability


def _mem_info() -> tuple[int, int]:
    _require()
    if device.sick:
        raise cuda_error(device.sick)
    return free(), device.options.memory


def install() -> None:
    """Give torch a CUDA device for the rest of the process."""
    for owner, name, value in replacements():
        setattr(owner, name, value)


@contextmanager
def patched() -> Iterator[None]:
    """Give torch a CUDA device for a while."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in replacements()]
    install()
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)
