"""Questions to a model of a table: columns given others, rows, what is odd in a row, and two columns together."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from surflow._internal.random import seeded
from surflow.app.explore.frames import Frame, exact_text
from surflow.app.explore.questions import Answer, Asked, Explorer, entries, heat, shares, whole
from surflow.data.tables.schema import OTHER, ColumnKind
from surflow.distributions.column_marginals import ColumnMarginal, Region
from surflow.errors import ConfigError, DataError
from surflow.tables.given import regions
from surflow.tables.model import FEW, TableModel

# Draws of the columns that are bounded: few enough for an answer at once.
_DRAWS, _DRAWS_OF_PAIRS = 32, 12
_ROWS = 6
# Rows whose quantiles are the ends of the bars.
_DRAWN, _ENDS = 2000, (0.002, 0.998)


class Tables(Explorer):
    """Asks a :class:`TableModel`.

    Args:
        model: whose columns are asked.
        name: of the data.
    """

    kind = "table"

    def __init__(self, model: TableModel, name: str) -> None:
        self.model, self.base = model.eval(), model._base
        self.title = f"{name}: ask the model"
        columns = model.columns
        many = f"the {len(columns)} columns" if len(columns) > 1 else "the column"
        self.sentence = f"Fix or bound any of {many} of {name}, and see at once what the model expects of the others."
        self.frames: dict[int, Frame] = {}
        drawn = model.flow.sample(_DRAWN, seed=0).double()
        for i, column in enumerate(columns):
            if not column.kind.named:
                values = drawn[:, i][drawn[:, i].isfinite()]
                ends = torch.quantile(values, torch.tensor(_ENDS).double()) if len(values) else torch.zeros(2)
                self.frames[i] = Frame(column, *ends.tolist())

    def describe(self) -> Answer:
        layout, columns = self.base.layout, []
        for i, column in enumerate(self.model.columns):
            shown: Answer = {"name": column.name, "type": column.type, "missing": int(layout.missing_at[i]) >= 0}
            shown |= self.frames[i].describe() if i in self.frames else {"names": self._names(i)}
            columns.append(shown)
        return {"columns": columns, "context": [], "exact": True}

    @property
    def questions(self) -> dict[str, Callable[[Asked], Answer]]:
        return {
            "describe": lambda asked: self.describe(),
            "columns": self.columns,
            "rows": self.rows,
            "explain": self.explain,
            "pair": self.pair,
        }

    def _names(self, i: int) -> list[str]:
        """The names of a column, without the missing one."""
        column = self.model.columns[i]
        return list(column.categories) if column.kind is ColumnKind.BOOLEAN else [*column.categories, OTHER]

    # -- what is known --------------------------------------------------------------------------------

    def _given(self, asked: Asked) -> dict[str, object]:
        """What the page says of columns, as :meth:`TableModel.sample` takes it."""
        return {name: self._stated(name, said) for name, said in entries(asked, "given").items()}

    def _stated(self, name: str, said: object) -> object:
        if not isinstance(said, dict):
            raise ConfigError(f"{name!r} expects names, ends or missing, got {said!r}")
        if said.get("missing") is True:
            return None
        names = said.get("names")
        if isinstance(names, list) and names and all(isinstance(one, str | None) for one in names):
            return names
        ends = [said.get(end, "") for end in ("from", "to")]
        low, high = (str(end).strip() for end in ends)
        if not (low or high) or any(not isinstance(end, str) for end in ends):
            raise ConfigError(f"{name!r} expects a value, or a least or a greatest one")
        if low == high:
            return low
        return ", ".join(f"{sign}{end}" for sign, end in ((">=", low), ("<=", high)) if end)

    def _known(self, given: dict[str, object]) -> tuple[Tensor, list[int], dict[int, Region]]:
        """A row with what is known in it, the columns known, and regions of others."""
        stated = regions(self.model.columns, given)
        known = {i: region.points[0] for i, region in stated.items() if len(region.points) == 1}
        x = torch.zeros(1, len(self.model.columns), dtype=torch.float64)
        for i, value in known.items():
            x[0, i] = value
        return x, list(known), {i: region for i, region in stated.items() if i not in known}

    # -- columns --------------------------------------------------------------------------------------

    def columns(self, asked: Asked) -> Answer:
        """Every column that is not fixed, given what is; those with bounds within these."""
        given = self._given(asked)
        x, known, where = self._known(given)
        try:
            found, weight = self.base.marginals(x, known, where, draws=_DRAWS, seed=0)
        except DataError as error:
            raise DataError(f"no row has a probability under all of this: {_said(given)}. Free or widen one") from error
        answer = {self.model.columns[i].name: self._shown(i, marginal, weight) for i, marginal in found.items()}
        effective = float(1 / weight.square().sum() / len(weight))
        few = bool(where) and effective < FEW
        return {"columns": answer, "draws": len(weight) if where else 0, "effective": round(effective, 4), "few": few}

    def _shown(self, i: int, marginal: ColumnMarginal, weight: Tensor) -> Answer:
        share = (marginal.shares * weight[:, None]).sum(0)
        cells = (self._cells(i, marginal) * weight[:, None]).sum(0)
        at = int(self.base.layout.missing_at[i])
        missing = float(share[at]) if at >= 0 else 0.0
        if i not in self.frames:
            return {"shares": shares(cells), "missing": round(missing, 5)}
        atoms = marginal.values.isfinite()
        found = list(zip(marginal.values[atoms].tolist(), share[atoms].tolist(), strict=True))
        return self.frames[i].show(cells, missing, found)

    def _cells(self, i: int, marginal: ColumnMarginal) -> Tensor:
        """Probabilities of the names or the bars of a column, (lines, cells)."""
        if i in self.frames:
            frame, atoms = self.frames[i], marginal.values.isfinite()
            mass = marginal.mass(frame.low, frame.high)
            bars = frame.bar_of(marginal.values[atoms]).expand(len(mass), -1)
            return mass.scatter_add(1, bars, marginal.shares[:, atoms])
        names = len(self._names(i))
        if marginal.rest < 0:
            return marginal.shares[:, :names]
        at = torch.arange(names, dtype=torch.float64)[None]  # names in an order lie on a grid
        return marginal.mass(at - 0.5, at + 0.5)

    # -- rows -----------------------------------------------------------------------------------------

    def rows(self, asked: Asked) -> Answer:
        """Rows drawn given what is said."""
        x, effective = self.model.sample_rows(_ROWS, given=self._given(asked), seed=whole(asked, "seed"))
        columns = self.model.columns
        texts = [
            [None if math.isnan(v) else exact_text(columns[i], v) for i, v in enumerate(row)] for row in x.tolist()
        ]
        return {"rows": texts, "few": effective < FEW}

    def explain(self, asked: Asked) -> Answer:
        """The nats of a row, value by value, and the oddest one of them."""
        row, names = entries(asked, "row"), [column.name for column in self.model.columns]
        left = [name for name in names if name not in row]
        if left:
            raise ConfigError(f"a row has a value in every column, or is missing there: nothing is said of {left}")
        x, known, _ = self._known({name: row[name] for name in row})
        if len(known) < len(names):
            raise ConfigError("a row has one value in every column, and no ranges")
        found = dict(self.model.explained(x))
        nats = [float(found[f"nats of {name}"][0]) for name in names]
        finite = [value if math.isfinite(value) else None for value in nats]
        total = float(found["log_prob"][0])
        return {
            "log_prob": total if math.isfinite(total) else None,
            "oddest": str(found["oddest"][0]),
            "value": _text(found["value"][0]),
            "expected": _text(found["expected"][0]),
            "nats": finite,
            "usual": self.model.usual.tolist(),
        }

    # -- two columns ------------------------------------------------------------------------------------

    @torch.no_grad()
    def pair(self, asked: Asked) -> Answer:
        """Two columns together, given what is said of all."""
        names = [column.name for column in self.model.columns]
        a, b = (self._index(asked.get(axis), names) for axis in ("x", "y"))
        x, known, where = self._known(self._given(asked))
        fixed = [names[i] for i in (a, b) if i in known]
        if a == b or fixed:
            what = f"{fixed[0]!r} is fixed" if fixed else "both are the same column"
            raise ConfigError(f"two different columns that are free are seen together, and {what}")
        own = {i: where.pop(i) for i in (a, b) if i in where}
        x, _, mask = self.base._with_known(x, known, None)
        weight = torch.ones(1, dtype=torch.float64)
        with seeded(0):
            if where:
                x, mask, share = self.base._propose(x, mask, self.base._regions(mask, where), None, _DRAWS_OF_PAIRS)
                weight = share[0]
            along = self._cells(a, self.base._marginals(x, mask, [a], None, drawing=bool(where))[0])
            at, axis = self._centres(a), torch.tensor([a])
            lines, held = x.repeat_interleave(len(at), 0), mask.repeat_interleave(len(at), 0)
            lines = lines.index_copy(1, axis, at.repeat(len(x))[:, None].to(x.dtype))
            held = held.index_fill(1, axis, value=True)
            across = self._cells(b, self.base._marginals(lines, held, [b], None, drawing=bool(where))[0])
        joint = (weight[:, None, None] * along[..., None] * across.reshape(len(x), len(at), -1)).sum(0)
        joint = joint * self._inside(a, own)[:, None] * self._inside(b, own)
        joint = joint[: self._shown_cells(a), : self._shown_cells(b)]
        total = float(joint.sum())
        if total <= 0:
            raise DataError("no row has a probability under all of this: free or widen a column")
        density = (joint / total).numpy()
        ends = {axis: self._axis(i) for axis, i in (("x", a), ("y", b))}
        return ends | {"picture": heat(density, float(density.max())), "draws": len(weight) if where else 0}

    def _index(self, name: object, names: list[str]) -> int:
        if name not in names:
            raise ConfigError(f"there is no column {name!r}: expected one of {names}")
        return names.index(str(name))

    def _centres(self, i: int) -> Tensor:
        if i not in self.frames:
            return torch.arange(len(self._names(i)), dtype=torch.float64)
        centres = self.frames[i].centres
        return self.base.layout.snapped(centres, torch.full_like(centres, i, dtype=torch.long))

    def _inside(self, i: int, own: dict[int, Region]) -> Tensor:
        """Which cells of a column lie in its region."""
        at = self._centres(i)
        if i not in own:
            return torch.ones(len(at), dtype=torch.float64)
        inside = torch.isin(at, torch.tensor(own[i].points, dtype=torch.float64))
        for low, high in own[i].intervals:
            inside = inside | ((at >= low) & (at <= high))
        return inside.double()

    def _axis(self, i: int) -> Answer:
        name = self.model.columns[i].name
        if i in self.frames:
            return {"name": name, "ends": self.frames[i].describe()["ends"]}
        return {"name": name, "names": self._names(i)[: self._shown_cells(i)]}

    def _shown_cells(self, i: int) -> int | None:
        """How many cells of a column are shown: of names those that the schema knows."""
        return None if i in self.frames else len(self.model.columns[i].categories)


def _said(given: dict[str, object]) -> str:
    return ", ".join(f"{name}: {'missing' if value is None else value}" for name, value in given.items())


def _text(value: object) -> str | None:
    return None if value is None or value is torch.nan or str(value) == "--" else str(value)
