"""The report of a table: its verdict says what the figures say, and every section shows what was recorded."""

import math
import re
from html import unescape

import pytest
import torch

import surflow as sf
from surflow.app.report import write_report
from surflow.app.report.text import percent, value_text
from surflow.app.report.verdict import verdict
from surflow.data import Column, ColumnKind, Part, Schema, Splits
from surflow.data.tables.support import support_of
from surflow.evaluation import Row, evaluate

HOSTILE = "<b>$x$ \\frac{1} & 'y'"


def splits_of(*parts):
    schema = Schema(
        [
            Column(HOSTILE, ColumnKind.CATEGORY, categories=["$1-$2", HOSTILE]),
            Column("number", ColumnKind.NUMBER, step=0.5, missing=3),
            Column("day", ColumnKind.DATE, step=1.0, format="%Y-%m-%d"),
        ],
        warnings=["'day' rises with the number of the row"],
    )
    parts = [Part(x, None) for x in parts]
    return Splits("shop", *parts, schema.names, support_of(schema.columns), None, "shop: rows", schema=schema)


def rows_of(n, seed):
    generator = torch.Generator().manual_seed(seed)
    kind = torch.randint(2, (n,), generator=generator).double()
    number = ((kind + torch.randn(n, generator=generator)) * 2).round() / 2
    number = number.masked_fill(torch.rand(n, generator=generator) < 0.1, math.nan)
    return torch.stack([kind, number, torch.randint(20_000, 20_400, (n,), generator=generator).double()], 1)


@pytest.fixture(scope="module")
def report(small_pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    splits = splits_of(rows_of(300, 1), rows_of(50, 2), rows_of(60, 3))
    tree = sf.ColumnTree(3, support=splits.support)
    tree.initialize(splits.train.x)
    flow = sf.Flow([], base=tree)
    rows = evaluate(flow, splits, model="tree")
    path = write_report(folder, flow=flow, splits=splits, rows=rows, log=[], command="c", config_text="")
    return path.read_text(encoding="utf-8"), {row["metric"]: row for row in rows}, folder


def test_every_section_of_a_table(report):
    page, _, folder = report
    sections = re.findall(r'<section id="(\w+)">', page)
    shown = ["verdict", "merit", "samples", "ranges", "associations", "detection", "usefulness", "memory", "odd"]
    assert sections == [*shown, "model", "data", "made"]
    pictures = {picture.stem for picture in (folder / "pictures").glob("*.png")}
    assert pictures == {"standing", "columns", "associations"}
    assert "<b>$x$" not in page and "&lt;b&gt;$x$" in page


def test_the_page_has_the_figures_that_were_recorded(report):
    page, figures, _ = report
    text = unescape(page)
    assert percent(figures["detection_auc"]) in text
    assert percent(figures["nearer_to_training"]) in text
    assert f"{figures['association_data_0_1']['value']:.2f}" in text
    assert not re.search(r"<td>\w+_\d+</td>", page)  # figures of one column stand where they belong


def test_a_model_that_is_the_best_simple_one_is_not_called_better(report):
    page, figures, _ = report
    assert figures["gain_over_tree"]["value"] == pytest.approx(0, abs=1e-6)
    assert "predicts about as well as the best simple model" in page


# -- the verdict in words ---------------------------------------------------------------------------------


def words(**changed):
    values = {
        "test_rows": (2000, None), "nll": (20.0, 0.1), "independent_nll": (25.0, 0.1), "tree_nll": (21.0, 0.1),
        "gain_over_independent": (5.0, 0.1), "gain_over_tree": (1.0, 0.05), "detection_auc": (0.51, 0.01),
        "detection_without_0": (0.5, None), "detection_without_1": (0.5, None), "detection_without_2": (0.51, None),
        "usefulness_real": (0.8, None), "usefulness_samples": (0.79, None), "usefulness_gain": (-0.01, 0.01),
        "sample_copies": (0.0, 0.001), "held_out_copies": (0.0, 0.001), "nearer_to_training": (0.505, 0.01),
        "nearer_p": (0.3, None), "outside_samples": (0.001, 0.001), "outside_held_out": (0.001, 0.001),
    } | changed  # fmt: skip
    figures = {
        name: Row(case="", model="", seed=0, metric=name, value=value, error=error, unit="")
        for name, (value, error) in values.items()
    }
    x = torch.zeros(1, 3)
    section = verdict(splits_of(x, x, x), figures)
    return section.texts[0], {point["what"]: point for point in section.points}


NEW, TOLD, USEFUL, REPEATS, DOUBTS = (
    "Does it predict new rows?",
    "Can samples be told from rows?",
    "Are samples as useful?",
    "Does it repeat its training rows?",
    "Not to trust",
)


def test_a_good_model_is_called_one():
    sentence, points = words()
    assert sentence == (
        "On 2,000 rows that it never saw, the model predicts better than the best simple model, and its samples are "
        "hardly told from real rows."
    )
    assert [points[what]["mark"] for what in (NEW, TOLD, USEFUL, REPEATS)] == ["met"] * 4
    assert "a tree of pairs" in points[NEW]["text"]
    assert "2.7 times the probability" in points[NEW]["text"]  # e to the power of 1 nat


def test_a_bad_model_is_called_one():
    sentence, points = words(
        gain_over_tree=(-1.0, 0.1), detection_auc=(0.9, 0.01), detection_without_0=(0.89, None),
        detection_without_1=(0.6, None), detection_without_2=(0.9, None), usefulness_samples=(0.1, None),
        usefulness_gain=(-0.7, 0.02),
    )  # fmt: skip
    assert "predicts worse than the best simple model" in sentence and "mostly told" in sentence
    assert [points[what]["mark"] for what in (NEW, TOLD, USEFUL)] == ["missed"] * 3
    assert "number" in points[TOLD]["text"] and "12 % of the skill" in points[USEFUL]["text"]


def test_rows_that_a_model_calls_impossible_are_not_an_improvement():
    points = words(gain_over_tree=(-math.inf, None), gain_over_independent=(-math.inf, None), nll=(math.inf, None))[1]
    assert points[NEW]["mark"] == "missed" and "impossible" in points[NEW]["text"]


def test_what_chance_may_give_is_not_called_a_difference():
    sentence, points = words(gain_over_tree=(0.1, 0.08))
    assert "about as well as" in sentence and points[NEW]["mark"] == "" and "chance" in points[NEW]["text"]
    sentence, points = words(test_rows=(50, None), detection_auc=(0.6, 0.06), usefulness_gain=(-0.2, 0.2))
    assert "too few to say" in sentence
    assert points[TOLD]["answer"] == points[USEFUL]["answer"] == "Too few rows to say."
    assert "50 held-out rows are few" in points[DOUBTS]["text"]


def test_memory_is_copies_beyond_those_of_held_out_rows_or_nearness_beyond_chance():
    assert words(sample_copies=(0.3, 0.01))[1][REPEATS]["mark"] == "missed"
    both = words(sample_copies=(0.3, 0.01), held_out_copies=(0.3, 0.01), nll_not_trained_on=(22.0, 0.1))[1]
    assert both[REPEATS]["mark"] == "met"
    assert "30 % of the held-out rows" in both[DOUBTS]["text"] and "22.0" in both[DOUBTS]["text"]
    assert words(nearer_to_training=(0.8, 0.01), nearer_p=(1e-9, None))[1][REPEATS]["answer"] == "Yes."
    assert words(nearer_to_training=(0.55, 0.01), nearer_p=(1e-3, None))[1][REPEATS]["answer"] == "A little."


def test_what_lies_outside_and_what_is_doubtful_is_not_to_be_trusted():
    text = words(outside_samples=(0.2, 0.01))[1][DOUBTS]["text"]
    assert "20.0 ± 1.0 % of the samples" in text and "the number of the row." in text


def test_values_as_a_person_reads_them():
    assert value_text(Column("day", ColumnKind.DATE, step=1.0, format="%Y-%m-%d"), 1.0) == "1970-01-02"
    assert value_text(Column("x", ColumnKind.NUMBER), -1234567.25) == "−1,234,567"
    assert value_text(Column("x", ColumnKind.NUMBER, step=0.01), 0.1 + 0.2) == "0.3"
    assert value_text(Column("x", ColumnKind.NUMBER), math.nan) == "missing"
