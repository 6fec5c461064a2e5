from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpuvis.errors import CacheError
from gpuvis.io import table


def read(tmp_path: Path, content: bytes) -> pd.DataFrame:
    (tmp_path / "metadata.csv").write_bytes(content)
    return table.read(tmp_path / "metadata.csv")


def test_strings_stay_strings(tmp_path) -> None:
    rows = read(tmp_path, b'name,x\n007,NA\nnan,\n"a, ""b""\nc",1.50\nnull,True\n')
    assert rows["name"].tolist() == ["007", "nan", 'a, "b"\nc', "null"]
    assert rows["x"].tolist() == ["NA", "", "1.50", "True"]


def test_byte_order_mark_and_windows_line_ends_are_no_content(tmp_path) -> None:
    rows = read(tmp_path, b"\xef\xbb\xbfa,b\r\n1,2\r\n")
    assert rows.to_dict("list") == {"a": ["1"], "b": ["2"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; expected a header"),
        (b"a,b\n1,2\n3\n", "has 1 fields in line 3, but 2 in its header"),
        (b"a,b\n1,2\n3,4,5\n", "has 3 fields in line 3, but 2 in its header"),
        (b"a,b\n1,2,3\n", "has 3 fields in line 2, but 2 in its header"),
        (b"a,b\n\xff,2\n", "is not UTF-8 \\(byte 0xff\\)"),
        (b"a\xff,b\n1,2\n", "is not UTF-8"),
        (b'a,b\n"x,2\n3,4\n', "is broken in line 2: unexpected end of data"),
        (b'a,b\n1,2\n3,"x\n5,6\n7,8\n', "is broken in line 3: unexpected end of data"),
        (b'a,b\n1,"2', "is broken in line 2: unexpected end of data"),
        (b'a,"b\n1,2\n', "is broken in line 1: unexpected end of data"),
        (b'a\n1\n"2\n\n', "is broken in line 3: unexpected end of data"),
        (b"a,a\n1,2\n", "has two columns named 'a'"),
        (
            b",".join(b"c%d" % k for k in range(5000)) + b"\n",
            "has 5,000 columns; at most 4,096 can be read; leave some out",
        ),
        (b"a,b\n1\n", "has 1 fields in line 2, .* write a comma between all values, also of blank ones"),
        (b"a,b\n1,2, 3\n", "has 3 fields in line 2, .* put quotes around values that hold commas"),
        (b"a,b\n" + b"x" * 200_000 + b",2\n1,2,3\n", "has 3 fields in line 3, but 2 in its header"),
        (b"a;b;c\n1;2;3\n", "has semicolons between its values; expected commas"),
        (b"a;b, c;d\n1;2;3\n", "has semicolons between its values"),
        (b"a\tb\n1\t2\n", "has tabs between its values"),
        (b"a|b\n1|2\n", "has pipes between its values"),
        (b"\xef\xbb\xbf\nsep=;\na;b\n1;2\n", "begins with 'sep=;'; .* remove that line"),
        (b"sep=,\r\na,b\r\n1,2\r\n", "begins with 'sep=,'; .* remove that line"),
        ("a,b\n1,2\n".encode("utf-16-le"), "looks like UTF-16; save it as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-be"), "looks like UTF-16; save it as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "is not UTF-8 .*save it as UTF-8"),
        (b"\n\r\n", "is empty; expected a header"),
    ],
)
def test_broken_tables_are_refused(tmp_path, content, message) -> None:
    with pytest.raises(CacheError, match=message) as raised:
        read(tmp_path, content)
    assert "\n" not in str(raised.value)
    assert str(tmp_path / "metadata.csv") in str(raised.value)


@pytest.mark.parametrize("content", [b"a,b\n", b"a,b", b"\xef\xbb\xbfa,b", b"a,b\r\n\r\n", b"\n\na,b"])
def test_a_header_alone_is_a_table_of_no_rows(tmp_path, content) -> None:
    assert read(tmp_path, content).to_dict("list") == {"a": [], "b": []}


@pytest.mark.parametrize("start", [b"\n", b"\r\n\r\n", b"\xef\xbb\xbf\n"])
def test_blank_lines_before_the_header_are_no_content(tmp_path, start) -> None:
    assert read(tmp_path, start + b"a,b\n1,2\n").to_dict("list") == {"a": ["1"], "b": ["2"]}
    assert read(tmp_path, start + b"a\n1\n").to_dict("list") == {"a": ["1"]}


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (b"a\n1\n2\n\n", ["1", "2"]),
        (b"a\r\n1\r\n2\r\n\r\n\r\n", ["1", "2"]),
        (b"a\n1\n\n2\n", ["1", "", "2"]),
        (b'a\n1\n""\n\n', ["1", ""]),
        (b'a\n1\n""', ["1", ""]),
        (b"a\n\n\n", []),
    ],
)
def test_of_one_column_blank_lines_at_the_end_are_no_rows(tmp_path, content, values) -> None:
    assert read(tmp_path, content)["a"].tolist() == values


def test_separators_in_quotes_are_part_of_a_name(tmp_path) -> None:
    assert list(read(tmp_path, b'"a;b|c"\n1\n')) == ["a;b|c"]
    assert list(read(tmp_path, b"a;b,c\n1,2\n")) == ["a;b", "c"]
    assert list(read(tmp_path, b'"sep=;"\n1\n')) == ["sep=;"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("shift", range(4))
def test_line_ends_in_quotes_are_kept_where_a_block_ends(tmp_path, end, shift) -> None:
    value = f'x{end}y""z'
    row = f'"{value}",2{end}'
    before = "f" * (table.BLOCK_BYTES - 10 - len('a,b\n"",1\n"x') - shift)
    rows = read(tmp_path, f'a,b\n"{before}",1\n{row * 10}'.encode())
    assert rows["a"].tolist()[1:] == [value.replace('""', '"')] * 10
    rows = read(tmp_path, f'a,b\n"{before}ffffffffff",1\n{row}'.encode())
    assert rows["a"].tolist()[1:] == [value.replace('""', '"')]


cell = st.lists(st.sampled_from(["ab", "\r\n", "\r", "\n", '"', ",", "é"]), max_size=6).map("".join)


@given(
    rows=st.lists(st.tuples(cell, cell), min_size=1, max_size=40),
    end=st.sampled_from(["\n", "\r\n"]),
    size=st.integers(60, 90),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_blocks_of_any_size_give_the_same_table(tmp_path, monkeypatch, rows, end, size) -> None:
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator=end).writerows([("a", "b"), *rows])
    monkeypatch.setattr(table, "BLOCK_BYTES", size)
    found = read(tmp_path, file.getvalue().encode())
    assert list(zip(found["a"], found["b"], strict=True)) == rows


def test_a_row_that_is_too_long_is_told_with_its_line(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(table, "BLOCK_BYTES", 100)
    with pytest.raises(CacheError, match="has a row that is too long in line 3: .* quote"):
        read(tmp_path, b'a,b\n1,2\n"x\n' + b"y" * 500 + b'",4\n5,6\n')


def test_class_numbers() -> None:
    assert table.class_numbers(pd.Series(["3", "-1", "2.0"])).tolist() == [3, -1, 2]
    assert table.class_numbers(pd.Series(["3", ""])) is None
    assert table.class_numbers(pd.Series(["3", "2.5"])) is None
    assert table.class_numbers(pd.Series(["3"])).dtype == np.int64


def test_class_numbers_are_exact() -> None:
    large = ["9223372036854775807", "-9223372036854775808", "1000000000000000001", "1000000000000000001.0", "1e18"]
    assert table.class_numbers(pd.Series(large)).tolist() == [2**63 - 1, -(2**63), 10**18 + 1, 10**18 + 1, 10**18]
    for text in ("9223372036854775808", "1000000000000000000.5", "1e999999999", "nan", "inf", "1_0", "٣", "x"):
        assert table.class_numbers(pd.Series(["1", text])) is None, text


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_file_may_end_where_a_block_does(tmp_path, monkeypatch, end) -> None:
    content = f"a,b\n1,2\n3,4{end}".encode()
    for size in (len(content), len(content) // 2 + 1, len(content) + 1):
        monkeypatch.setattr(table, "BLOCK_BYTES", size)
        assert read(tmp_path, content).to_dict("list") == {"a": ["1", "3"], "b": ["2", "4"]}
