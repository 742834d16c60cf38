"""TableModel: a distribution of rows that knows the names of its columns and the values that a file writes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor

from surflow._internal.fit_options import FitOptions
from surflow.data.readers.frame import Frame
from surflow.data.readers.raw import Raw
from surflow.data.rows import table_rows
from surflow.data.sources import Source, read
from surflow.data.table import existing
from surflow.data.tables.columns import decode, encode
from surflow.data.tables.schema import Column, Schema
from surflow.data.tables.support import support_of
from surflow.distribution import Distribution, Fitted
from surflow.distributions.column_distribution import ColumnDistribution, rows_to_account
from surflow.errors import ConfigError, DataError, ShapeError, SupportError
from surflow.flow import Flow
from surflow.tables import defaults
from surflow.tables.explanation import explained
from surflow.tables.given import regions
from surflow.tables.holes import fills
from surflow.tables.libraries import Decoded, fill, library_of, make, plain, typed
from surflow.tables.table import Table

if TYPE_CHECKING:
    from surflow.tables.libraries import Fill, Tabular

Given: TypeAlias = Mapping[str, object]

# Rows of the validation set of which the usual nats of every column are the mean.
_USUAL_ROWS = 300
# Below this effective share of the proposals, samples of several ranges are few that repeat.
FEW = 0.1


class TableModel(Distribution):
    r"""A distribution of the rows of a table, asked by the names of columns, with values as the table writes them.

    It translates names and values, and hands on to a distribution of rows such as :class:`~surflow.ColumnMixture`,
    whose conditionals are exact. On tensors, as ``log_prob`` and ``fit`` take them, it is that distribution.
    ``sf.fit(model, table)`` trains it as suits a table of this size, and holds validation rows out itself.

    Tables come out as they came in: ``sample`` gives a table of the library (pandas, polars, pyarrow) of the table that
    the schema was made of, ``explain`` and ``impute`` of the library of their rows, and what is a file, an array or a
    dictionary comes out as a dictionary of arrays.

    Args:
        flow: without layers and without context, its base the distribution of the rows; ``sf.presets.table(schema)``
            makes it.
        schema: of the table, or its JSON. Columns that are not used are not modelled.

    Attributes:
        flow: the distribution of the rows as numbers; ``model.flow.sample`` draws tensors.
        schema: of the table.

    Raises:
        ShapeError: for a flow with layers, a context, or a base of another kind.
        SupportError: if the schema says another support than the flow's.

    >>> import numpy as np, surflow as sf
    >>> rng = np.random.default_rng(0)
    >>> table = sf.Table({"pet": rng.choice(["cat", "dog"], 400), "age": rng.integers(0, 15, 400)})
    >>> model = sf.presets.table(table.schema, width=16, layers=1, seed=0)
    >>> history = sf.fit(model, table, steps=20, progress=False)
    >>> rows = model.sample(3, given={"pet": "cat"}, seed=0)
    >>> rows["pet"].tolist()
    ['cat', 'cat', 'cat']
    >>> model.log_prob(rows, of=["age"], given=["pet"]).shape
    torch.Size([3])
    """

    reparameterized = False
    usual: Tensor

    def __init__(self, flow: Flow, schema: Schema | str) -> None:
        schema = Schema.from_dict(json.loads(schema)) if isinstance(schema, str) else schema
        if not isinstance(flow, Flow) or len(flow.transforms) or not isinstance(flow.base, ColumnDistribution):
            raise ShapeError(
                "a TableModel stands on a flow without layers whose base is a distribution of rows, such as AnyOrder: "
                "sf.presets.table(schema) makes one"
            )
        if flow.context_shape is not None:
            raise ShapeError(
                "a TableModel takes no context: any of its columns may be given. Train these columns with the others"
            )
        if support_of(schema.used) != flow.support:
            raise SupportError(f"the schema says {support_of(schema.used)!r}, and the flow lives on {flow.support!r}")
        super().__init__(flow.event_shape, support=flow.support)
        self.flow, self.schema = flow, schema
        self.arguments["schema"] = json.dumps(schema.to_dict())
        self.register_buffer("usual", torch.zeros(self.event_shape, dtype=torch.float64))

    @property
    def columns(self) -> list[Column]:
        """The columns that it learned, in the order of its tensors."""
        return self.schema.used

    @property
    def _base(self) -> ColumnDistribution:
        assert isinstance(self.flow.base, ColumnDistribution)
        return self.flow.base

    # -- an ordinary distribution ---------------------------------------------------------------------

    @property
    def exact(self) -> bool:
        return self.flow.exact

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self.flow._log_prob(x, context)

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.flow._draw(n, context)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return self.flow._sample(n, context)

    def elbo(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.flow.elbo(x, context)

    def _type_of_rows(self, kind: torch.dtype) -> torch.dtype:
        return self.flow._type_of_rows(kind)

    def initialize(self, x: Tensor, context: Tensor | None = None, *, weight: Tensor | None = None) -> None:
        self.flow.initialize(x, context, weight=weight)

    @torch.no_grad()
    def weigh(self, x: Tensor, context: Tensor | None = None) -> None:
        """Weigh the parts of the distribution by rows that it was not trained on, and see what is usual in columns.

        Args:
            x: rows (n, columns), at least one.
            context: None.
        """
        self.flow.weigh(x, context)
        self.see_usual(x)

    @torch.no_grad()
    def see_usual(self, x: Tensor) -> None:
        """Take the mean nats of every value given the others of its row as what is usual, for ``explain``.

        Args:
            x: rows (n, columns) that it was not trained on, of which some are looked at.
        """
        each = self._base.account(x[: rows_to_account(x.shape[1], _USUAL_ROWS)]).double()
        each = each[each.isfinite().all(1)]
        if len(each):
            self.usual.copy_(each.mean(0))

    def _ready_to_fit(self, data: Fitted) -> tuple[Fitted | Tensor, FitOptions]:
        if not isinstance(data, Table):
            return data, {}
        if [c.name for c in data.schema.used] != [c.name for c in self.columns]:
            x = torch.from_numpy(self._numbers(data.raw, [c.name for c in self.columns]))
        else:
            x = data.x
        rows, columns = x.shape
        held_out = min(defaults.VALIDATION, defaults.most_validation(columns) / rows)
        return x, FitOptions(validation=held_out) | defaults.training(round(rows * (1 - held_out)), columns)

    def save(self, path: str | Path) -> None:
        """Write the model to one .safetensors file; ``sf.load`` reads it back.

        Args:
            path: of the file.

        Raises:
            FileError: for another suffix, or a folder that cannot be written.
        """
        from surflow.serialization.files import save

        save(self, path)

    # -- rows by name -----------------------------------------------------------------------------------

    def _number_of(self, name: str) -> int:
        self.schema.only([name])  # says which name is near
        names = [column.name for column in self.columns]
        if name not in names:
            raise ConfigError(f"the column {name!r} is left out of the model ({self.schema[name].evidence})")
        return names.index(name)

    def _raw(self, rows: Source | Table) -> Raw:
        raw = rows.raw if isinstance(rows, Table) else read(rows)
        if raw.frame is None:
            raise DataError(f"{raw.origin} holds no table: expected one with the columns of the model")
        return raw

    def _numbers(self, raw: Raw, names: Sequence[str]) -> np.ndarray:
        return table_rows(raw, names, self.schema, self.support)

    def _rows_of(self, rows: Source | Table, needed: Sequence[int]) -> tuple[Tensor, Frame]:
        """Rows as numbers; what is not needed is NaN."""
        raw = self._raw(rows)
        x = np.full((raw.rows, len(self.columns)), np.nan)
        x[:, list(needed)] = self._numbers(raw, [self.columns[i].name for i in needed])
        assert raw.frame is not None
        return torch.from_numpy(x), raw.frame

    def _inside(self, x: Tensor) -> Tensor:
        return self._base.layout.inside(x, self._base.layout.entries(x))

    def _check(self, x: Tensor, known: Tensor, frame: Frame) -> None:
        """Raise for known values that the support does not hold, with their row and column."""
        bad = (known & ~self._inside(x)).nonzero()
        if len(bad):
            row, i = bad[0].tolist()
            column = self.columns[i]
            value = plain(decode(column, x[row : row + 1, i].numpy()))[0]
            raise DataError(
                f"{len(bad)} values of {frame.origin} are none that the model knows, the first in {frame.where(row)}, "
                f"column {column.name!r}: {value!r}, where a {column.type} is expected"
            )

    def log_prob(  # type: ignore[override]
        self,
        x: Source | Table | Tensor,
        context: Tensor | None = None,
        *,
        importance_samples: int | None = None,
        of: Sequence[str] | None = None,
        given: Sequence[str] = (),
    ) -> Tensor:
        """Log-probability of every row in nats, or of some of its columns given others; (n,).

        Values on a grid, names and missing values have probabilities, numbers of full resolution densities.

        Args:
            x: a table of any library, a path, or rows as a tensor.
            context: None.
            importance_samples: without effect, as the distribution is exact.
            of: the columns asked for; by default all that are not given.
            given: the columns that are known. Columns that are in neither may be anything, or not there.

        Raises:
            ConfigError: for a column that is not there.
            DataError: for values that are none of a column's.
        """
        asked = None if of is None and not given else [self._number_of(name) for name in given]
        if asked is not None:
            wanted = [self._number_of(n) for n in of] if of is not None else []
            wanted = wanted or [i for i in range(len(self.columns)) if i not in asked]
            twice = [self.columns[i].name for i in asked if i in wanted]
            if twice:
                raise ConfigError(f"the column {twice[0]!r} is asked for and given: expected one")
        if isinstance(x, Tensor):
            if asked is None:
                return super().log_prob(x, context)
            return self._base.log_prob_of(x, wanted, asked, context)
        with torch.no_grad():
            if asked is None:
                return super().log_prob(self._rows_of(x, range(len(self.columns)))[0])
            rows, frame = self._rows_of(x, sorted([*wanted, *asked]))
            self._check(rows, self._base._mask(asked).expand_as(rows), frame)
            return self._base.log_prob_of(rows, wanted, asked)

    # -- drawing ------------------------------------------------------------------------------------------

    def sample(  # type: ignore[override]
        self, n: int = 1, *, given: Given | None = None, seed: int | None = None
    ) -> Tabular:
        """Rows like those of the table, of its library.

        Args:
            n: how many.
            given: what is known of them, by column: a value; a list or a set; None for missing; of numbers and
                dates also comparisons in a text, ">=60" or ">=60, <70". Values and one range or set are conditioned on
                exactly; with several, rows are drawn by importance weights, and a warning says if few of the
                proposals count.
            seed: of the draws.

        Raises:
            ConfigError: for an unknown column.
            DataError: for a value or a range that the column cannot have.
        """
        x, effective = self.sample_rows(n, given=given, seed=seed)
        if effective < FEW:
            warnings.warn(
                f"only {effective:.1%} of the proposals count: the ranges hardly ever hold together, and samples may "
                "repeat or be off. State fewer or wider ranges",
                stacklevel=2,
            )
        return make(self.schema.library, self.decoded(x))

    @torch.no_grad()
    def sample_rows(self, n: int, *, given: Given | None = None, seed: int | None = None) -> tuple[Tensor, float]:
        """The same as numbers, (n, columns), and the effective share of the proposals they are drawn from.

        Args:
            n, given, seed: as for :meth:`sample`.
        """
        stated = regions(self.columns, given or {})
        known = {i: r.points[0] for i, r in stated.items() if len(r.points) == 1 and not r.intervals}
        where = {i: region for i, region in stated.items() if i not in known}
        if not stated:
            return self.flow.sample(n, seed=seed).double(), 1.0
        x = torch.zeros(n, len(self.columns), dtype=torch.float64)
        for i, value in known.items():
            x[:, i] = value
        if not where:
            return self._base.sample_given(x, list(known), seed=seed).double(), 1.0
        try:
            drawn, effective = self._base.sample_where(x, list(known), where, seed=seed)
        except DataError as error:
            names = ", ".join(f"{self.columns[i].name}: {(given or {})[self.columns[i].name]}" for i in where)
            raise DataError(f"no row has a probability where {names}: state wider ranges") from error
        return drawn.double(), effective

    def decoded(self, x: Tensor) -> list[Decoded]:
        """Rows as numbers, (n, columns), as values by the name of the column, in the types of the table.

        Args:
            x: the rows.
        """
        values = x.double().numpy()
        return [(c.name, typed(c, decode(c, values[:, i]), c.stored)) for i, c in enumerate(self.columns)]

    # -- what is odd, and what is missing -------------------------------------------------------------------

    def explain(self, rows: Source | Table, *, progress: bool = False) -> Tabular:
        """Which value of a row is odd: for every row of a table, in its order,

        - ``log_prob``: nats of the row;
        - ``oddest``: the column whose value is the furthest below what is usual in the column, in nats given all others
          of the row; ``value``, what stands there, and ``expected``, the median or the most likely value given the
          others, as texts;
        - ``nats of NAME``, for every column: those of its value given all others. A value outside of the column's
          support has -inf, and the others of its row have none.

        What is usual are the mean nats of validation rows; without any, nats are compared as they are.

        Args:
            rows: a table of any library, or a path.
            progress: show a bar.

        Raises:
            ConfigError: for a column that is not there.
            DataError: for values that are none of a column's.
        """
        x, _ = self._rows_of(rows, range(len(self.columns)))
        return make(library_of(_source(rows)), self.explained(x, progress=progress))

    @torch.no_grad()
    def explained(self, x: Tensor, *, progress: bool = False) -> list[Decoded]:
        """The same for rows as numbers, (n, columns), column by column.

        Args:
            x: the rows.
            progress: show a bar.
        """
        return explained(self._base, self.columns, self.usual, x, progress=progress)

    def impute(
        self, rows: Source | Table, *, draws: int | None = None, seed: int | None = None, progress: bool = False
    ) -> Tabular:
        """The table with its holes filled, all else as it is.

        A hole is filled with the median of its column, or the most likely name, given all that is known of its row,
        each hole by itself. With ``draws`` the holes of a row are drawn together from their distribution given what is
        known: the uncertainty of what is filled in is then the difference between the draws, which come one below the
        other, numbered in a first column ``draw``. A value that is drawn is never missing, and never a category that
        the schema does not know. Columns that the model does not know stay as they are.

        Args:
            rows: a table of any library, or a path.
            draws: how many, or None for the one best guess.
            seed: of the draws.
            progress: show a bar.

        Raises:
            ConfigError: for a column that is not there.
            DataError: for known values that are none of a column's, with their row and column.
        """
        raw = self._raw(rows)
        assert raw.frame is not None
        fills = self.fills(raw, draws=draws, seed=seed, progress=progress)
        return fill(_source(rows), raw.frame, self.columns, fills)

    @torch.no_grad()
    def fills(
        self, raw: Raw, *, draws: int | None = None, seed: int | None = None, progress: bool = False
    ) -> list[dict[str, Fill]]:
        """What fills the holes of a table: for every draw, by column, the rows that have a hole, and their values."""
        if draws is not None and draws < 1:
            raise ConfigError(f"draws expects a whole number from 1, got {draws}")
        frame = raw.frame
        assert frame is not None
        names = [existing(raw, column.name) for column in self.columns]
        x = torch.from_numpy(encode(frame, self.schema.only(names).columns))
        known = ~x.isnan()
        self._check(x, known, frame)
        return fills(self._base, self.columns, x, draws=draws, seed=seed, progress=progress)


def _source(rows: Source | Table) -> Source:
    return rows.source if isinstance(rows, Table) else rows
