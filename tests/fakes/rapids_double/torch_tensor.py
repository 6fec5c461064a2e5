"""Tensors of torch that behave as if they lay on a device."""

from __future__ import annotations

from typing import Any

import torch

from rapids_double.array import Capsule
from rapids_double.device import device
from rapids_double.ledger import Storage, ledger

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
        place, args, kwargs = split_place(args, kwargs)
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
            "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory "
            "first."
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


def split_place(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """Split the arguments of `Tensor.to` into the device and the rest."""
    if args and isinstance(args[0], (str, torch.device)):
        return args[0], args[1:], kwargs
    rest = dict(kwargs)
    return rest.pop("device", None), args, rest
