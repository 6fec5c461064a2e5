"""torch's CUDA: tensors that behave as if they lay on a device, and the functions of torch.cuda."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from rapids_double.array import Capsule
from rapids_double.device import NAME, device
from rapids_double.errors import cuda_error
from rapids_double.ledger import Storage, ledger
from rapids_double.memory import free, memory

CPU_TO = torch.Tensor.to
CPU_COPY = torch.Tensor.copy_


class CudaTensor:
    """A stand-in for a torch.Tensor on cuda:0. What it does not offer is AttributeError."""

    is_cuda = True
    device = torch.device("cuda", 0)

    def __init__(self, cpu: torch.Tensor, storage: Storage | None = None) -> None:
        self._cpu = cpu
        self._storage = storage or Storage(cpu.nbytes, "torch")

    # what it is

    dtype = property(lambda self: self._cpu.dtype)
    shape = property(lambda self: self._cpu.shape)
    ndim = property(lambda self: self._cpu.ndim)
    nbytes = property(lambda self: self._cpu.nbytes)
    itemsize = property(lambda self: self._cpu.itemsize)
    requires_grad = property(lambda self: self._cpu.requires_grad)

    def __len__(self) -> int:
        return len(self._cpu)

    def size(self, *args: Any) -> Any:
        return self._cpu.size(*args)

    def numel(self) -> int:
        return self._cpu.numel()

    def element_size(self) -> int:
        return self._cpu.element_size()

    def stride(self, *args: Any) -> Any:
        return self._cpu.stride(*args)

    def dim(self) -> int:
        return self._cpu.dim()

    def is_contiguous(self) -> bool:
        return self._cpu.is_contiguous()

    def data_ptr(self) -> int:
        return self._cpu.data_ptr()

    # the same memory, or new

    def _made(self, cpu: torch.Tensor) -> CudaTensor:
        device.launch("torch.kernel")
        if cpu is self._cpu:
            return self
        same = cpu.untyped_storage().data_ptr() == self._cpu.untyped_storage().data_ptr()
        return CudaTensor(cpu, self._storage if same else None)

    def detach(self) -> CudaTensor:
        return self._made(self._cpu.detach())

    def contiguous(self) -> CudaTensor:
        return self._made(self._cpu.contiguous())

    def __getitem__(self, key: Any) -> CudaTensor:
        return self._made(self._cpu[key])

    def reshape(self, *shape: Any) -> CudaTensor:
        return self._made(self._cpu.reshape(*shape))

    def float(self) -> CudaTensor:
        return self._made(self._cpu.float())

    def to(self, *args: Any, **kwargs: Any) -> Any:
        place, args, kwargs = _place(args, kwargs)
        if place and torch.device(place).type == "cpu":
            return self.cpu().to(*args, **kwargs)
        return self._made(CPU_TO(self._cpu, *args, **kwargs))

    def cuda(self, *args: Any, **kwargs: Any) -> CudaTensor:
        return self

    def __mul__(self, other: Any) -> CudaTensor:
        return self._made(self._cpu * _inside(other))

    __rmul__ = __mul__

    def mul_(self, other: Any) -> CudaTensor:
        device.launch("torch.kernel")
        self._cpu.mul_(_inside(other))
        return self

    def copy_(self, source: Any, non_blocking: bool = False) -> CudaTensor:
        """Fill from another tensor. From the host, torch converts there, unless it may not wait for the bus."""
        device.launch("torch.kernel")
        if isinstance(source, torch.Tensor):
            converts = source.dtype != self.dtype
            moved = source if non_blocking or not converts else CPU_TO(source, self.dtype)
            ledger.moved("device", moved, "torch")
            staging = CudaTensor(moved) if moved.dtype != self.dtype else None
            CPU_COPY(self._cpu, moved)
            del staging
        else:
            CPU_COPY(self._cpu, _inside(source))
        return self

    # to the host, and to CuPy

    def cpu(self) -> torch.Tensor:
        device.launch("torch.cpu")
        ledger.moved("host", self._cpu, "torch")
        return self._cpu.clone()

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
        )

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        return self.numpy()

    def item(self) -> Any:
        return self.cpu().item()

    def __bool__(self) -> bool:
        return bool(self.item())

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None) -> Capsule:
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        if self.dtype == torch.bfloat16:
            raise NotImplementedError("CuPy reads bfloat16 only where ml_dtypes is installed; convert in torch")
        return Capsule(self._cpu.numpy(), self._storage)

    def __repr__(self) -> str:
        return f"double {self._cpu!r}"


def _inside(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.ndim:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"
        )
    return value._cpu if isinstance(value, CudaTensor) else value


def _place(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """Split the arguments of `Tensor.to` into the device and the rest."""
    if args and isinstance(args[0], (str, torch.device)):
        return args[0], args[1:], kwargs
    rest = dict(kwargs)
    return rest.pop("device", None), args, rest


def _require() -> None:
    if not device.options.torch_cuda:
        raise AssertionError("Torch not compiled with CUDA enabled")
    if not device.options.present:
        raise RuntimeError("No CUDA GPUs are available")


def _cuda(self: torch.Tensor, device: Any = None, non_blocking: bool = False) -> CudaTensor:  # noqa: ARG001
    _require()
    the_device_launches("torch.cuda")
    storage = Storage(self.nbytes, "torch")
    ledger.moved("device", self, "torch")
    copy = self.detach().clone(memory_format=torch.preserve_format)
    return CudaTensor(copy.requires_grad_(self.requires_grad) if self.requires_grad else copy, storage)


the_device_launches = device.launch


def _to(self: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    place, rest, more = _place(args, kwargs)
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


def _set_fraction(fraction: float, device: Any = None) -> None:  # noqa: ARG001
    _require()
    if not 0 <= fraction <= 1:
        raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~1")
    memory.torch_limit = fraction


def _reset_peak(device: Any = None) -> None:  # noqa: ARG001
    ledger.peaks["torch"] = ledger.pools["torch"].live


def _available() -> bool:
    return device.options.torch_cuda and device.options.present


def _synchronize(device: Any = None) -> None:  # noqa: ARG001
    _require()
    the_device_launches("torch.synchronize")


def replacements() -> list[tuple[Any, str, Any]]:
    """Return what stands in for what: owner, name, stand-in."""
    cuda = {
        "is_available": _available,
        "device_count": lambda: int(_available()),
        "current_device": lambda: 0,
        "is_initialized": _available,
        "init": _require,
        "get_device_name": lambda device=None: NAME,  # noqa: ARG005
        "get_device_capability": lambda device=None: device_capability(),  # noqa: ARG005
        "synchronize": _synchronize,
        "empty_cache": _empty_cache,
        "memory_allocated": lambda device=None: ledger.pools["torch"].live,  # noqa: ARG005
        "memory_reserved": lambda device=None: ledger.pools["torch"].live + ledger.pools["torch"].kept,  # noqa: ARG005
        "max_memory_allocated": lambda device=None: _peak(),  # noqa: ARG005
        "reset_peak_memory_stats": _reset_peak,
        "set_per_process_memory_fraction": _set_fraction,
        "mem_get_info": lambda device=None: _mem_info(),  # noqa: ARG005
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
