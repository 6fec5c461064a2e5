"""A `.pt` file of one tensor: mapped without torch, or read by torch; its CRC-32.

Importing torch takes longer than most maps do. What `torch.save` writes of a dense tensor is a few lines of pickle and
the values as they lie in memory, so the values can be mapped as they are. The pickle is read by an interpreter that
knows three names and refuses all others; whatever is not plain is left to torch, which also says what is wrong with it.

On disk the file is a zip archive whose directory keeps a CRC-32 of each record, or 0 where the writer switched that
off. torch checks none of them, so that a flipped byte would load silently; gpuvis does. Files in torch's older format
are no zip archives.
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

REPEATED = 1 << 30  # bytes that a tensor may have beyond those in its file, where strides of 0 repeat them
# Bytes of a file that stays mapped, and whose pages are given back while it is read. A smaller one is read into memory:
# that takes a tenth of a second at most, and the process does not die of a file that is cut meanwhile (SIGBUS).
LARGE = 256 << 20
GLANCE = 1 << 20
STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
}
DAMAGE = (
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError),  # as zipfile has it, where bits are flipped
    *(UnicodeDecodeError, struct.error, ValueError, zlib.error),
)

MAGIC, END = b"PK\x03\x04", b"PK\x05\x06"  # how an archive starts, and how its last bytes do
END_BYTES = 22
A_FOLDER = 0x10  # of the attributes that MS-DOS had
MOST_RECORDS = 1000
ASIDE_BYTES = 1 << 20


class _Storage(NamedTuple):
    kind: str
    key: str
    length: int


class _Plain(NamedTuple):
    """What the pickle of a tensor tells: the arguments of torch's `_rebuild_tensor_v2`."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    requires_grad: bool
    hooks: dict[Any, Any]


class _Reader(pickle._Unpickler):  # noqa: SLF001
    """An interpreter of pickles that makes nothing but descriptions of tensors.

    It is the one in Python: that in C gives memory for as many objects as a pickle says that it will remember.
    """

    def find_class(self, module: str, name: str) -> Any:
        known = {("torch._utils", "_rebuild_tensor_v2"): _Plain, ("collections", "OrderedDict"): dict}
        if module == "torch" and name in STORAGES:
            return name
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"{module}.{name} is not known")
        return known[module, name]

    def persistent_load(self, identifier: Any) -> _Storage:
        _, kind, key, _, length = identifier
        return _Storage(kind, key, length)


def read(path: Path) -> np.ndarray | torch.Tensor:
    """Return the tensor of a file: a read-only array where it is plain, else as `load` does.

    Raises
    ------
    CacheError
        As of `load`.
    """
    return _read(path, stays_mapped(path))


def look_at(path: Path) -> np.ndarray | torch.Tensor:
    """Return what `read` does, but a view of the mapped file where there are more values than a moment takes to read.

    Raises
    ------
    CacheError
        As of `load`.
    """
    return _read(path, _size(path) > GLANCE)


def stays_mapped(path: Path) -> bool:
    """Tell whether a file is so large that it stays mapped, and one that is cut meanwhile ends the process."""
    return _size(path) >= LARGE


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0  # what reads it tells why


def _read(path: Path, mapped: bool) -> np.ndarray | torch.Tensor:
    _check_records(path)
    plain = _plain(path, mapped)
    return _by_torch(path, mapped) if plain is None else plain


def _plain(path: Path, mapped: bool) -> np.ndarray | None:
    """Return the values of a file; None: the tensor is not plain, or the file not whole."""
    try:
        tensor = _Reader(io.BytesIO(content(path, "data.pkl"))).load()
        if not isinstance(tensor, _Plain) or byte_order(path) != "little" or sys.byteorder != "little":
            return None
        kind, key, length = tensor.storage
        in_c_order = tuple(prod(tensor.shape[axis + 1 :]) for axis in range(len(tensor.shape)))
        if tensor.strides != in_c_order or tensor.offset != 0 or length != prod(tensor.shape) or length == 0:
            return None
        start = stored_at(path, f"data/{key}")
        values = _values(path, np.dtype(STORAGES[kind]), start, length, mapped)
        return np.asarray(values).reshape(tensor.shape)
    except Exception:  # noqa: BLE001  a damaged pickle raises nearly anything
        return None


def _values(path: Path, kind: np.dtype, start: int, length: int, mapped: bool) -> np.ndarray:
    if mapped:
        return np.memmap(path, kind, "r", start, (length,))
    if start + length * kind.itemsize > _size(path):
        raise ValueError(f"{path} is too short")  # before memory is taken for what it claims to hold
    values = np.fromfile(path, kind, length, offset=start)
    values.flags.writeable = False
    return values


def _check_records(path: Path) -> None:
    try:
        str(path).encode()
        wrong = fault(path)
    except UnicodeEncodeError:
        raise CacheError(f"{path} cannot be read: its path is not UTF-8; rename the folder") from None
    except OSError as error:
        raise CacheError(f"{path} cannot be read: {error.strerror or error}") from None
    if wrong:
        raise CacheError(f"{path} {wrong}; write the cache again with torch.save(tensor, path)")


def load(path: Path) -> torch.Tensor:
    """Load the one tensor of a file without running code from it, memory-mapped where its format allows that.

    Raises
    ------
    CacheError
        The file is damaged, or holds something else than one dense tensor.
    """
    _check_records(path)
    return _by_torch(path, stays_mapped(path))


def _by_torch(path: Path, mapped: bool) -> torch.Tensor:
    import torch

    try:
        with warnings_ignored():  # torch warns of the pickles that it then refuses
            mapped = mapped and records(path) is not None
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except OSError as error:
        raise CacheError(f"{path} cannot be read: {error.strerror or error}") from None
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise CacheError(f"{path} {_why_not_loaded(error)}") from None
    if not isinstance(loaded, torch.Tensor):
        raise CacheError(
            f"{path} holds a {type(loaded).__name__}; expected one tensor, as torch.save(tensor, path) writes it"
        )
    if loaded.layout != torch.strided or loaded.is_quantized or loaded.is_meta or loaded.is_nested:
        raise CacheError(f"{path} holds a sparse, quantised, nested or meta tensor; save it as a dense one")
    if loaded.nbytes > max(loaded.untyped_storage().nbytes(), REPEATED):
        raise CacheError(f"{path} holds few values, repeated to {loaded.nbytes:,} bytes; save each row by itself")
    return loaded.detach()


def _why_not_loaded(error: Exception) -> str:
    """Say what torch's error means; on damaged files it raises nearly anything."""
    if isinstance(error, pickle.UnpicklingError):
        return (
            "is not a plain tensor: it is damaged, or loading it would run code or build other objects; "
            "write the cache again with torch.save(tensor, path)"
        )
    message = str(error).partition("\n")[0].partition(". ")[0] or "unexpected end"
    return f"is truncated or corrupt ({type(error).__name__}: {message}); write the cache again"


def let_go(X: Any) -> None:
    """Let the system take back the memory of a large mapped file that was read so far; it is read again where needed.

    Else all of the file would count as the process's memory in the end. Only of a map that nobody can write into: in
    others there may be changes that the file does not have.
    """
    read_only = False
    while isinstance(X, np.ndarray):
        read_only |= isinstance(X, np.memmap) and X.mode == "r"
        X = X.base
    if read_only and isinstance(X, mmap.mmap) and len(X) >= LARGE:
        X.madvise(mmap.MADV_DONTNEED)


def as_tensor(X: Any) -> torch.Tensor:
    """Return an array or tensor as a tensor on the CPU, in C order."""
    import torch

    return torch.as_tensor(X).detach().cpu().contiguous()


def save(tensor: Any, path: Path) -> None:
    """Write one tensor, and no more of its storage than it shows."""
    import torch

    whole = tensor.untyped_storage().nbytes() == tensor.nbytes
    with path.open("wb") as file:  # which tells of a disk that is full at the last byte
        torch.save(tensor if whole else tensor.clone(), file)


def storage(X: np.ndarray | torch.Tensor) -> np.ndarray:
    """Return the bytes that an array or tensor from a file lies in."""
    if isinstance(X, np.ndarray):
        return X.reshape(-1).view(np.uint8)
    import torch

    return torch.empty(0, dtype=torch.uint8).set_(X.untyped_storage()).numpy()


def records(path: Path) -> dict[str, zipfile.ZipInfo] | None:
    """Return the records of a file, named without their common folder; None if its directory cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = {info.filename.partition("/")[2]: info for info in archive.infolist()}
            before = any(info.header_offset < 0 for info in found.values())  # the start of the file, which was cut off
            return None if before else found
    except DAMAGE:
        return None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return None  # a place before the start of the file


def fault(path: Path) -> str:
    """Say why a file is no archive as `torch.save` writes it of one tensor; empty if it is, or is no archive at all.

    Nothing large is read: what is hostile unpacks to far more than it is.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    found = records(path)
    if found is None:
        return "is truncated or corrupt: it has no directory of its records" if _was_an_archive(path) else ""
    aside = {name: info for name, info in found.items() if not name.startswith("data/")}
    with zipfile.ZipFile(path) as archive:
        if len(archive.infolist()) > min(MOST_RECORDS, len(found)):
            return f"has {len(archive.infolist()):,} records, or two of one name; expected those of one tensor"
        if reason := next(filter(None, map(_fault_of_record, found.values())), ""):
            return reason
        if (size := sum(info.file_size for info in aside.values())) > ASIDE_BYTES:
            return f"has {size:,} bytes in records that hold no tensor; expected some hundred"
        checked = aside if any(info.CRC for info in found.values()) else {}
        for name, info in checked.items():
            try:
                archive.read(info)
            except DAMAGE:
                return f"is damaged: the CRC-32 of its record {name!r} is wrong"
    return ""


def _was_an_archive(path: Path) -> bool:
    """Tell whether a file begins or ends as an archive does: not every Python's zipfile takes one without its start."""
    with path.open("rb") as file:
        begins = file.read(4) == MAGIC
        file.seek(-min(path.stat().st_size, END_BYTES), os.SEEK_END)
        return begins or file.read(4) == END


def _fault_of_record(info: zipfile.ZipInfo) -> str:
    name = info.filename.partition("/")[2]
    if info.compress_type != zipfile.ZIP_STORED:
        return f"has a compressed record, {name!r}, as torch.save does not write them"
    if info.external_attr & A_FOLDER:  # torch reads nothing of it, and gives what the memory held before
        return f"is damaged: its record {name!r} is marked as a folder"
    return ""


def content(path: Path, name: str) -> bytes:
    """Return the bytes of a record.

    Raises
    ------
    KeyError
        There is none of this name.
    """
    record = (records(path) or {})[name]
    with zipfile.ZipFile(path) as archive:
        return archive.read(record)


def stored_at(path: Path, name: str) -> int:
    """Return where the bytes of a record start in the file.

    Raises
    ------
    KeyError
        There is none of this name.
    ValueError
        It is compressed.
    """
    record = (records(path) or {})[name]
    if record.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    with path.open("rb") as file:
        file.seek(record.header_offset + 26)  # of the lengths of two fields, after which the bytes come
        lengths = struct.unpack("<HH", file.read(4))
    return record.header_offset + 30 + int(sum(lengths))


def storage_crc(path: Path) -> int | None:
    """Return the CRC-32 that a file promises for the bytes of its one tensor, None where it promises none."""
    found = records(path) or {}
    data = [info.CRC for name, info in found.items() if name.startswith("data/")]
    if len(data) != 1 or not any(info.CRC for info in found.values()):
        return None
    return data[0] if byte_order(path) == sys.byteorder else None  # else torch turns the bytes round


def byte_order(path: Path) -> str:
    """Return the byte order of a file's tensors: little, big, or damaged."""
    try:
        return content(path, "byteorder").decode("ascii")
    except KeyError:
        return "little"  # before torch 2.1
    except DAMAGE:
        return "damaged"
