from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from examples import content, table_of
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from process import as_nobody
from torch.serialization import set_crc32_options

from gpuvis import cache, fingerprint
from gpuvis.errors import CacheError


def test_what_is_written_is_read(make_cache) -> None:
    folder = make_cache(rows=40)
    got = cache.read(folder)
    assert got.embeddings.shape == (40, 8)
    pd.testing.assert_frame_equal(got.table, table_of(40).astype("str"))
    assert got.labels.tolist() == [k % 3 for k in range(40)]
    assert (got.info["num_samples"], got.info["dim"]) == (40, 8)
    assert got.notes == ()
    got.verify()


def test_the_tensor_is_mapped_and_not_read(make_cache) -> None:
    folder = make_cache(rows=5_000, columns=4_096)
    before = _anonymous_memory()
    got = cache.read(folder)
    assert _anonymous_memory() - before < got.embeddings.nbytes / 4


def _anonymous_memory() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024


DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("legacy", [False, True])
def test_every_floating_type_and_both_formats_are_read(make_cache, dtype, legacy) -> None:
    folder = make_cache()
    X = torch.randn(40, 8).to(dtype)
    torch.save(X, folder / "embeddings.pt", _use_new_zipfile_serialization=not legacy)
    got = cache.read(folder)
    got.verify()
    assert got.embeddings.dtype == dtype
    assert torch.equal(got.embeddings, X)


@pytest.mark.parametrize(
    "X",
    [
        torch.nn.Parameter(torch.randn(40, 8)),
        torch.randn(8, 40).T,
        torch.randn(100, 16)[10:50, ::2],
        torch.randn(1, 8).expand(40, 8),
    ],
    ids=["requires_grad", "transposed", "view of a larger one", "expanded"],
)
def test_unusual_tensors_are_read(make_cache, X) -> None:
    folder = make_cache()
    torch.save(X, folder / "embeddings.pt")
    got = cache.read(folder)
    got.verify()
    assert torch.equal(got.embeddings, X)
    assert not got.embeddings.requires_grad


def test_a_tensor_saved_from_a_gpu_is_read(make_cache) -> None:
    folder = make_cache()
    X = cache.read(folder).embeddings.clone()
    with zipfile.ZipFile(folder / "embeddings.pt") as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(folder / "embeddings.pt", "w") as archive:  # what torch writes of a tensor on device cuda:0
        for name, data in records.items():
            device = data.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
            assert (device != data) == name.endswith("data.pkl")
            archive.writestr(name, device)
    assert torch.equal(cache.read(folder).embeddings, X)


def test_labels_in_a_column_are_read(make_cache) -> None:
    folder = make_cache()
    torch.save(cache.read(folder).labels.to(torch.int32)[:, None], folder / "labels.pt")
    assert cache.read(folder).labels.shape == (40,)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


def _cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    info = fingerprint.zip_records(path)["data/0"]
    data[info.header_offset + 30 + len(info.filename) + 64 + 400] ^= 1
    path.write_bytes(data)


def _save(X):
    return lambda folder: torch.save(X, folder / "embeddings.pt")


def _meta(**keys):
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
    "no folder": (lambda f: __import__("shutil").rmtree(f), "is not a folder"),
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
    "sparse": (_save(X.to_sparse()), "holds a sparse or quantised tensor"),
    "3-D": (_save(X[None]), r"has 3 dimensions, shape \(1, 40, 8\); expected 2"),
    "1-D": (_save(X[:, 0]), "has 1 dimensions"),
    "integers": (_save(X.long()), "has type torch.int64; expected floating point"),
    "complex": (_save(X.to(torch.complex64)), "has type torch.complex64; expected floating point"),
    "no rows": (_save(X[:0].clone()), "has 0 rows; a map needs 5 or more"),
    "4 rows": (_save(X[:4].clone()), "has 4 rows; a map needs 5 or more"),
    "no columns": (_save(X[:, :0].clone()), "has no columns"),
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
        r"labels.pt disagrees with ground_truth_num_label of metadata.csv in 1 rows, first in row 7 .*: 9 and 1",
    ),
    "num_samples": (_meta(num_samples=41, dim=8), "meta.json says num_samples is 41, but embeddings.pt has 40"),
    "dim": (_meta(num_samples=40, dim=9), "meta.json says dim is 9, but embeddings.pt has 8"),
    "ragged": (_append_short_line, "has 1 fields in line 42"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_cache_has_its_own_error(make_cache, tmp_path, monkeypatch, name) -> None:
    monkeypatch.chdir(tmp_path)
    folder = make_cache()
    break_it, message = BROKEN[name]
    break_it(folder)
    before = content(tmp_path)
    with pytest.raises(CacheError, match=message) as raised:
        cache.read(folder)
    assert "\n" not in str(raised.value)
    assert str(folder) in str(raised.value)
    assert content(tmp_path) == before
    assert not (tmp_path / "pwned").exists()


def test_a_flipped_byte_is_found(make_cache) -> None:
    folder = make_cache()
    _flip(folder / "embeddings.pt")
    with pytest.raises(CacheError, match="is damaged: its CRC-32 is [0-9a-f]{8}, but [0-9a-f]{8} was written"):
        cache.read(folder).verify()


def test_a_file_without_crc_is_taken_as_it_is(make_cache) -> None:
    folder = make_cache()
    set_crc32_options(False)
    try:
        torch.save(X, folder / "embeddings.pt")
    finally:
        set_crc32_options(True)
    _flip(folder / "embeddings.pt")
    cache.read(folder).verify()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_values_that_are_not_finite_are_counted(make_cache, value) -> None:
    folder = make_cache()
    bad = X.double().clone()
    bad[11, 3] = bad[12] = bad[30, 7] = value
    torch.save(bad, folder / "embeddings.pt")
    with pytest.raises(CacheError, match="3 rows hold NaN or Inf, the first is row 11 "):
        cache.read(folder).verify()


def test_rows_are_counted_across_blocks(make_cache, monkeypatch) -> None:
    monkeypatch.setattr("gpuvis.matrix.BLOCK_BYTES", 100)  # three rows
    folder = make_cache()
    cache.read(folder).verify()
    bad = X.clone()
    bad[31, 3] = bad[39] = float("nan")
    torch.save(bad, folder / "embeddings.pt")
    with pytest.raises(CacheError, match="2 rows hold NaN or Inf, the first is row 31 "):
        cache.read(folder).verify()


def _train_split(folder: Path) -> None:
    rows = table_of(40).assign(file_name="", ground_truth_word_label="", ground_truth_L2_num_label="-1")
    rows.to_csv(folder / "metadata.csv", index=False)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda f: (f / "labels.pt").unlink(), "there is no labels.pt"),
        (lambda f: (f / "meta.json").unlink(), "there is no meta.json"),
        (lambda f: (f / "meta.json").write_text("{"), "meta.json cannot be read"),
        (lambda f: (f / "meta.json").write_text("[1]"), "meta.json cannot be read"),
        (lambda f: (f / "meta.json").write_bytes(b"\xff"), "meta.json cannot be read"),
        (_meta(dim=8), "meta.json does not tell num_samples"),
        (_train_split, "file_name is blank in 40 of 40 rows"),
        (
            lambda f: table_of(40)[["file_name", "ground_truth_num_label"]].to_csv(f / "metadata.csv", index=False),
            "metadata.csv has no column ground_truth_word_label",
        ),
        (
            lambda f: table_of(40).assign(ground_truth_num_label="x").to_csv(f / "metadata.csv", index=False),
            "ground_truth_num_label is not a whole number in every row",
        ),
    ],
)
def test_what_is_only_unusual_is_noted(make_cache, change, note) -> None:
    folder = make_cache()
    change(folder)
    got = cache.read(folder)
    assert any(note in told for told in got.notes), got.notes


def test_files_that_may_not_be_read_are_told(make_cache) -> None:
    folder = make_cache()
    (folder / "embeddings.pt").chmod(0)
    with as_nobody(folder), pytest.raises(CacheError, match="embeddings.pt cannot be read: Permission denied"):
        cache.read(folder)
    folder.chmod(0)
    try:
        with as_nobody(folder), pytest.raises(CacheError, match="cannot be read: Permission denied"):
            cache.read(folder)
    finally:
        folder.chmod(0o755)


def test_an_invalid_cache_is_not_written(tmp_path) -> None:
    with pytest.raises(CacheError, match="has 4 rows"):
        cache.write(tmp_path / "new", X[:4], table_of(4))
    with pytest.raises(CacheError, match="paired row by row"):
        cache.write(tmp_path / "new", X, table_of(39))
    with pytest.raises(CacheError, match="labels.pt disagrees"):
        cache.write(tmp_path / "new", X, table_of(40), torch.ones(40, dtype=torch.int64))
    assert not (tmp_path / "new").exists()


def test_a_slice_is_written_without_the_rest(tmp_path) -> None:
    cache.write(tmp_path / "new", torch.randn(100_000, 8)[:5], table_of(5))
    assert (tmp_path / "new" / "embeddings.pt").stat().st_size < 10_000


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@given(
    X=hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        st.tuples(st.integers(5, 9), st.integers(1, 4)),
        elements=st.floats(-100, 100, width=16),
    ),
    names=st.lists(text, min_size=1, max_size=4, unique=True),
    data=st.data(),
)
@example(X=np.zeros((5, 1), np.float32), names=["\r"], data=None)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip(tmp_path, X, names, data) -> None:
    column = st.lists(text, min_size=len(X), max_size=len(X))
    rows = pd.DataFrame({n: data.draw(column) if data else ['"\r\n, '] * len(X) for n in names}, dtype="str")
    got = cache.write(tmp_path / "round", torch.from_numpy(X), rows)
    got.verify()
    np.testing.assert_array_equal(got.embeddings.numpy(), X)
    assert got.embeddings.numpy().dtype == X.dtype
    pd.testing.assert_frame_equal(got.table, rows)
