"""Tables are read as they are written, or refused with the line and the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from files.refused import REFUSED
from files.separated import CASES, Case
from surflow.data.readers.frame import Frame, is_table, read_table
from surflow.errors import SurflowError


def values(frame: Frame) -> list[tuple]:
    columns = ", ".join(map(frame.sql, frame.types))
    return frame.query(f"SELECT {columns} FROM {frame.relation} ORDER BY rowid")


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_separated_text_is_read_as_it_is_written(case: Case, tmp_path: Path) -> None:
    path = tmp_path / f"people{case.suffix}"
    path.write_bytes(case.written)
    assert is_table(path)
    frame = read_table(path)
    assert list(frame.types) == case.columns
    assert set(frame.types.values()) == {"VARCHAR"}
    assert frame.written
    assert values(frame) == case.rows
    assert frame.rows == len(case.rows)
    assert frame.index == case.index
    assert (frame.name, frame.origin) == ("people", f"the file people{case.suffix}")
    said = "\n".join(frame.notes)
    assert all(note in said for note in case.notes)
    assert case.notes or not said
    if case.lines is not None:
        assert [frame.line(row) for row in range(frame.rows)] == case.lines


@pytest.mark.parametrize(("name", "suffix", "written", "said"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_holds_no_table_is_refused(
    name: str, suffix: str, written: bytes, said: list[str], tmp_path: Path
) -> None:
    path = tmp_path / f"people{suffix}"
    path.write_bytes(written)
    with pytest.raises(SurflowError) as caught:
        read_table(path)
    assert "people" in str(caught.value)
    for piece in said:
        assert piece in str(caught.value)
