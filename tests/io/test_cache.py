from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from broken import BROKEN, flip, meta
from examples import content, table_of
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from process import as_nobody
from torch.serialization import set_crc32_options

from gpuvis import arrays
from gpuvis.errors import CacheError, OutputError
from gpuvis.io import cache, folders, pt
from gpuvis.io.agreement import check_embeddings
from gpuvis.io.writer import write_cache

X = torch.randn(40, 8)


def test_what_is_written_is_read(make_cache) -> None:
    folder = make_cache(rows=40)
    got = cache.read(folder)
    assert got.embeddings.shape == (40, 8)
    pd.testing.assert_frame_equal(got.table, table_of(40).astype("str"))
    assert got.labels.tolist() == [k % 3 for k in range(40)]
    assert (got.info["num_samples"], got.info["dim"]) == (40, 8)
    assert got.notes == ()
    got.verify()


def test_a_large_tensor_is_mapped_and_not_read(make_cache, monkeypatch) -> None:
    folder = make_cache(rows=5_000, columns=4_096)
    monkeypatch.setattr(pt, "LARGE", 64 << 20)
    before = _anonymous_memory()
    got = cache.read(folder)
    assert _anonymous_memory() - before < got.embeddings.nbytes / 4


def _anonymous_memory() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024


@pytest.fixture(params=[pt.load, pt.read], ids=["torch", "plain"])
def read(request) -> Callable[..., cache.Cache]:
    """Read a cache by torch alone, or without it where that can be."""
    return partial(cache.read, read_tensor=request.param)


def same(found: torch.Tensor | np.ndarray, X: torch.Tensor) -> bool:
    return torch.equal(torch.tensor(found) if isinstance(found, np.ndarray) else found, X)


DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("legacy", [False, True])
def test_every_floating_type_and_both_formats_are_read(make_cache, read, dtype, legacy) -> None:
    folder = make_cache()
    X = torch.randn(40, 8).to(dtype)
    torch.save(X, folder / "embeddings.pt", _use_new_zipfile_serialization=not legacy)
    got = read(folder)
    got.verify()
    assert arrays.dtype_name(got.embeddings) == arrays.dtype_name(X)
    assert same(got.embeddings, X)


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
def test_unusual_tensors_are_read(make_cache, read, X) -> None:
    folder = make_cache()
    torch.save(X, folder / "embeddings.pt")
    got = read(folder)
    got.verify()
    assert same(got.embeddings, X)
    assert not getattr(got.embeddings, "requires_grad", False)


def test_a_tensor_saved_from_a_gpu_is_read(make_cache, read) -> None:
    folder = make_cache()
    X = cache.read(folder).embeddings.clone()
    with zipfile.ZipFile(folder / "embeddings.pt") as archive:
        records = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(folder / "embeddings.pt", "w") as archive:  # what torch writes of a tensor on device cuda:0
        for name, data in records.items():
            device = data.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
            assert (device != data) == name.endswith("data.pkl")
            archive.writestr(name, device)
    assert same(read(folder).embeddings, X)


def test_labels_in_a_column_are_read(make_cache, read) -> None:
    folder = make_cache()
    torch.save(cache.read(folder).labels.to(torch.int32)[:, None], folder / "labels.pt")
    assert read(folder).labels.shape == (40,)


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_cache_has_its_own_error(make_cache, read, tmp_path, monkeypatch, name) -> None:
    monkeypatch.chdir(tmp_path)
    folder = make_cache()
    break_it, message = BROKEN[name]
    break_it(folder)
    before = content(tmp_path)
    with pytest.raises(CacheError, match=message) as raised:
        read(folder).verify()
    assert "\n" not in str(raised.value)
    assert str(folder) in str(raised.value)
    assert content(tmp_path) == before
    assert not (tmp_path / "pwned").exists()


def test_a_pickle_takes_no_more_memory_than_it_needs(make_cache) -> None:
    folder = make_cache()
    BROKEN["a pickle that takes memory"][0](folder)
    tracemalloc.start()
    try:
        with pytest.raises(CacheError):
            cache.read(folder, read_tensor=pt.read)
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()


def test_a_flipped_byte_is_found(make_cache, read) -> None:
    folder = make_cache()
    flip(folder / "embeddings.pt")
    with pytest.raises(CacheError, match="is damaged: its CRC-32 is [0-9a-f]{8}, but [0-9a-f]{8} was written"):
        read(folder).verify()


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_a_flipped_byte_anywhere_is_found_or_does_no_harm(make_cache, read, bits) -> None:
    folder = make_cache(rows=6, columns=3)
    path, X = folder / "embeddings.pt", cache.read(folder).embeddings.clone()
    head, whole, found = cache.look(folder), path.read_bytes(), 0
    by_torch = read.keywords["read_tensor"] is pt.load  # much slower: each byte once, by one of the four
    places = range(bits - 1, len(whole), 4) if by_torch else range(len(whole))
    for at in places:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ bits]) + whole[at + 1 :])
        try:
            got = read(folder, head=head)  # table and labels once
            check_embeddings(path, got.embeddings)
            got.verify()
        except CacheError:
            found += 1
        else:
            assert same(got.embeddings, X), at
    assert found > 500 * len(places) / len(whole)


def test_a_file_without_crc_is_taken_as_it_is(make_cache) -> None:
    folder = make_cache()
    set_crc32_options(False)
    try:
        torch.save(X, folder / "embeddings.pt")
    finally:
        set_crc32_options(True)
    flip(folder / "embeddings.pt")
    cache.read(folder).verify()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_values_that_are_not_finite_are_counted(make_cache, value) -> None:
    folder = make_cache()
    bad = X.double().clone()
    bad[11, 3] = bad[12] = bad[30, 7] = value
    torch.save(bad, folder / "embeddings.pt")
    with pytest.raises(CacheError, match="3 rows hold NaN or Inf, the first is row 11, '011.png' "):
        cache.read(folder).verify()


@pytest.mark.parametrize("bad", [X.double() + 1e9, X.double() * 1e-300, torch.rand(40, 8).double() * 1e-8 + 1])
def test_rows_that_float32_cannot_tell_apart_are_refused(make_cache, bad) -> None:
    folder = make_cache()
    torch.save(bad, folder / "embeddings.pt")
    with pytest.raises(CacheError, match="embeddings.pt has rows that differ by less than float32 can tell"):
        cache.read(folder).verify()


@pytest.mark.parametrize("fine", [X.double() + 1e3, X.double() * 1e-30, torch.ones(40, 8).double() * 0.1])
def test_rows_that_float32_can_tell_apart_are_taken(make_cache, fine) -> None:
    folder = make_cache()
    torch.save(fine, folder / "embeddings.pt")
    cache.read(folder).verify()


def _notes(folder: Path, X: torch.Tensor) -> list[str]:
    torch.save(X, folder / "embeddings.pt")
    return [note for note in cache.read(folder).verify().cache.notes if note.startswith("embeddings.pt: ")]


@pytest.mark.parametrize("kind", [torch.float16, torch.float32, torch.bfloat16])
def test_unusual_rows_are_noted(make_cache, monkeypatch, kind) -> None:
    monkeypatch.setattr("gpuvis.arrays.BLOCK_BYTES", 100)  # some rows
    folder = make_cache()
    assert _notes(folder, X.to(kind)) == []
    assert _notes(folder, torch.full((40, 8), 3.0, dtype=kind)) == [
        "embeddings.pt: all rows are the same, so a map shows nothing"
    ]
    odd = X.to(kind).clone()
    odd[17], odd[5], odd[31] = 65504, 0, 0
    zeros, large = _notes(folder, odd)
    assert zeros.endswith(
        ": 2 rows, the first is row 5, '005.png' (counted from 0), have nothing but zeros; were the images read?"
    )
    assert large.endswith(
        ": row 17, '017.png' (counted from 0) has values 1,000 times as large as most rows, or more; are they damaged?"
    )


def test_rows_are_counted_across_blocks(make_cache, monkeypatch) -> None:
    monkeypatch.setattr("gpuvis.arrays.BLOCK_BYTES", 100)  # three rows
    folder = make_cache()
    cache.read(folder).verify()
    bad = X.clone()
    bad[31, 3] = bad[39] = float("nan")
    torch.save(bad, folder / "embeddings.pt")
    with pytest.raises(CacheError, match="2 rows hold NaN or Inf, the first is row 31, '031.png' "):
        cache.read(folder).verify()


def test_of_a_row_without_a_name_the_number_alone_is_told(make_cache) -> None:
    folder = make_cache()
    torch.save(torch.full((40, 8), torch.nan), folder / "embeddings.pt")
    for rows in (table_of(40).assign(file_name=""), table_of(40)[["ground_truth_num_label"]]):
        rows.to_csv(folder / "metadata.csv", index=False)
        with pytest.raises(CacheError, match="40 rows hold NaN or Inf, the first is row 0 "):
            cache.read(folder).verify()


@pytest.mark.parametrize("base", [10**18, 2**63 - 4, -(2**63)])
def test_labels_of_19_digits_are_exact(make_cache, read, base) -> None:
    labels = [base + k % 3 for k in range(40)]
    rows = table_of(40).assign(ground_truth_num_label=list(map(str, labels)))
    folder = make_cache()
    rows.to_csv(folder / "metadata.csv", index=False)
    torch.save(torch.tensor(labels), folder / "labels.pt")
    assert read(folder).labels.tolist() == labels
    labels[7] += 1
    torch.save(torch.tensor(labels), folder / "labels.pt")
    with pytest.raises(CacheError, match=f"first in row 7 .*: {labels[7]} and {labels[7] - 1}; rows that differ: 1"):
        read(folder)


def test_labels_beyond_64_bits_with_a_sign_are_refused(make_cache, read) -> None:
    folder = make_cache()
    torch.save(torch.tensor([2**63] * 40, dtype=torch.uint64), folder / "labels.pt")
    with pytest.raises(CacheError, match="labels.pt has labels above 9223372036854775807; save them as int64"):
        read(folder)


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
        (meta(dim=8), "meta.json has no num_samples"),
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


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o111])
def test_a_folder_that_may_not_be_looked_into_is_told_as_such(make_cache, tmp_path, mode) -> None:
    folder = make_cache("study/closed")
    if mode == 0o111:  # it may be entered, but whether there are caches below cannot be seen
        (folder / "embeddings.pt").unlink()
        (folder / "metadata.csv").unlink()
    folder.chmod(mode)
    try:
        with as_nobody(folder):
            assert list(folders.find([tmp_path / "study"])) == [folder]
            with pytest.raises(CacheError, match="study/closed cannot be read: Permission denied; .*list and enter"):
                cache.read(folder)
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((X[:4], table_of(4)), r"has shape \(4, 8\)"),
        ((X[0, 0], table_of(5)), "has 0 dimensions"),
        ((X.numpy().astype(str), table_of(40)), "have to be tensors or arrays of numbers"),
        ((torch.full((40, 8), torch.nan), table_of(40)), "40 rows hold NaN or Inf, the first is row 0, '000.png' "),
        ((X, table_of(39)), "paired row by row"),
        ((X, table_of(40), torch.ones(40, dtype=torch.int64)), "labels.pt disagrees"),
        ((X, table_of(40), None, {"dim": 9}), "says dim is 9"),
        ((X, table_of(40).set_axis(["1", 1, "a", "b"], axis=1)), "two columns have the same name: 1, 1, a, b"),
    ],
)
def test_an_invalid_cache_is_not_written(make_cache, tmp_path, parts, message) -> None:
    folder = make_cache()
    before = content(folder)
    for place in (folder, tmp_path / "new"):
        with pytest.raises(CacheError, match=message):
            write_cache(place, *parts)
    assert content(folder) == before
    assert not (tmp_path / "new").exists()


def test_a_place_that_cannot_be_written_is_told(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file/new cannot be written: Not a directory"):
        write_cache(tmp_path / "file" / "new", X, table_of(40))


def test_arrays_and_columns_are_taken_as_well(tmp_path) -> None:
    columns = {"file_name": ["007", None, "a", "b", "c"], "n": np.arange(5)}
    got = write_cache(tmp_path / "new", X[:5].numpy(), columns, np.arange(5))
    assert torch.equal(got.embeddings, X[:5])
    assert got.labels.tolist() == got.table["n"].astype(int).tolist() == list(range(5))
    assert got.table["file_name"].tolist() == ["007", "", "a", "b", "c"]


def test_what_is_no_json_is_not_written(make_cache) -> None:
    folder = make_cache()
    before = content(folder)
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_cache(folder, X, table_of(40), info={"checkpoint_path": Path("x")})
    assert content(folder) == before


def test_labels_of_an_earlier_cache_do_not_stay(make_cache) -> None:
    folder = make_cache()
    assert write_cache(folder, X, table_of(40)).labels is None


def test_memory_that_runs_out_is_no_fault_of_the_file(make_cache, monkeypatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    folder = make_cache()
    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        cache.read(folder)


def test_a_slice_is_written_without_the_rest(tmp_path) -> None:
    write_cache(tmp_path / "new", torch.randn(100_000, 8)[:5], table_of(5))
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
    got = write_cache(tmp_path / "round", torch.from_numpy(X), rows)
    got.verify()
    np.testing.assert_array_equal(got.embeddings.numpy(), X)
    assert got.embeddings.numpy().dtype == X.dtype
    pd.testing.assert_frame_equal(got.table, rows)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.int64, torch.int32])
def test_plain_tensors_are_views_of_the_file(tmp_path, dtype) -> None:
    X = (100 * torch.randn(40, 8)).to(dtype)
    torch.save(X, tmp_path / "X.pt")
    found = pt.read(tmp_path / "X.pt")
    assert isinstance(found, np.ndarray)
    assert same(found, X)
    assert not found.flags.writeable
    assert not found.flags.owndata


@pytest.mark.parametrize(
    "X", [torch.randn(8, 4).T, torch.randn(9, 4)[1:], torch.randn(9, 4)[:8], torch.ones(4, 2).bfloat16()]
)
def test_others_are_left_to_torch(tmp_path, X) -> None:
    torch.save(X, tmp_path / "X.pt")
    assert torch.equal(pt.read(tmp_path / "X.pt"), X)


def test_a_compressed_tensor_is_not_mapped(make_cache, tmp_path) -> None:
    with (
        zipfile.ZipFile(make_cache() / "embeddings.pt") as whole,
        zipfile.ZipFile(tmp_path / "X.pt", "w", zipfile.ZIP_DEFLATED) as compressed,
    ):
        for info in whole.infolist():
            compressed.writestr(info.filename, whole.read(info))
    assert pt._without_torch(tmp_path / "X.pt", mapped=True) is None


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # so that importing it is an error
from gpuvis.cli.main import main
main(["reduce", sys.argv.pop(), "--umap", "--tsne", "--backend", "cpu", "-q"])
"""


def test_no_map_on_the_cpu_needs_torch(make_cache) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, make_cache()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 2 * 4


@pytest.mark.parametrize("name", ["embeddings.pt", "metadata.csv", "labels.pt"])
def test_a_pipe_is_not_waited_for(make_cache, name) -> None:
    folder = make_cache()
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(CacheError, match=f"{name} cannot be read: it is no ordinary file; make it a readable file"):
        cache.read(folder)


def test_a_pipe_for_the_description_is_noted(make_cache) -> None:
    folder = make_cache()
    (folder / "meta.json").unlink()
    os.mkfifo(folder / "meta.json")
    assert any("meta.json cannot be read" in note for note in cache.read(folder).notes)
