from rapids_double.device import device as _device
from rapids_double.memory import (
    CudaAsyncMemoryResource,
    CudaMemoryResource,
    DeviceMemoryResource,
    LimitingResourceAdaptor,
    ManagedMemoryResource,
    PrefetchResourceAdaptor,
    StatisticsResourceAdaptor,
)
from rapids_double.memory import (
    free as _free,
)
from rapids_double.memory import (
    memory as _memory,
)

__all__ = [
    "CudaAsyncMemoryResource",
    "CudaMemoryResource",
    "DeviceMemoryResource",
    "LimitingResourceAdaptor",
    "ManagedMemoryResource",
    "PrefetchResourceAdaptor",
    "StatisticsResourceAdaptor",
    "available_device_memory",
    "get_current_device_resource",
    "set_current_device_resource",
]


def set_current_device_resource(mr):
    _memory.set_resource(mr)


def get_current_device_resource():
    _device.require()
    return _memory.resource


def available_device_memory():
    _device.require()
    return _free(), _device.options.memory
