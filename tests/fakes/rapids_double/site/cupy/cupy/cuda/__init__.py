from rapids_double.device import device as _device
from rapids_double.memory import memory as _memory

from cupy.cuda import memory, runtime

_available = None


def is_available():
    """Return whether there is a device: asked once, as CuPy does."""
    global _available  # noqa: PLW0603
    if _available is None:
        try:
            _available = runtime.getDeviceCount() > 0
        except RuntimeError:
            _available = False
    return _available


def set_allocator(allocator=None):
    _memory.cupy_uses_rmm = getattr(allocator, "__name__", "") == "rmm_cupy_allocator"


class Device:
    def __init__(self, device=None):
        self.id = int(device or 0)

    @property
    def compute_capability(self):
        _device.require()
        return "".join(str(part) for part in _device.options.compute_capability)

    @property
    def mem_info(self):
        return runtime.memGetInfo()

    def synchronize(self):
        runtime.deviceSynchronize()

    def __enter__(self):
        raise NotImplementedError("cuML works on device 0 alone; choose the device with CUDA_VISIBLE_DEVICES")


class Stream:
    null = None
    ptds = None

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        pass

    def synchronize(self):
        runtime.deviceSynchronize()


Stream.null, Stream.ptds = Stream(), Stream()
__all__ = ["Device", "Stream", "is_available", "memory", "runtime", "set_allocator"]
