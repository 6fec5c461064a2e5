"""Caches that are broken, each in its own way, and what has to be said of them."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch

from gpuvis.io import pt


class Evil:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


def _cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    info = pt.records(path)["data/0"]
    data[info.header_offset + 30 + len(info.filename) + 64 + 400] ^= 1
    path.write_bytes(data)


def _save(X):
    return lambda folder: torch.save(X, folder / "embeddings.pt")


def _save_nested(folder: Path) -> None:
    with warnings.catch_warnings(action="ignore"):  # torch warns of a prototype
        torch.save(torch.nested.nested_tensor(list(X)), folder / "embeddings.pt")


def _repacked(change):
    """Write the records of the tensor again: those that `change` returns of them, by name, and how each is packed."""

    def repack(folder: Path) -> None:
        path = folder / "embeddings.pt"
        with zipfile.ZipFile(path) as archive:
            found = {info.filename: archive.read(info) for info in archive.infolist()}
        with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "w") as archive:
            for name, data, packing in change(found):
                archive.writestr(name, data, packing)

    return repack


def _stored(found, **more):
    changed = {name: more.get(name.rpartition("/")[2], data) for name, data in found.items()}
    return [(name, data, zipfile.ZIP_STORED) for name, data in changed.items()]


def _no_directory(folder: Path) -> None:
    """As in a file that was cut, or of which the directory was written over: torch reads some of these."""
    data = (folder / "embeddings.pt").read_bytes()
    (folder / "embeddings.pt").write_bytes(data.replace(b"PK\1\2", b"PK\1\3"))


def _marked_as_a_folder(folder: Path) -> None:
    """In the attributes of the tensor's record: torch reads nothing of it, and gives what the memory held before."""
    data = bytearray((folder / "embeddings.pt").read_bytes())
    named = data.rindex(b"data/0", 0, data.rindex(b"PK\5\6"))
    data[data.rindex(b"PK\1\2", 0, named) + 38] |= 0x10
    (folder / "embeddings.pt").write_bytes(data)


# A pickle that says that it will remember two to the 27th objects.
REMEMBERS = b"\x80\x02N" + b"r" + (1 << 27).to_bytes(4, "little") + b"."


def meta(**keys):
    return lambda folder: (folder / "meta.json").write_text(json.dumps(keys))


def _label(k: int, value: int):
    def change(folder: Path) -> None:
        labels = torch.load(folder / "labels.pt")
        labels[k] = value
        torch.save(labels, folder / "labels.pt")

    return change


def _append_short_line(folder: Path) -> None:
    with (folder / "metadata.csv").open("a") as file:
        file.write("x\n")


X = torch.randn(40, 8)

BROKEN = {
    "no tensor": (lambda f: (f / "embeddings.pt").unlink(), "embeddings.pt is missing"),
    "no table": (lambda f: (f / "metadata.csv").unlink(), "metadata.csv is missing"),
    "no folder": (shutil.rmtree, "is not a folder"),
    "a dict": (_save({"a": X}), "holds a dict; expected one tensor"),
    "an array": (_save(np.zeros((40, 8))), "is not a plain tensor"),
    "code": (_save(Evil()), "is not a plain tensor: .* would run code"),
    "code, legacy": (
        lambda f: torch.save(Evil(), f / "embeddings.pt", _use_new_zipfile_serialization=False),
        "is not a plain tensor: .* would run code",
    ),
    "a plain pickle": (
        lambda f: (f / "embeddings.pt").write_bytes(pickle.dumps([1, 2], protocol=2)),
        "is not a plain tensor|truncated or corrupt",
    ),
    "sparse": (_save(X.to_sparse()), "holds a sparse, quantised, nested or meta tensor"),
    "meta": (_save(torch.empty(40, 8, device="meta")), "holds a sparse, quantised, nested or meta tensor"),
    "nested": (_save(torch.nested.nested_tensor(list(X), layout=torch.jagged)), "holds a sparse, quantised, nested or"),
    "nested, older": (_save_nested, "holds a sparse, quantised, nested or meta tensor"),
    "4 bits": (
        _save(torch.zeros(40, 8, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)),
        "has type float4_e2m1fn_x2; expected floating point of 16 to 64 bits",
    ),
    "repeated": (_save(X[:1, :1].expand(40, 10**9)), "holds few values, repeated to 160,000,000,000 bytes"),
    "compressed": (
        _repacked(lambda found: [(name, data, zipfile.ZIP_DEFLATED) for name, data in found.items()]),
        "has a compressed record, 'data.pkl', as torch.save does not write them",
    ),
    "a bomb beside the tensor": (
        _repacked(lambda found: [*_stored(found), ("archive/more", bytes(1 << 24), zipfile.ZIP_DEFLATED)]),
        "has a compressed record, 'more'",
    ),
    "a large pickle": (
        _repacked(lambda found: _stored(found, **{"data.pkl": bytes(1 << 21)})),
        r"has 2,097,\d* bytes in records that hold no tensor; expected some hundred",
    ),
    "a large byte order": (
        _repacked(lambda found: _stored(found, byteorder=bytes(1 << 21))),
        r"has 2,097,\d* bytes in records that hold no tensor",
    ),
    "two of one name": (
        _repacked(lambda found: _stored(found) * 2),
        "has 14 records, or two of one name; expected those of one tensor",
    ),
    "many records": (
        _repacked(lambda found: _stored(found | {f"archive/{k}": b"" for k in range(2000)})),
        r"has 2,00\d records, or two of one name",
    ),
    "cut at its start": (
        lambda f: (f / "embeddings.pt").write_bytes((f / "embeddings.pt").read_bytes()[300:]),
        "is truncated or corrupt: it has no directory",
    ),
    "a record as a folder": (_marked_as_a_folder, "is damaged: its record 'data/0' is marked as a folder"),
    "no directory": (_no_directory, "is truncated or corrupt: it has no directory of its records"),
    "a pickle that takes memory": (
        _repacked(lambda found: _stored(found, **{"data.pkl": REMEMBERS})),
        "holds a NoneType|is not a plain tensor",
    ),
    "3-D": (_save(X[None]), r"has 3 dimensions, shape \(1, 40, 8\); expected 2; save it"),
    "1-D": (_save(X[:, 0]), "has 1 dimensions"),
    "integers": (_save(X.long()), "has type int64; expected floating point"),
    "complex": (_save(X.to(torch.complex64)), "has type complex64; expected floating point"),
    "no rows": (_save(X[:0].clone()), r"has shape \(0, 8\); 5 rows or more are needed"),
    "4 rows": (_save(X[:4].clone()), r"has shape \(4, 8\); 5 rows or more are needed"),
    "no columns": (_save(X[:, :0].clone()), r"has shape \(40, 0\); a column or more is needed"),
    "cut": (lambda f: _cut(f / "embeddings.pt", 0.5), "is truncated or corrupt"),
    "legacy, cut": (
        lambda f: (
            torch.save(X, f / "embeddings.pt", _use_new_zipfile_serialization=False),
            _cut(f / "embeddings.pt", 0.7),
        ),
        "is truncated or corrupt",
    ),
    "empty": (lambda f: (f / "embeddings.pt").write_bytes(b""), "is truncated or corrupt"),
    "no tensor file": (lambda f: (f / "embeddings.pt").write_bytes(b"hello" * 100), "is truncated or corrupt"),
    "a folder": (
        lambda f: ((f / "embeddings.pt").unlink(), (f / "embeddings.pt").mkdir()),
        "embeddings.pt cannot be read: Is a directory",
    ),
    "more rows in the tensor": (
        _save(torch.randn(42, 8)),
        "embeddings.pt has 42 rows but metadata.csv has 40; they are paired row by row",
    ),
    "fewer labels": (
        lambda f: torch.save(torch.arange(39) % 3, f / "labels.pt"),
        "labels.pt has 39 rows but embeddings.pt and metadata.csv have 40",
    ),
    "floating labels": (lambda f: torch.save(torch.zeros(40), f / "labels.pt"), "expected whole numbers"),
    "wide labels": (
        lambda f: torch.save(torch.zeros(40, 2).long(), f / "labels.pt"),
        r"has shape \(40, 2\); expected \(N,\) or \(N, 1\)",
    ),
    "broken labels": (lambda f: _cut(f / "labels.pt", 0.5), "labels.pt is truncated or corrupt"),
    "other labels": (
        _label(7, 9),
        r"labels.pt disagrees with ground_truth_num_label of .*, first in row 7 .*: 9 and 1; rows that differ: 1",
    ),
    "num_samples": (meta(num_samples=41, dim=8), "meta.json says num_samples is 41, but embeddings.pt has 40"),
    "dim": (meta(num_samples=40, dim=9), "meta.json says dim is 9, but embeddings.pt has 8"),
    "not finite": (_save(torch.full((40, 8), torch.nan)), "has values that are not finite in float32: 40 rows hold"),
    "a flipped byte": (lambda f: flip(f / "embeddings.pt"), "is damaged: its CRC-32 is"),
    "a flipped byte of labels": (
        lambda f: (torch.save(torch.arange(900) % 3, f / "labels.pt"), flip(f / "labels.pt")),
        "labels.pt is damaged: its CRC-32 is",
    ),
    "not UTF-8": (lambda f: (f / "metadata.csv").write_bytes(b"a\n\xff\n"), "is not UTF-8"),
    "no header": (lambda f: (f / "metadata.csv").write_bytes(b""), "is empty; expected a header"),
    "neither": (
        lambda f: ((f / "embeddings.pt").unlink(), (f / "metadata.csv").unlink()),
        "holds no cache; expected embeddings.pt and metadata.csv",
    ),
    "ragged": (_append_short_line, "has 1 fields in line 42"),
}
