from rapids_double.device import NAME as _NAME
from rapids_double.device import device as _device
from rapids_double.errors import CUDARuntimeError
from rapids_double.errors import cuda_error as _cuda_error
from rapids_double.memory import free as _free

__all__ = ["CUDARuntimeError"]


def getDeviceCount():
    _device.require()
    return 1


def driverGetVersion():
    return _device.options.driver if _device.options.present or _device.options.driver != 13020 else 0


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
    _device.launch("cupy.synchronize")
