"""TableModel: answers by name are those of the distribution of the rows, and values are as the table writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

import surflow as sf
from surflow.data.tables.schema import Column, ColumnKind
from surflow.tables.given import parse_given

SECONDS = 10**9
FEW = {"width": 16, "layers": 1, "seed": 0}


def _rows(n: int = 300) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    pet = rng.choice(np.asarray(["cat", "dog", "a, b"], dtype=object), n)
    age = rng.integers(0, 5, n) + 2.0 * (pet == "dog")
    age[rng.random(n) < 0.2] = np.nan
    when = np.datetime64("2001-09-09T01:46:40", "us") + (rng.integers(0, 40, n) * SECONDS).astype("timedelta64[us]")
    return {"pet": pet, "age": age, "when": when, "id": np.asarray([f"r{i}x" for i in range(n)], dtype=object)}


@pytest.fixture(scope="module")
def model() -> sf.TableModel:
    """Of two columns with few values, so that all rows can be listed."""
    table = sf.Table({name: _rows()[name] for name in ("pet", "age")})
    model = sf.presets.table(table.schema, **FEW)
    sf.fit(model, table, steps=60, progress=False)
    return model


@pytest.fixture(scope="module")
def dated() -> sf.TableModel:
    table = sf.Table(pd.DataFrame(_rows()))
    model = sf.presets.table(table.schema, **FEW)
    sf.fit(model, table, steps=10, progress=False)
    return model


def _every() -> tuple[list[str], list[float]]:
    pets, ages = ["cat", "dog", "a, b"], [*map(float, range(7)), np.nan]
    return [pet for pet in pets for _ in ages], ages * len(pets)


def _shares(model: sf.TableModel) -> dict[tuple[str, float], float]:
    pets, ages = _every()
    nats = model.log_prob({"pet": np.asarray(pets, dtype=object), "age": np.asarray(ages)})
    return {(pet, age): p for pet, age, p in zip(pets, np.nan_to_num(ages, nan=-1.0), nats.exp().tolist(), strict=True)}


@pytest.mark.parametrize(
    ("given", "held"),
    [
        ({"pet": "dog"}, lambda pet, age: pet == "dog"),
        ({"pet": {"dog", "a, b"}}, lambda pet, age: pet != "cat"),
        ({"age": None}, lambda pet, age: age == -1),
        ({"age": ">=2, <4"}, lambda pet, age: 2 <= age < 4),
        ({"age": [1, None]}, lambda pet, age: age in (1, -1)),
        ({"age": ">1", "pet": ["cat", "dog"]}, lambda pet, age: age > 1 and pet != "a, b"),
    ],
)
@pytest.mark.slow
def test_samples_given_values_sets_and_ranges_have_the_conditional_distribution(model, given, held) -> None:
    shares = {row: p for row, p in _shares(model).items() if held(*row)}
    total, n = sum(shares.values()), 4000
    drawn = model.sample(n, given=given, seed=1)
    met = list(zip(drawn["pet"].tolist(), np.nan_to_num(drawn["age"].astype(float), nan=-1.0).tolist(), strict=True))
    known = [row for row in met if row[0] != "(other)" and row[1] < 7]
    assert all(held(*row) for row in known) and len(known) > 0.9 * n
    for row, p in shares.items():
        # Orders differ a little in what they say, and importance weights do.
        assert abs(known.count(row) / n - p / total) < 4 * (p / total / n) ** 0.5 + 0.02


def test_conditionals_by_name_are_those_of_tensors(model: sf.TableModel) -> None:
    rows = {"age": np.asarray([1.0, 3.0]), "pet": np.asarray(["cat", "dog"], dtype=object)}
    x = torch.tensor(
        [[float(model.columns[0].categories.index(pet)), age] for pet, age in (("cat", 1), ("dog", 3))]
    ).double()
    with torch.no_grad():
        assert torch.equal(model.log_prob(rows), model.log_prob(x))
        expected = model.flow.base.log_prob_of(x, [1], [0])  # type: ignore[operator]
    assert torch.allclose(model.log_prob(rows, of=["age"], given=["pet"]), expected)
    assert torch.allclose(model.log_prob({"age": rows["age"]}, of=["age"]), model.log_prob(rows, of=["age"]))


def test_a_model_is_saved_with_its_names(dated: sf.TableModel, tmp_path: Path) -> None:
    dated.save(tmp_path / "people.safetensors")
    same = sf.load(tmp_path / "people.safetensors")
    assert isinstance(same, sf.TableModel) and same.schema == dated.schema and torch.equal(same.usual, dated.usual)
    assert same.sample(5, seed=3).equals(dated.sample(5, seed=3))


def test_moments_come_back_as_written(dated: sf.TableModel, tmp_path: Path) -> None:
    """A moment in seconds since 1970 has more digits than single precision."""
    drawn = dated.sample(20, given={"when": ["2001-09-09 01:46:40", "2033-05-18 03:33:20"]}, seed=0)
    assert set(drawn["when"].astype(str)) <= {"2001-09-09 01:46:40", "2033-05-18 03:33:20"}
    (drawn,) = {*dated.sample(3, given={"when": np.datetime64("2033-05-18T03:33:20")}, seed=0)["when"].astype(str)}
    assert drawn == "2033-05-18 03:33:20"
    frame = pd.DataFrame(_rows())
    assert dated.impute(frame, draws=1, seed=0)["when"].equals(frame["when"])
    with_holes = frame.assign(when=frame["when"].where(np.arange(len(frame)) > 4))
    filled = dated.impute(with_holes)
    assert filled["when"].notna().all() and filled["when"][5:].equals(frame["when"][5:])


@pytest.mark.parametrize("draws", [None, 2])
@pytest.mark.slow
def test_holes_alone_are_filled_and_tables_come_out_as_they_came_in(dated: sf.TableModel, draws: int | None) -> None:
    arrays = _rows(40)
    arrays["pet"][3] = None
    frame = pd.DataFrame(arrays)
    made = {
        "pandas": frame, "polars": pl.from_pandas(frame), "arrow": pa.Table.from_pandas(frame, preserve_index=False)
    }  # fmt: skip
    found = []
    for table in made.values():
        filled = dated.impute(table, draws=draws, seed=0)
        assert type(filled) is type(table)
        out = filled if isinstance(filled, pd.DataFrame) else filled.to_pandas()
        found.append(out.reset_index(drop=True))
    arrays_out = dated.impute(arrays, draws=draws, seed=0)
    assert isinstance(arrays_out, dict)
    found.append(pd.DataFrame(arrays_out))
    for out in found:
        assert len(out) == 40 * (draws or 1) and list(out["id"]) == list(arrays["id"]) * (draws or 1)
        assert out["pet"].notna().all() and out["age"].notna().all()
        known = np.tile(~np.isnan(arrays["age"]), draws or 1)
        assert np.array_equal(out["age"].to_numpy()[known], np.tile(arrays["age"], draws or 1)[known])
        assert np.array_equal(out["age"].to_numpy(), found[0]["age"].to_numpy())
        assert ("draw" in out) == (draws is not None and draws > 1)


def test_draws_of_holes_follow_the_conditional_among_what_is_not_missing(model: sf.TableModel) -> None:
    n = 3000
    rows = {"pet": np.full(n, "dog", dtype=object), "age": np.full(n, np.nan)}
    drawn = np.asarray(model.impute(rows, draws=1, seed=0)["age"])
    shares = {age: p for (pet, age), p in _shares(model).items() if pet == "dog" and age >= 0}
    for age, p in shares.items():
        assert abs((drawn == age).mean() - p / sum(shares.values())) < 0.05
    median = model.impute({"pet": np.asarray(["dog"], dtype=object), "age": np.asarray([np.nan])})["age"][0]
    below = sum(p for age, p in shares.items() if age < median) / sum(shares.values())
    assert below < 0.55 and below + shares[median] / sum(shares.values()) > 0.45


def test_the_account_names_the_value_that_is_odd(model: sf.TableModel) -> None:
    rows = {"pet": np.asarray(["cat", "cat"], dtype=object), "age": np.asarray([2.0, 6.0])}
    said = model.explain(rows)
    assert np.allclose(said["log_prob"], model.log_prob(rows).numpy())
    assert said["nats of age"][1] < said["nats of age"][0] - 1
    for name in ("pet", "age"):
        others = [column for column in ("pet", "age") if column != name]
        exact = model.log_prob(rows, of=[name], given=others).numpy()
        assert np.allclose(said[f"nats of {name}"], exact, atol=0.3)  # orders differ a little
    assert model.explain({"pet": np.asarray(["dog"], dtype=object), "age": np.asarray([-1.0])})["oddest"][0] == "age"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pats": "dog"}, "did you mean 'pet'"),
        ({"pet": "cow"}, "'cat'"),
        ({"pet": None}, "never missing"),
        ({"age": ">9, <8"}, "0 to 6"),
        ({"age": "<0"}, "0 to 6"),
        ({"age": 1.5}, "steps of 1"),
        ({"age": ">="}, "comparisons"),
    ],
)
def test_what_cannot_be_given_is_said(model: sf.TableModel, given: dict, said: str) -> None:
    with pytest.raises(sf.SurflowError, match=said):
        model.sample(2, given=given)


def test_rows_that_the_model_cannot_know_are_named(model: sf.TableModel) -> None:
    rows = {"pet": np.asarray(["cat", None], dtype=object), "age": np.asarray([1.0, -3.0])}
    with pytest.raises(sf.DataError, match=r"row 2.*'age'"):
        model.impute(rows)
    with pytest.raises(sf.ConfigError, match="asked for and given"):
        model.log_prob(rows, of=["age"], given=["age"])


def test_statements_of_the_command_line() -> None:
    columns = [
        Column("age", ColumnKind.COUNT, step=1.0, missing=1),
        Column("a=b, c", ColumnKind.NUMBER, step=0.01, decimal=","),
        Column("pet", ColumnKind.CATEGORY, categories=["cat", "dog", "a, b"]),
    ]
    assert parse_given(["60<=age<70"], columns) == {"age": ">=60, <70"}
    assert parse_given(["age >= 60", "age<70"], columns) == {"age": ">=60, <70"}
    assert parse_given(["age is missing", "pet = dog, cat"], columns) == {"age": None, "pet": ["dog", "cat"]}
    assert parse_given(['pet="a, b",cat'], columns) == {"pet": ["a, b", "cat"]}
    assert parse_given(["pet=a, b", "age is not missing"], columns) == {"pet": ["a, b"], "age": "<inf"}
    assert parse_given(["a=b, c=1,50"], columns) == {"a=b, c": ["1,50"]}
    for wrong in (["agee=3"], ["pet>cat"], ["age="], ["age=3", "age=4"]):
        with pytest.raises(sf.ConfigError):
            parse_given(wrong, columns)
