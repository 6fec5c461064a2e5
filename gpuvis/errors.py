"""All errors that gpuvis raises on purpose, and the exit code of each.

    GpuvisError
    ├── DataError                 1   the matrix cannot be reduced
    │   └── CacheError            1   a cache folder is not what it has to be
    ├── OutputError               1   the outputs cannot be written
    │   └── OutputExistsError     1   the outputs are there and may not be replaced
    ├── NotBuiltError             1   the compiled loops are missing
    ├── SettingsError             2   a setting is out of range, or not known here
    ├── NoGpuError                3   a GPU was demanded and there is none
    ├── OutOfMemoryError          4   the work does not fit
    └── QualityError              5   a map keeps less than was asked

Every message is one line: where, what was expected, what was found, what to do.
"""

from typing import Any, ClassVar


class GpuvisError(Exception):
    """Root of all errors that gpuvis raises on purpose."""

    exit_code: ClassVar[int] = 1

    def __reduce__(self) -> tuple[Any, ...]:
        """Cross between processes as it is, whatever its class takes to be made."""
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[GpuvisError], args: tuple[Any, ...], attributes: dict[str, Any]) -> GpuvisError:
    base = OSError if issubclass(kind, OSError) else Exception  # OSError is built differently
    error = base.__new__(kind)
    error.args = args
    error.__dict__.update(attributes)
    return error


class DataError(GpuvisError, ValueError):
    """The matrix cannot be reduced: its shape, its type or its values."""


class CacheError(DataError):
    """A cache folder is missing a file, or its files are damaged or disagree."""


class OutputError(GpuvisError, OSError):
    """The outputs cannot be written where they belong."""


class OutputExistsError(OutputError):
    """Outputs are there already and may not be replaced, or another run is writing them."""


class NotBuiltError(GpuvisError):
    """The compiled loops of the CPU backend are missing: gpuvis was not installed for this Python."""


class SettingsError(GpuvisError, ValueError):
    """A setting is out of range, or the chosen backend does not know it."""

    exit_code = 2


class NoGpuError(GpuvisError, RuntimeError):
    """A GPU was demanded, and this machine has none that can be used."""

    exit_code = 3


class OutOfMemoryError(GpuvisError, MemoryError):
    """The work does not fit in memory."""

    exit_code = 4


class QualityError(GpuvisError):
    """A map keeps less of the original space than was asked; its files are there."""

    exit_code = 5


_SIGNS_OF_NO_MEMORY = (
    *("can't allocate memory", "cannot allocate memory", "out of memory", "out_of_memory", "bad_alloc"),
    *("cudaerrormemoryallocation", "alloc_failed"),
    *("can't start new thread", "failed to map segment"),  # as a library is loaded
)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out; torch and CUDA's libraries have classes of their own."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in _SIGNS_OF_NO_MEMORY)
