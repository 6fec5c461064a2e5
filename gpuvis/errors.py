"""All errors that gpuvis raises on purpose, and the exit code of each.

    GpuvisError
    ├── DataError                 1   the matrix cannot be reduced
    │   └── CacheError            1   a file of a cache folder is missing, damaged or does not match the others
    ├── OutputError               1   the outputs cannot be written
    │   └── OutputExistsError     1   the outputs exist already and may not be replaced
    ├── NotBuiltError             1   the compiled loops are missing
    ├── SettingsError             2   a setting is out of range, or the backend does not support it
    ├── NoGpuError                3   a GPU was requested and there is none
    ├── OutOfMemoryError          4   the work does not fit in memory
    └── QualityError              5   a map is less trustworthy than was required

Every message is one line: the file or setting, its content, what was expected instead, and how to fix it.
"""

from typing import Any, ClassVar


class GpuvisError(Exception):
    """Base class of all errors that gpuvis raises on purpose.

    Attributes
    ----------
    exit_code : int
        Exit code of the command that ends with this error.
    """

    exit_code: ClassVar[int] = 1

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the error without calling its constructor again, whose parameters may differ from `args`."""
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[GpuvisError], args: tuple[Any, ...], attributes: dict[str, Any]) -> GpuvisError:
    base = OSError if issubclass(cls, OSError) else Exception  # OSError has its own __new__
    error = base.__new__(cls)
    error.args = args
    error.__dict__.update(attributes)
    return error


class DataError(GpuvisError, ValueError):
    """The matrix cannot be reduced: its shape, its type or its values."""


class CacheError(DataError):
    """A cache folder is missing a file, or its files are damaged or disagree."""


class OutputError(GpuvisError, OSError):
    """The outputs cannot be written to their folder."""


class OutputExistsError(OutputError):
    """Outputs exist already and may not be replaced, or another run is writing them."""


class InUseError(OutputExistsError):
    """Another run is writing to the folder."""


class NotBuiltError(GpuvisError):
    """The compiled loops of the CPU backend are missing: gpuvis was not installed for this Python."""


class SettingsError(GpuvisError, ValueError):
    """A setting is out of range, or the backend does not support it."""

    exit_code = 2


class NoGpuError(GpuvisError, RuntimeError):
    """A GPU was requested, and this machine has none that can be used."""

    exit_code = 3


class OutOfMemoryError(GpuvisError, MemoryError):
    """The work does not fit in memory."""

    exit_code = 4


class QualityError(GpuvisError):
    """A map is less trustworthy than was required. Its files are written nevertheless."""

    exit_code = 5


_OUT_OF_MEMORY_PHRASES = (
    *("can't allocate memory", "cannot allocate memory", "out of memory", "out_of_memory", "bad_alloc"),
    *("cudaerrormemoryallocation", "alloc_failed"),
    *("can't start new thread", "failed to map segment"),  # while a library is being loaded
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out; torch and CUDA have their own error classes for that."""
    message = str(error).lower()
    return isinstance(error, MemoryError) or any(phrase in message for phrase in _OUT_OF_MEMORY_PHRASES)
