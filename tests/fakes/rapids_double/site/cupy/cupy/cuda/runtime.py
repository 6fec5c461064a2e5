from rapids_double.device import NAME as _NAME
from rapids_double.device import device as _device
from rapids_double.errors import CUDARuntimeError
from rapids_double.errors import cuda_error as _cuda_error
from rapids_double.memory import free as _free
from rapids_double.memory import memory as _memory

__all__ = ["CUDARuntimeError"]


def getDeviceCount():
    _device.require()
    return 1


def driverGetVersion():
    return _device.driver


def runtimeGetVersion():
    return _device.options.runtime


def getDeviceProperties(device):
    _device.require()
    if device != 0:
        raise _cuda_error("cudaErrorInvalidDevice")
    major, minor = _device.options.compute_capability
    name = _NAME.encode()
    return {"name": name, "totalGlobalMem": _device.options.memory, "major": major, "minor": minor}


def memGetInfo():
    _device.require()
    if _device.sick:
        raise _cuda_error(_device.sick)
    return _free(), _device.options.memory


def deviceSynchronize():
    """Wait; here RMM's asynchronous pool gives back what is beyond its threshold."""
    _device.launch("cupy.synchronize")
    _memory.resource.stack()[-1].synchronize()
