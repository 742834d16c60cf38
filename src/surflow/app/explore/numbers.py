"""Questions to a flow on rows of plain numbers, answered by rows that are drawn: their number is said."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from surflow._internal.random import seeded
from surflow.app.explore.frames import Frame, exact_text
from surflow.app.explore.questions import (
    Answer,
    Asked,
    Explorer,
    context_fields,
    context_of,
    entries,
    points,
    rows_of,
    whole,
)
from surflow.app.output import number_column
from surflow.app.runs import DataSpec
from surflow.data import Column
from surflow.errors import ConfigError, DataError
from surflow.evaluation.likelihood import draws, log_probs
from surflow.flow import Flow
from surflow.plots import frame
from surflow.tables.given import regions

_DRAWN = 10_000
_FEWEST = 20
_ROWS, _POINTS = 6, 1500


class Numbers(Explorer):
    """Asks a flow on vectors, whose conditionals have no closed form: of many rows those that fit are looked at.

    Args:
        flow: whose rows are drawn.
        facts: of the data.
    """

    kind = "table"

    def __init__(self, flow: Flow, facts: DataSpec) -> None:
        self.flow, self.encoding = flow, facts.context
        self.title = f"{facts.name}: ask the model"
        many = math.prod(facts.event_shape)
        self.sentence = (
            f"Bound any of the {many} columns of {facts.name}, and see at once what the model expects of the others."
        )
        if facts.schema is not None:
            self.names: list[Column] = facts.schema.columns
        else:
            self.names = [number_column(name) for name in facts.columns or [f"x{i + 1}" for i in range(many)]]
        fields = {field["name"]: field["value"] for field in context_fields(self.encoding)}
        self.drawn_for, self.drawn = fields, self._draw(fields)
        self.frames = [Frame(c, *ends) for c, ends in zip(self.names, frame(self.drawn), strict=True)]

    def describe(self) -> Answer:
        columns = [
            {"name": c.name, "type": c.type, "missing": False} | shown.describe()
            for c, shown in zip(self.names, self.frames, strict=True)
        ]
        return {"columns": columns, "context": context_fields(self.encoding), "exact": False}

    @property
    def questions(self) -> dict[str, Callable[[Asked], Answer]]:
        return {
            "describe": lambda asked: self.describe(),
            "columns": self.columns,
            "rows": self.rows,
            "explain": self.explain,
            "pair": self.pair,
        }

    def _draw(self, context: dict[str, object]) -> Tensor:
        given = rows_of(context_of(self.encoding, {"context": context}), _DRAWN)
        with seeded(0):
            x = draws(self.flow, _DRAWN, given).double()
        return x[x.isfinite().all(1)]

    def _fitting(self, asked: Asked) -> Tensor:
        """The drawn rows that lie within what is said."""
        context = entries(asked, "context")
        if context != self.drawn_for:
            self.drawn, self.drawn_for = self._draw(context), dict(context)
        fits = torch.ones(len(self.drawn), dtype=torch.bool)
        for name, said in entries(asked, "given").items():
            i, low, high = self._ends(name, said)
            fits &= (self.drawn[:, i] >= low) & (self.drawn[:, i] <= high)
        found = self.drawn[fits]
        if len(found) < _FEWEST:
            raise DataError(
                f"only {len(found)} of {len(self.drawn):,} drawn rows lie within all of this, too few to show: "
                "widen or free a column"
            )
        return found

    def _ends(self, name: str, said: object) -> tuple[int, float, float]:
        stated = [] if not isinstance(said, dict) else [str(said.get(end, "")).strip() for end in ("from", "to")]
        if not any(stated):
            raise ConfigError(f"{name!r} expects a least or a greatest value")
        low, high = stated
        text = ", ".join(f"{sign}{end}" for sign, end in ((">=", low), ("<=", high)) if end)
        ((i, region),) = regions(self.names, {name: text}).items()
        least, most = region.intervals[0]
        if least == most:
            raise ConfigError(f"no drawn row has exactly this value of {name!r}: state a range")
        half = (self.names[i].step or 0.0) / 2  # the flow knows of no grid: what is rounded to a value counts
        return i, least - half, most + half

    def columns(self, asked: Asked) -> Answer:
        """Every column of the drawn rows that lie within what is said."""
        found, answer = self._fitting(asked), {}
        for i, (column, shown) in enumerate(zip(self.names, self.frames, strict=True)):
            bars = shown.bar_of(found[:, i].contiguous())
            mass = torch.bincount(bars, minlength=len(shown.centres)).double() / len(found)
            answer[column.name] = shown.show(mass)
        return {"columns": answer, "rows": len(found), "of": len(self.drawn)}

    def rows(self, asked: Asked) -> Answer:
        """Some of the drawn rows that lie within what is said."""
        found = self._fitting(asked)
        start = whole(asked, "seed") * _ROWS % len(found)
        picked = found.roll(-start, 0)[:_ROWS]
        return {"rows": [[exact_text(self.names[i], v) for i, v in enumerate(row)] for row in picked.tolist()]}

    def explain(self, asked: Asked) -> Answer:
        """The log-density of a row, and the share of drawn rows that are less likely."""
        row = entries(asked, "row")
        stated = regions(self.names, row)
        if len(stated) < len(self.names) or any(
            region.intervals or len(region.points) > 1 for region in stated.values()
        ):
            raise ConfigError(f"a row has one value in every of the {len(self.names)} columns")
        x = torch.tensor([[stated[i].points[0] for i in range(len(self.names))]], dtype=torch.float64)
        context = context_of(self.encoding, asked)
        some = self.drawn[:1000]
        with seeded(0):
            value = log_probs(self.flow, x.float(), context, 100)[0].item()
            others = log_probs(self.flow, some.float(), rows_of(context, len(some)), 10)
        below = float((others < value).double().mean())
        return {"log_prob": value if math.isfinite(value) else None, "below": below, "exact": self.flow.exact}

    def pair(self, asked: Asked) -> Answer:
        """Two columns of the drawn rows that lie within what is said."""
        names = [column.name for column in self.names]
        if asked.get("x") not in names or asked.get("y") not in names or asked["x"] == asked["y"]:
            raise ConfigError(
                f"expected two different columns of {names}, got {asked.get('x')!r} and {asked.get('y')!r}"
            )
        a, b = names.index(asked["x"]), names.index(asked["y"])
        found = self._fitting(asked)
        axes = {
            axis: {"name": names[i], "low": float(self.frames[i].edges[0]), "high": float(self.frames[i].edges[-1])}
            | {"ends": self.frames[i].describe()["ends"]}
            for axis, i in (("x", a), ("y", b))
        }
        return axes | {"points": points(found[:_POINTS][:, [a, b]]), "rows": min(len(found), _POINTS)}
