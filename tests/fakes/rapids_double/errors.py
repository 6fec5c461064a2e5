"""The errors of the CUDA runtime."""

from __future__ import annotations

CUDA_ERRORS = {
    "cudaErrorInvalidValue": (1, "invalid argument"),
    "cudaErrorMemoryAllocation": (2, "out of memory"),
    "cudaErrorInsufficientDriver": (35, "CUDA driver version is insufficient for CUDA runtime version"),
    "cudaErrorNoDevice": (100, "no CUDA-capable device is detected"),
    "cudaErrorInvalidDevice": (101, "invalid device ordinal"),
    "cudaErrorNoKernelImageForDevice": (209, "no kernel image is available for execution on the device"),
    "cudaErrorECCUncorrectable": (214, "uncorrectable ECC error encountered"),
    "cudaErrorIllegalAddress": (700, "an illegal memory access was encountered"),
    "cudaErrorLaunchFailure": (719, "unspecified launch failure"),
}
STICKY = {"cudaErrorECCUncorrectable", "cudaErrorIllegalAddress", "cudaErrorLaunchFailure"}
_NAMES = {status: name for name, (status, _) in CUDA_ERRORS.items()}


class CUDARuntimeError(RuntimeError):
    """What CuPy raises; `status` is the number of the error."""

    def __init__(self, status: int) -> None:
        self.status = status
        name = _NAMES[status]
        super().__init__(f"{name}: {CUDA_ERRORS[name][1]}")


class OutOfMemoryError(MemoryError):
    """What CuPy raises when its own pool cannot grow."""

    def __init__(self, size: int, total: int, limit: int = 0) -> None:
        limited = f", limit set to: {limit:,} bytes" if limit else ""
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes{limited}).")


def cuda_error(name: str) -> CUDARuntimeError:
    return CUDARuntimeError(CUDA_ERRORS[name][0])


class CuvsException(Exception):  # noqa: N818  cuVS's own name
    """What cuVS raises, whatever has gone wrong in its C++: it is neither a RuntimeError nor a MemoryError."""


def library_error(name: str, call: str) -> Exception:
    """Return what cuML and cuVS raise of it: the text that raft writes."""
    text = f"CUDA error encountered at: file=double line=1: call='{call}', Reason={name}:{CUDA_ERRORS[name][1]}"
    return CuvsException(text) if call.startswith("cuvs.") else RuntimeError(text)
