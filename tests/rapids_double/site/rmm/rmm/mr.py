from rapids_double.device import device as _device
from rapids_double.memory import (
    CudaAsyncMemoryResource,
    CudaMemoryResource,
    DeviceMemoryResource,
    LimitingResourceAdaptor,
    ManagedMemoryResource,
    PrefetchResourceAdaptor,
    StatisticsResourceAdaptor,
    free,
    memory,
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
    memory.set_resource(mr)


def get_current_device_resource():
    _device.require()
    return memory.resource


def available_device_memory():
    _device.require()
    return free(), _device.options.memory
