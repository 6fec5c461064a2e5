"""Mutated files: whatever they hold, they are read as a reference reads them, or refused in a sentence of ours.

    python tests/process/fuzz.py [--inputs 100000] [--seed 0] [--kinds tensor,record]

All is done in this process. What goes wrong is kept in the folder `fuzz-faults`.
"""

from __future__ import annotations

import argparse
import csv
import json
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpuvis.errors import GpuvisError
from gpuvis.io import cache, pt, table
from gpuvis.io.writer import write_cache
from gpuvis.jobs import job
from gpuvis.jobs.job import Job
from gpuvis.jobs.outcome import apply_min_trust
from gpuvis.quality import report
from gpuvis.results import outputs, record, saved_map
from gpuvis.results.annotations import read_annotations
from gpuvis.results.folder import Folder
from gpuvis.settings import Settings

SECONDS = 5  # that one input may take
ROWS = 40
ODD = (None, "", "text", [], {}, -1, 0, 1.5, 1e308, 10**400, True, [{"a": None}], "\ud800", "\0", float("nan"))
TOKENS = [
    *(b'"', b'""', b",", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b";", b"\t", b"=", b"'"),
    *(b"-1", b"1e999", b"99999999999999999999", b"nan", b"0x1", b"{", b"}", b"[", b"]", b"null", b"\\ud800"),
    *(b"PK\1\2", b"PK\3\4", b"PK\5\6", b"\x93NUMPY", b"\x80\x02", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(8)),
]
Draw = np.random.Generator


class TooLong(BaseException):
    """An input took longer than it may."""


def mutated(data: bytes, draw: Draw) -> bytes:
    """Return some bytes with a few changes of one kind or another."""
    for _ in range(draw.integers(1, 4)):
        data = _changed(data, draw)
    return data


def _changed(data: bytes, draw: Draw) -> bytes:
    at, size = int(draw.integers(0, len(data) + 1)), int(draw.integers(1, 1 + min(64, len(data) or 1)))
    before, piece, after = data[:at], data[at : at + size], data[at + size :]
    token = TOKENS[draw.integers(len(TOKENS))]
    flipped = bytes([(piece or b"a")[0] ^ (1 << int(draw.integers(8)))]) + piece[1:]
    times = int(draw.integers(2, 6))
    pieces = [flipped, token + piece, token + piece[len(token) :], b"", piece * times, draw.bytes(size)]
    return (before, *(before + one + after for one in pieces))[draw.integers(len(pieces) + 1)]


def mutated_json(data: bytes, draw: Draw) -> bytes:
    """Return JSON with one value replaced, left out or moved to another key; or with bytes changed."""
    if draw.random() < 0.3:
        return mutated(data, draw)
    told = json.loads(data)
    inner, key = told, None
    while isinstance(inner, dict | list) and inner and (key is None or draw.random() < 0.8):
        outer, keys = inner, list(inner) if isinstance(inner, dict) else range(len(inner))
        key = keys[draw.integers(len(keys))]
        inner = outer[key]
    how = draw.random()
    if how < 0.15:
        del outer[key]
    elif how < 0.25 and isinstance(outer, dict):
        outer[f"{key}x"] = outer.pop(key)
    else:
        outer[key] = ODD[draw.integers(len(ODD))]
    return json.dumps(told).encode()


def mutated_archive(data: bytes, draw: Draw) -> bytes:
    """Return an archive with bytes changed, or with a record changed whose CRC-32 is right."""
    if draw.random() < 0.5:
        return mutated(data, draw)
    with tempfile.TemporaryFile() as file:
        file.write(data)
        with zipfile.ZipFile(file) as archive:
            records = {info.filename: archive.read(info) for info in archive.infolist()}
        chosen = list(records)[draw.integers(len(records))] if draw.random() < 0.5 else "archive/data.pkl"
        chosen = chosen if chosen in records else next(name for name in records if name.endswith("data.pkl"))
        packing = zipfile.ZIP_DEFLATED if draw.random() < 0.1 else zipfile.ZIP_STORED
        file.seek(0)
        file.truncate()
        with zipfile.ZipFile(file, "w", packing) as archive:
            for name, content in records.items():
                archive.writestr(name, mutated(content, draw) if name == chosen else content)
        file.seek(0)
        return file.read()


def same(found: Any, expected: Any) -> None:
    """Raise an error unless what was read is what a reference reads."""
    if not np.array_equal(np.asarray(found), np.asarray(expected)):
        raise AssertionError("read as something else than by the reference")


def read_tensor(folder: Path) -> None:
    """Read the embeddings."""
    found = cache.read(folder, read_tensor=pt.read)
    found.verify()
    _compare(found.embeddings, folder / "embeddings.pt")


def read_labels(folder: Path) -> None:
    """Read the labels."""
    _compare(cache.read(folder, read_tensor=pt.read).labels, folder / "labels.pt")


def _compare(found: Any, path: Path) -> None:
    """Compare a tensor with what torch reads, or, where that minds what no tensor is made of, with the bytes."""
    try:
        expected = torch.load(path, weights_only=True).detach()
    except Exception:  # noqa: BLE001
        with zipfile.ZipFile(path) as archive:
            (told,) = (info.CRC for info in archive.infolist() if info.filename.partition("/")[2] == "data/0")
        same(zlib.crc32(np.ascontiguousarray(found).tobytes()), told)
    else:
        same(found, expected.reshape(found.shape))


def read_table(folder: Path) -> None:
    """Read the table; the reference is Python's csv."""
    path = folder / "metadata.csv"
    found = table.read(path)
    with path.open(newline="", encoding="utf-8-sig") as file:
        names, *rows = csv.reader(file)
    expected = [row for row in rows if row or len(names) == 1]
    if list(found.columns) != names or found.to_numpy().tolist() != [row or [""] for row in expected]:
        raise AssertionError("read as something else than by csv")


def read_info(folder: Path) -> None:
    """Read the information; where it tells the shape, that has to be right."""
    info = cache.read(folder, read_tensor=pt.read).info
    for key, expected in (("num_samples", ROWS), ("dim", 8)):
        if info.get(key) not in {None, expected}:
            raise AssertionError(f"{key} is {info[key]!r}")


def read_record(folder: Path) -> None:
    """Decide by the run record; what is told of a map that is up to date has to be what its run wrote."""
    decided = job.decide(_job(folder))
    for outcome in decided.settled:
        if outcome.error:
            raise outcome.error
        apply_min_trust(outcome, 0.5)
        report.cells(outcome.quality)
    run = outputs.Outputs(folder, "vis", "umap").read_record()
    if not run:
        raise AssertionError("taken, and not whole")
    if not isinstance(run.caption, str):
        raise AssertionError("no caption")
    if run.quality:
        report.line(run.quality), report.warnings(run.quality), report.report(run.quality)
    written = json.loads(FILES["vis_umap_run.json"])
    if any(run.effective.get(key) != value for key, value in written["effective"].items()):
        raise AssertionError("up to date with other settings")
    if run.input.rows != ROWS:
        raise AssertionError("up to date with other rows")


def read_coords(folder: Path) -> None:
    """Read the coordinates; the reference is NumPy."""
    same(
        saved_map.saved(folder / "vis_umap_coords.npy", Folder(folder, folder)).coords,
        np.load(folder / "vis_umap_coords.npy"),
    )


def read_scores(folder: Path) -> None:
    """Read what lies beside a map; nothing of it costs the page."""
    rows = table.read(folder / "metadata.csv")
    read = read_annotations(rows, folder, folder)
    joined, notes = read.joined(rows), read.notes
    if len(joined) != ROWS or not all(isinstance(value, str) for name in joined for value in joined[name]):
        raise AssertionError("another table")
    if notes:
        raise GpuvisError("; ".join(notes))


def read_scores_record(folder: Path) -> None:
    """Decide by the record of the scores."""
    decided = job.decide(_job(folder, maps=False, outliers=True))
    for outcome in decided.settled:
        if outcome.error:
            raise outcome.error
    if record.ScoresRecord.read(folder / "scores_run.json") is None:
        raise AssertionError("taken, and not whole")


def _job(folder: Path, **asked: Any) -> Job:
    return Job(folder, folder, Settings(), **asked)


KINDS: dict[str, tuple[str, Callable[[bytes, Draw], bytes], Callable[[Path], None]]] = {
    "tensor": ("embeddings.pt", mutated_archive, read_tensor),
    "labels": ("labels.pt", mutated_archive, read_labels),
    "table": ("metadata.csv", mutated, read_table),
    "info": ("meta.json", mutated_json, read_info),
    "record": ("vis_umap_run.json", mutated_json, read_record),
    "coordinates": ("vis_umap_coords.npy", mutated, read_coords),
    "scores": ("scores_neighbors.csv", mutated, read_scores),
    "scores record": ("scores_run.json", mutated_json, read_scores_record),
    "predictions": ("mis_model.csv", mutated, read_scores),
}
FILES: dict[str, bytes] = {}  # as they were written


def prepare(folder: Path) -> None:
    """Write a cache, its map, its scores and a model's predictions."""
    from click.testing import CliRunner

    from gpuvis.cli.main import main

    draw, labels = np.random.default_rng(0), np.arange(ROWS) % 3
    names = [f"a,b/{k} “é”.png" for k in range(ROWS)]
    rows = {
        "file_name": names,
        "ground_truth_num_label": labels,
        "ground_truth_word_label": [f"class {k}" for k in labels],
    }
    write_cache(folder, draw.standard_normal((ROWS, 8)).astype(np.float32), rows, labels)
    missed = {"file_name": names[:9], "predicted_label": ["1"] * 9, "top3_prob_1": ["0.9"] * 9}
    table.write(folder / "mis_model.csv", table.strings(missed))
    result = CliRunner().invoke(main, ["reduce", str(folder), "--outliers", "--backend", "cpu"])
    if result.exit_code:
        raise RuntimeError(result.stderr)
    FILES.update((path.name, path.read_bytes()) for path in folder.iterdir() if path.is_file())


def judged(read: Callable[[Path], None], folder: Path) -> str:
    """Read a folder, and say what came of it: read, refused, or a fault, which is told."""
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with warnings.catch_warnings(action="ignore"):
            read(folder)
    except GpuvisError as error:
        told = str(error)
        plain = "\n" not in told and "Invalid argument" not in told  # which nobody can do anything with
        return "refused" if plain and error.exit_code == 1 else f"refused as {error!r}"
    except TooLong:
        return f"took more than {SECONDS} s"
    except BaseException:  # noqa: BLE001
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return "read"


def faults(kind: str, folder: Path, inputs: int, seed: int) -> tuple[Counter[str], list[tuple[bytes, str]], float]:
    """Return how many mutated inputs were read and refused, those that went wrong, and the most seconds of one."""
    name, mutate, read = KINDS[kind]
    draw, counts, wrong, longest = np.random.default_rng([seed, list(KINDS).index(kind)]), Counter[str](), [], 0.0
    for _ in range(inputs):
        content = mutate(FILES[name], draw)
        (folder / name).write_bytes(content)
        start = time.perf_counter()
        result = judged(read, folder)
        longest = max(longest, time.perf_counter() - start)
        counts[result if result in {"read", "refused"} else "wrong"] += 1
        if result not in {"read", "refused"}:
            wrong.append((content, result))
    (folder / name).write_bytes(FILES[name])
    return counts, wrong, longest


def _too_long(*_: object) -> None:
    raise TooLong


def main() -> None:
    """Run all kinds, and tell a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default=",".join(KINDS))
    asked = parser.parse_args()
    signal.signal(signal.SIGALRM, _too_long)
    kinds, kept, found = asked.kinds.split(","), Path("fuzz-faults"), 0
    print(f"{'kind':<16}{'inputs':>8}{'read':>8}{'refused':>9}{'wrong':>7}{'seconds':>9}{'longest':>9}")
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        for kind in kinds:
            start = time.perf_counter()
            counts, wrong, longest = faults(kind, Path(folder), -(-asked.inputs // len(kinds)), asked.seed)
            cells = (counts.total(), counts["read"], counts["refused"], len(wrong))
            seconds = time.perf_counter() - start
            print("{:<16}{:>8}{:>8}{:>9}{:>7}{:>9.1f}{:>9.3f}".format(kind, *cells, seconds, longest), flush=True)
            for number, (content, told) in enumerate(wrong):
                kept.mkdir(exist_ok=True)
                (kept / f"{kind}-{number}").write_bytes(content)
                (kept / f"{kind}-{number}.txt").write_text(told)
            found += len(wrong)
    sys.exit(f"{found} inputs went wrong; they are in {kept}" if found else 0)


if __name__ == "__main__":
    main()
