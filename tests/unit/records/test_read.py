"""What is missing or damaged is said in one way."""

from pathlib import Path

import pyarrow as pa
import pytest

from servegrid.records.read import Damaged, damage, read_record, read_table
from servegrid.records.schema import write_table

TABLE = pa.table({"a": [1, 2], "b": ["x", "y"]})


def test_columns_come_in_the_order_asked_for(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", TABLE)
    assert read_table(tmp_path / "t.parquet", ["b", "a"]).column_names == ["b", "a"]
    assert read_table(tmp_path / "t.parquet").equals(TABLE) and damage(tmp_path / "t.parquet") is None


def test_a_table_that_is_not_there_cut_off_or_lacks_a_column(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with pytest.raises(Damaged, match=r"^there is no t.parquet$"):
        read_table(path)
    write_table(path, TABLE)
    with pytest.raises(Damaged, match=r"^t.parquet cannot be read .*c"):
        read_table(path, ["a", "c"])
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(Damaged, match=r"^t.parquet cannot be read "):
        read_table(path)
    assert str(damage(path)).startswith("t.parquet cannot be read ")


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", b"\xff"])
def test_a_record_is_an_object(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(Damaged, match=r"^r.json cannot be read "):
        read_record(path)
