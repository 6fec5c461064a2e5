from __future__ import annotations

import pytest
import torch
from torch.serialization import set_crc32_options

from gpuvis.io import fingerprint, pt


@pytest.fixture
def small_limits(monkeypatch) -> None:
    """Treat files as large from 100 kB on."""
    monkeypatch.setattr(fingerprint, "WHOLE_BYTES", 100_000)
    monkeypatch.setattr(fingerprint, "BLOCK_BYTES", 512)
    monkeypatch.setattr(fingerprint, "BLOCKS", 16)


def test_equal_content_has_an_equal_fingerprint(make_cache) -> None:
    assert fingerprint.of_cache(make_cache("a")) == fingerprint.of_cache(make_cache("b"))
    assert fingerprint.of_cache(make_cache("a")) != fingerprint.of_cache(make_cache("c", seed=1))


def test_one_byte_of_the_table_changes_it(make_cache) -> None:
    folder = make_cache()
    before = fingerprint.of_cache(folder)
    table = folder / "metadata.csv"
    table.write_bytes(table.read_bytes().replace(b"003.png", b"004.png"))
    assert fingerprint.of_cache(folder) != before


@pytest.mark.usefixtures("small_limits")
def test_a_large_file_of_equal_size_is_told_apart_by_its_crc(tmp_path) -> None:
    path, X = tmp_path / "embeddings.pt", torch.zeros(10_000, 8)
    torch.save(X, path)
    before = fingerprint.of_tensor(path)
    assert "sha256" not in before  # it was not read whole
    X[5_321, 3] = 1e-9  # between the sampled blocks
    torch.save(X, path)
    after = fingerprint.of_tensor(path)
    assert after["bytes"] == before["bytes"]
    assert after["crc32"] != before["crc32"]


@pytest.mark.usefixtures("small_limits")
def test_a_large_file_without_crc_is_told_apart_by_its_blocks(tmp_path) -> None:
    path = tmp_path / "embeddings.pt"
    set_crc32_options(False)
    try:
        torch.save(torch.zeros(10_000, 8), path)
        before = fingerprint.of_tensor(path)
        torch.save(torch.ones(10_000, 8), path)
    finally:
        set_crc32_options(True)
    after = fingerprint.of_tensor(path)
    assert after["crc32"] == before["crc32"]
    assert after["sampled_sha256"] != before["sampled_sha256"]
    assert pt.storage_crc(path) is None


@pytest.mark.usefixtures("small_limits")
def test_a_large_legacy_file_is_hashed_whole(tmp_path) -> None:
    path = tmp_path / "embeddings.pt"
    torch.save(torch.zeros(10_000, 8), path, _use_new_zipfile_serialization=False)
    assert fingerprint.of_tensor(path) == {"bytes": path.stat().st_size, "sha256": fingerprint.of_file(path)}
