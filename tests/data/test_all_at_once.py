"""All that is wrong with a table is said at once, whatever finds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from surflow.data import load, read_rows
from surflow.errors import ConfigError, DataError

ROWS = 40


def table(folder: Path, name: str = "a.csv", **other: list[str]) -> Path:
    columns = {
        "x": [f"{i * 37 % 101}.25" for i in range(ROWS)],
        "y": [f"{i * 31 % 97}.75" for i in range(ROWS)],
        "kind": [("a", "b")[i % 2] for i in range(ROWS)],
        "site": [("p", "q")[i // 2 % 2] for i in range(ROWS)],
    } | other
    path = folder / name
    path.write_text("\n".join([",".join(columns), *(",".join(row) for row in zip(*columns.values()))]) + "\n")  # noqa: B905
    return path


def test_names_of_every_option(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(
            table(tmp_path),
            columns=["x", "yy"],
            context=["kinds", "sight"],
            drop=["sites"],
            column=["z=count", "x=cuont", "y"],
        )
    said = str(caught.value)
    assert "7 things are wrong" in said
    for piece in ("'yy'", "'kinds'", "'sight'", "'sites'", "no column 'z'", "unknown kind 'cuont'", "NAME=KIND"):
        assert said.count(piece) == 1


def test_values_of_data_and_of_the_context(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        x=["inf" if i == 7 else f"{i}.5" for i in range(ROWS)],
        y=["-inf" if i == 9 else f"{i * 7 % 40}.5" for i in range(ROWS)],
        kind=["" if i == 3 else "a" if i % 2 else "b" for i in range(ROWS)],
        site=["only" if i == 5 else "p" if i % 2 else "q" for i in range(ROWS)],
    )
    with pytest.raises(DataError) as caught:
        load(path, columns=["x", "y"], context=["kind", "site"])
    said = str(caught.value)
    for piece in ("4 things are wrong", "'x' of the file", "'y' of the file", "'kind' of", "the category 'only'"):
        assert piece in said


def test_kinds_that_do_not_hold(tmp_path: Path) -> None:
    stated = ["kind=ordered(a,c)", "site=category(q,r)"]
    with pytest.raises(DataError, match=r"(?s)2 things are wrong.*'kind' also holds 'b'.*'site' also holds 'p'"):
        load(table(tmp_path), column=stated)


def test_rows_for_a_trained_model(tmp_path: Path) -> None:
    splits = load(table(tmp_path), context=["kind", "site"])
    some = table(
        tmp_path,
        "b.csv",
        x=["u"] * 20 + ["1"] * 20,
        kind=["c"] * ROWS,
        site=["", *["p"] * (ROWS - 1)],
    )
    with pytest.raises(DataError) as caught:
        read_rows(some, splits.columns, splits.context, schema=splits.schema)
    said = str(caught.value)
    for piece in ("3 things are wrong", "'x' of the file b.csv", "unknown category of the context 'kind'", "'site' of"):
        assert piece in said
    with pytest.raises(ConfigError) as caught_too:
        read_rows(table(tmp_path), ["x", "a1", "a2"], splits.context)
    assert "'a1'" in str(caught_too.value) and "'a2'" in str(caught_too.value)
