from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gpuvis import table
from gpuvis.errors import CacheError


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
        (b'a,b\n"x,2\n3,4\n', "is broken in line 3"),
        (b"a,a\n1,2\n", "has two columns named 'a'"),
    ],
)
def test_broken_tables_are_refused(tmp_path, content, message) -> None:
    with pytest.raises(CacheError, match=message) as raised:
        read(tmp_path, content)
    assert "\n" not in str(raised.value)
    assert str(tmp_path / "metadata.csv") in str(raised.value)


def test_a_header_alone_is_a_table_of_no_rows(tmp_path) -> None:
    assert len(read(tmp_path, b"a,b\n")) == 0


def test_class_numbers() -> None:
    assert table.class_numbers(pd.Series(["3", "-1", "2.0"])).tolist() == [3, -1, 2]
    assert table.class_numbers(pd.Series(["3", ""])) is None
    assert table.class_numbers(pd.Series(["3", "2.5"])) is None
    assert table.class_numbers(pd.Series(["3"])).dtype == np.int64
