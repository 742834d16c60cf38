"""What a run settles on where a person says nothing: by the preset that is trained, not by the data alone."""

from __future__ import annotations

import pytest

import surflow as sf
from surflow import presets
from surflow.app.config import Config, parse_config
from surflow.app.kinds import kind_of
from surflow.tables import defaults


def _settled(preset: str) -> Config:
    config = parse_config({"data": {"source": "iris"}, "model": {"preset": preset}})
    return config.settled(sf.data.load("iris"))


@pytest.mark.parametrize("preset", ["auto", "spline", "table"])
def test_training_is_that_of_the_preset(preset: str) -> None:
    rows, columns = sf.data.load("iris").train.x.shape
    known = defaults.training(rows, columns) if preset == "table" else presets.training_of_numbers(rows)
    assert {name: getattr(_settled(preset).training, name) for name in known} == known


def test_the_preset_of_mixed_tables_suits_the_number_of_rows_of_numbers_too() -> None:
    stated = _settled("table").model.model_extra
    assert stated == {"dropout": defaults.dropout(105), "waves": defaults.waves(105)}


def test_rows_that_choose_the_weights_are_few_where_a_validation_is_dear() -> None:
    splits = sf.data.load("diabetes")
    kind = kind_of(splits)
    assert len(kind.validation("spline").x) == len(splits.validation.x)
    assert len(kind.validation("table").x) == min(len(splits.validation.x), defaults.most_validation(10))
