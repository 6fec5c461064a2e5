"""Read and write embeddings.pt and labels.pt, without torch where possible, and check their CRC-32.

Importing torch takes longer than computing most maps. `torch.save` writes a dense tensor as a short pickle and the raw
values, so the values can be memory-mapped directly. The pickle is read by an interpreter that knows a few names and
refuses all others. Any other tensor is left to torch, which also explains what is wrong with a damaged file.

On disk the file is a zip archive. Its directory holds a CRC-32 of each record, or 0 if the writer switched that off.
torch checks none of them, so a flipped byte would load silently; gpuvis checks them. Files in torch's older format are
no zip archives.
"""

from __future__ import annotations

import errno
import io
import mmap
import os
import pickle
import struct
import sys
import zipfile
import zlib
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gpuvis.errors import CacheError, is_out_of_memory
from gpuvis.signals import warnings_ignored

if TYPE_CHECKING:
    import torch

# Strides of 0 repeat values, so a tensor may have more bytes than its storage; up to this size that is accepted.
MAX_REPEATED_BYTES = 1 << 30
# Files of at least this size stay mapped, and their pages are released while they are read. A smaller file is read into
# memory: that takes a tenth of a second at most, and the process survives if the file is truncated meanwhile. A mapped
# file would then raise SIGBUS.
LARGE = 256 << 20
QUICK_BYTES = 1 << 20  # a file up to this size is read in moments
STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
}
DAMAGE = (  # errors that zipfile raises on archives with flipped bits
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError),
    *(UnicodeDecodeError, struct.error, ValueError, zlib.error),
)

# Signatures of an archive's first record and of its end record, and the size of the latter.
FIRST_SIGNATURE, END_SIGNATURE, END_BYTES = b"PK\x03\x04", b"PK\x05\x06", 22
FOLDER_ATTRIBUTE = 0x10  # of MS-DOS
MAX_RECORDS = 1000
MAX_OTHER_BYTES = 1 << 20  # total size of the records that hold no values


class _Storage(NamedTuple):
    """A reference from the pickle to the record that holds the values."""

    dtype: str
    key: str
    length: int


class _TensorArguments(NamedTuple):
    """The arguments of torch's `_rebuild_tensor_v2`, which describe a dense tensor."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    requires_grad: bool
    hooks: dict[Any, Any]


class _TensorUnpickler(pickle._Unpickler):  # noqa: SLF001
    """An unpickler that creates nothing but descriptions of tensors.

    It extends Python's unpickler, since the one in C allocates as much memory as a hostile pickle demands.
    """

    def find_class(self, module: str, name: str) -> Any:
        classes = {("torch._utils", "_rebuild_tensor_v2"): _TensorArguments, ("collections", "OrderedDict"): dict}
        if module == "torch" and name in STORAGES:
            return name
        if (module, name) not in classes:
            raise pickle.UnpicklingError(f"{module}.{name} is not known")
        return classes[module, name]

    def persistent_load(self, identifier: Any) -> _Storage:
        _, dtype, key, _, length = identifier
        return _Storage(dtype, key, length)


def read(path: Path) -> np.ndarray | torch.Tensor:
    """Read the tensor of a file, without torch if it is dense, contiguous and of a common data type.

    Returns
    -------
    ndarray or torch.Tensor
        A read-only array if torch was not needed.

    Raises
    ------
    CacheError
        The file is damaged, or holds anything but one dense tensor.
    """
    return _read(path, stays_mapped(path))


def read_mapped(path: Path) -> np.ndarray | torch.Tensor:
    """Read the tensor of a file as `read` does, but memory-map it unless it is small.

    Raises
    ------
    CacheError
        The file is damaged, or holds anything but one dense tensor.
    """
    return _read(path, _size(path) > QUICK_BYTES)


def stays_mapped(path: Path) -> bool:
    """Return whether `read` maps a file because it is large; truncating it meanwhile would then end the process."""
    return _size(path) >= LARGE


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0  # reading the file raises the same error, with an explanation


def _read(path: Path, mapped: bool) -> np.ndarray | torch.Tensor:
    _check_records(path)
    array = _without_torch(path, mapped)
    return _by_torch(path, mapped) if array is None else array


def _without_torch(path: Path, mapped: bool) -> np.ndarray | None:
    """Return the values of a file; None if the tensor is not contiguous and in C order, or the file is damaged."""
    try:
        tensor = _TensorUnpickler(io.BytesIO(content(path, "data.pkl"))).load()
        if not isinstance(tensor, _TensorArguments) or byte_order(path) != "little" or sys.byteorder != "little":
            return None
        dtype, key, length = tensor.storage
        c_order = tuple(prod(tensor.shape[axis + 1 :]) for axis in range(len(tensor.shape)))
        if tensor.strides != c_order or tensor.offset != 0 or length != prod(tensor.shape) or length == 0:
            return None
        start = record_start(path, f"data/{key}")
        values = _values(path, np.dtype(STORAGES[dtype]), start, length, mapped)
        return np.asarray(values).reshape(tensor.shape)
    except Exception:  # noqa: BLE001  a damaged pickle raises nearly anything
        return None


def _values(path: Path, dtype: np.dtype, start: int, length: int, mapped: bool) -> np.ndarray:
    if mapped:
        return np.memmap(path, dtype, "r", start, (length,))
    if start + length * dtype.itemsize > _size(path):
        raise ValueError(f"{path} is too short")  # before np.fromfile allocates memory for the length it claims
    values = np.fromfile(path, dtype, length, offset=start)
    values.flags.writeable = False
    return values


def _check_records(path: Path) -> None:
    try:
        str(path).encode()
        problem = _archive_problem(path)
    except UnicodeEncodeError:
        raise CacheError(f"{path} cannot be read: its path is not UTF-8; rename the folder") from None
    except OSError as error:
        raise CacheError(f"{path} cannot be read: {error.strerror or error}") from None
    if problem:
        raise CacheError(f"{path} {problem}; write the cache again with torch.save(tensor, path)")


def load(path: Path) -> torch.Tensor:
    """Load the tensor of a file with torch, without running code from the file; a large file is memory-mapped.

    Raises
    ------
    CacheError
        The file is damaged, or holds anything but one dense tensor.
    """
    _check_records(path)
    return _by_torch(path, stays_mapped(path))


def _by_torch(path: Path, mapped: bool) -> torch.Tensor:
    import torch

    try:
        with warnings_ignored():  # torch warns about unsafe pickles before it refuses them
            mapped = mapped and records(path) is not None
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except OSError as error:
        raise CacheError(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise CacheError(f"{path} {_explain(error)}") from None
    if not isinstance(loaded, torch.Tensor):
        raise CacheError(
            f"{path} holds a {type(loaded).__name__}; expected one tensor, as torch.save(tensor, path) writes it"
        )
    if loaded.layout != torch.strided or loaded.is_quantized or loaded.is_meta or loaded.is_nested:
        raise CacheError(f"{path} holds a sparse, quantised, nested or meta tensor; save it as a dense one")
    if loaded.nbytes > max(loaded.untyped_storage().nbytes(), MAX_REPEATED_BYTES):
        raise CacheError(f"{path} holds few values, repeated to {loaded.nbytes:,} bytes; save each row by itself")
    return loaded.detach()


def _explain(error: Exception) -> str:
    """Describe what torch's error means for the file; on damaged files torch raises nearly anything."""
    if isinstance(error, pickle.UnpicklingError):
        return (
            "is not a plain tensor: it is damaged, or loading it would run code or build other objects; "
            "write the cache again with torch.save(tensor, path)"
        )
    message = str(error).partition("\n")[0].partition(". ")[0] or "unexpected end"
    return f"is truncated or corrupt ({type(error).__name__}: {message}); write the cache again"


def release_pages(X: Any) -> None:
    """Release the memory pages of a large mapped file. The system reads them again when they are needed.

    Otherwise the whole file would finally count as memory of the process. Only a read-only mapping is released: any
    other may hold changes that are not in the file.

    Parameters
    ----------
    X : array or tensor
        Nothing happens unless it is an array from a mapped file.
    """
    read_only = False
    while isinstance(X, np.ndarray):
        read_only |= isinstance(X, np.memmap) and X.mode == "r"
        X = X.base
    if read_only and isinstance(X, mmap.mmap) and len(X) >= LARGE:
        X.madvise(mmap.MADV_DONTNEED)


def as_tensor(X: Any) -> torch.Tensor:
    """Convert an array or tensor to a tensor on the CPU, in C order."""
    import torch

    return torch.as_tensor(X).detach().cpu().contiguous()


def save(tensor: Any, path: Path) -> None:
    """Write one tensor. For a view, only its own values are written, not its whole storage."""
    import torch

    fills_storage = tensor.untyped_storage().nbytes() == tensor.nbytes
    with path.open("wb") as file:  # closing it raises an error if the disk is full
        torch.save(tensor if fills_storage else tensor.clone(), file)


def storage(X: np.ndarray | torch.Tensor) -> np.ndarray:
    """Return the storage of an array or tensor from a file as an array of bytes, uint8, without a copy."""
    if isinstance(X, np.ndarray):
        return X.reshape(-1).view(np.uint8)
    import torch

    return torch.empty(0, dtype=torch.uint8).set_(X.untyped_storage()).numpy()


def records(path: Path) -> dict[str, zipfile.ZipInfo] | None:
    """Return the records of a file by name, without their common folder; None if the file is no readable archive.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            by_name = {info.filename.partition("/")[2]: info for info in archive.infolist()}
            start_is_missing = any(info.header_offset < 0 for info in by_name.values())
            return None if start_is_missing else by_name
    except DAMAGE:
        return None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return None  # the archive's directory gives an offset before the start of the file


def _archive_problem(path: Path) -> str:
    """Describe why an archive is not one that `torch.save` writes for one tensor.

    Nothing large is read, since a hostile archive may unpack to far more than its size.

    Returns
    -------
    str
        Empty if there is no problem, or if the file is no archive at all.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    by_name = records(path)
    if by_name is None:
        return "is truncated or corrupt: it has no directory of its records" if _was_an_archive(path) else ""
    others = {name: info for name, info in by_name.items() if not name.startswith("data/")}
    with zipfile.ZipFile(path) as archive:
        if len(archive.infolist()) > min(MAX_RECORDS, len(by_name)):
            return f"has {len(archive.infolist()):,} records, or two of one name; expected those of one tensor"
        if problem := next(filter(None, map(_record_problem, by_name.values())), ""):
            return problem
        if (size := sum(info.file_size for info in others.values())) > MAX_OTHER_BYTES:
            return f"has {size:,} bytes in records that hold no tensor; expected some hundred"
        checked = others if any(info.CRC for info in by_name.values()) else {}
        for name, info in checked.items():
            try:
                archive.read(info)
            except DAMAGE:
                return f"is damaged: the CRC-32 of its record {name!r} is wrong"
    return ""


def _was_an_archive(path: Path) -> bool:
    """Return whether a file starts or ends like an archive; some versions of zipfile refuse one without its start."""
    with path.open("rb") as file:
        begins = file.read(4) == FIRST_SIGNATURE
        file.seek(-min(path.stat().st_size, END_BYTES), os.SEEK_END)
        return begins or file.read(4) == END_SIGNATURE


def _record_problem(info: zipfile.ZipInfo) -> str:
    """Describe why a record is not one that `torch.save` writes; empty if there is no problem."""
    name = info.filename.partition("/")[2]
    if info.compress_type != zipfile.ZIP_STORED:
        return f"has a compressed record, {name!r}, as torch.save does not write them"
    if info.external_attr & FOLDER_ATTRIBUTE:  # torch would return uninitialised memory for it
        return f"is damaged: its record {name!r} is marked as a folder"
    return ""


def content(path: Path, name: str) -> bytes:
    """Return the bytes of a record.

    Raises
    ------
    KeyError
        There is no record of this name.
    """
    record = (records(path) or {})[name]
    with zipfile.ZipFile(path) as archive:
        return archive.read(record)


def record_start(path: Path, name: str) -> int:
    """Return the offset in bytes at which the content of a record starts.

    Raises
    ------
    KeyError
        There is no record of this name.
    ValueError
        It is compressed.
    """
    record = (records(path) or {})[name]
    if record.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    with path.open("rb") as file:
        file.seek(record.header_offset + 26)  # the lengths of the two fields that precede the content
        lengths = struct.unpack("<HH", file.read(4))
    return record.header_offset + 30 + int(sum(lengths))


def storage_crc(path: Path) -> int | None:
    """Return the CRC-32 that a file records for the bytes of its tensor; None if it records none."""
    by_name = records(path) or {}
    crcs = [info.CRC for name, info in by_name.items() if name.startswith("data/")]
    if len(crcs) != 1 or not any(info.CRC for info in by_name.values()):
        return None
    return crcs[0] if byte_order(path) == sys.byteorder else None  # otherwise torch has swapped the bytes in memory


def byte_order(path: Path) -> str:
    """Return the byte order of a file's tensors: "little", "big" or "damaged"."""
    try:
        return content(path, "byteorder").decode("ascii")
    except KeyError:
        return "little"  # the record is missing before torch 2.1
    except DAMAGE:
        return "damaged"
