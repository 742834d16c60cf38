"""The sections of what the report is made from: the data, the command, the configuration, the machine."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from surflow.app.page import Section, plus_minus
from surflow.app.report.text import shape_text, value_text
from surflow.data import Schema, Splits
from surflow.evaluation.memory import copies
from surflow.evaluation.relations import linear_relations
from surflow.evaluation.results import machine, versions
from surflow.supports import Integers


def data(splits: Splits) -> Section:
    """The parts of the data, their columns and their context."""
    section = Section("data", "Data", [splits.description])
    parts = (("training", splits.train), ("validation", splits.validation), ("test", splits.test))
    lines = [[name, f"{len(part.x):,}", shape_text(tuple(part.x.shape[1:]))] for name, part in parts]
    section.tables.append({"head": ["part", "rows", "shape of an event"], "rows": lines, "numbers": [1]})
    if isinstance(splits.support, Integers):
        section.texts.append(f"The data are integers from 0 to {splits.support.levels - 1}.")
    if splits.schema is not None:
        section.tables.append(columns_table(splits.schema))
        section.notes += [*splits.schema.warnings, *_found(splits)]
    elif splits.columns:
        x = splits.train.x.flatten(1).double()
        lines = [
            [str(name)]
            + [plus_minus(f(x[:, i]).item(), None)[0] for f in (Tensor.mean, Tensor.std, Tensor.min, Tensor.max)]
            for i, name in enumerate(splits.columns)
        ]
        head = ["column", "mean", "standard deviation", "least", "greatest"]
        section.tables.append({"head": head, "rows": lines, "numbers": [1, 2, 3, 4]})
    if splits.context is not None:
        lines = []
        for column in splits.context.columns:
            if column.categories is not None:
                shown = ", ".join(map(str, column.categories[:30])) + (" …" if len(column.categories) > 30 else "")
                lines.append([str(column.name), f"{len(column.categories)} categories", shown])
            else:
                lines.append([str(column.name), "number", f"mean {column.mean:.4g}, scale {column.scale:.4g}"])
        section.tables.append({"head": ["context", "kind", "values"], "rows": lines, "numbers": []})
    return section


def _found(splits: Splits) -> list[str]:
    """What the rows of a table show that its schema does not know: sums of columns, and rows in two parts."""
    said = []
    for column, others in linear_relations(splits.train.x, splits.column_support):
        names = [repr(splits.columns[i]) for i in (column, *others)]
        if len(others) > 1:  # two that are one column are among the doubts
            said.append(f"{names[0]} is a linear function of {', '.join(names[1:-1])} and {names[-1]}")
    for name, part in (("validation", splits.validation.x), ("test", splits.test.x)):
        if known := int(copies(part, splits.train.x).sum()):
            said.append(f"{known:,} of {len(part):,} {name} rows are equal to a training row in every column")
    return said


def columns_table(schema: Schema) -> dict[str, Any]:
    """What every column is, between which ends its values lie, and why it is taken for that."""
    lines = []
    for column in schema:
        ends = ["", ""]
        if column.kind.numeric and column.least is not None and column.most is not None:
            ends = [value_text(column, value) for value in (column.least, column.most)]
        elif column.kind.named:
            shown = ", ".join(column.categories[:6]) + (", …" if len(column.categories) > 6 else "")
            ends = [shown, ""]
        missing = schema.missing(column)
        kind = f"{column.type}, in {column.unit}" if column.unit else column.type
        lines.append([column.name, kind, *ends, missing, column.evidence])
    head = ["column", "is", "from", "to", "missing", "because"]
    return {"head": head, "rows": lines, "numbers": [4]}


def made(command: str, config_text: str) -> Section:
    """The command, the configuration, the versions and the machine."""
    blocks = [{"title": "Command", "text": command}]
    if config_text.strip():
        blocks.append({"title": "Configuration", "text": config_text.strip()})
    found = [[name, version] for name, version in versions().items()]
    found += [[name, str(value)] for name, value in machine().items()]
    table = {"head": ["what", "which"], "rows": found, "numbers": []}
    return Section("made", "How it was made", tables=[table], blocks=blocks)
