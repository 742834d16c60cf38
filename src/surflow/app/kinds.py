"""Kinds of data: each says what its default model is, how that is trained, and how events are shown.

A kind is a small class; :func:`kind_of` asks once which one it is. The support of the events and, where they are known,
the density or the simulator that rows are from are part of the data themselves (:class:`surflow.data.Splits`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

import surflow  # whose plots bring matplotlib when they are first asked for
from surflow import presets
from surflow.data import Column, Part, Splits
from surflow.data.tables.support import plain
from surflow.errors import ConfigError
from surflow.supports import Integers, Ragged, Real, Support
from surflow.tables import defaults

if TYPE_CHECKING:
    from surflow.app.page import Picture, PictureWriter

Options = dict[str, Any]

# Training where the configuration says nothing.
_IMAGES: Options = {"steps": 3000, "batch_size": 128, "lr": 2e-3, "clip": 20.0}
_FEW_IMAGES: Options = _IMAGES | {"steps": 800, "lr": 3e-3, "patience": 10}
_MANY_IMAGES = 5000
# With so many simulations posteriors in a box are learned by more layers than few ones bear.
_MANY_SIMULATIONS = 5000
_DEEP: Options = {"layers": 3}
# Rows that every validation scores.
_MOST_VALIDATION = 2000


@dataclass(frozen=True)
class Shown:
    """Held-out events beside samples, as a report shows them: with labels, where the context is one category."""

    x: Tensor
    samples: Tensor
    columns: Sequence[str]
    labels: Tensor | None
    names: Sequence[str] | None


def _first(part: Part, most: int) -> Part:
    """The first rows, which splits have in an order by chance."""
    return Part(part.x[:most], None if part.context is None else part.context[:most])


class Kind:
    """What is particular to one kind of data.

    Attributes:
        title: what the kind is called.
    """

    title: ClassVar[str]

    def __init__(self, splits: Splits) -> None:
        self.splits = splits

    @classmethod
    def holds(cls, splits: Splits) -> bool:
        """Whether data are of this kind."""
        raise NotImplementedError

    def model(self, preset: str, *, fresh: bool) -> tuple[str, Options]:
        """The preset that "auto" stands for, or another one as it is, and the options that the data decide."""
        return (self._auto(fresh=fresh)) if preset == "auto" else (preset, {})

    def _auto(self, *, fresh: bool) -> tuple[str, Options]:
        raise NotImplementedError

    def training(self, preset: str | None, *, fresh: bool) -> Options:
        """Options of :func:`surflow.fit` that are right for most data of this kind; the preset is None for a chain."""
        raise NotImplementedError

    def validation(self, preset: str | None) -> Part:
        """The rows that choose the weights during training; a few thousand tell two steps apart."""
        return _first(self.splits.validation, _MOST_VALIDATION)

    def support(self, preset: str | None) -> Support:
        """The support that a model of a preset is built on; None stands for a chain of layers."""
        return self.splits.support

    def pictures(self, shown: Shown, show: PictureWriter) -> list[Picture]:
        """Held-out events beside samples."""
        shape = self.splits.event_shape
        if shape == (2,):
            figure = surflow.plots.samples_beside_data(shown.x, shown.samples, shown.columns, shown.labels, shown.names)
            return [show("samples", figure, "Held-out data and as many samples, on the same axes.")]
        if len(shape) == 3 and shape[0] in (1, 3):
            support = self.splits.support
            levels = support.levels if isinstance(support, Integers) else None
            figure = surflow.plots.images(shown.x, shown.samples, shown.labels, shown.names, levels)
            rows = "; every row is a class" if shown.labels is not None else ""
            return [show("samples", figure, f"Held-out images and samples{rows}.")]
        width = math.prod(shape)
        figure = surflow.plots.pairs(shown.x.flatten(1), shown.samples.flatten(1), shown.columns)
        which = f"the first 6 of {width} columns" if width > 6 else "all columns" if width > 1 else "the column"
        where = ": data below the diagonal, samples above it, both on it" if width > 1 else ""
        return [show("pairs", figure, f"Held-out data and samples, {which}{where}.")]


class Table(Kind):
    """Rows with the columns of a schema: numbers, names, dates and holes."""

    title = "table"

    @classmethod
    def holds(cls, splits: Splits) -> bool:
        return splits.schema is not None

    @property
    def _columns(self) -> list[Column]:
        return [] if self.splits.schema is None else self.splits.schema.columns

    @property
    def _width(self) -> int:
        return math.prod(self.splits.event_shape)

    def model(self, preset: str, *, fresh: bool) -> tuple[str, Options]:
        name, options = super().model(preset, fresh=fresh)
        if name == "table":
            rows = len(self.splits.train.x)
            return name, {"dropout": defaults.dropout(rows), "waves": defaults.waves(rows)}
        if not plain(self._columns):
            names = [column.name for column in self._columns if column.kind.named]
            holes = [column.name for column in self._columns if column.missing]
            said = [f"{what} in {names}" for what, names in (("names", names), ("missing values", holes)) if names]
            raise ConfigError(
                f"the preset {name!r} is for numbers in every row, and {self.splits.name} has {' and '.join(said)}: "
                "train the preset 'table', the default, or leave these columns out with --drop"
            )
        return name, options

    def support(self, preset: str | None) -> Support:
        return self.splits.column_support if preset == "table" else self.splits.support

    def _auto(self, *, fresh: bool) -> tuple[str, Options]:
        return _numbers(self.splits) if plain(self._columns) else ("table", {})

    def training(self, preset: str | None, *, fresh: bool) -> Options:
        rows = len(self.splits.train.x)
        if self._by_columns(preset):
            return dict(defaults.training(rows, self._width))
        return dict(presets.training_of_numbers(rows))

    def _by_columns(self, preset: str | None) -> bool:
        """Whether a model of rows of mixed columns is trained."""
        return preset == "table" or not plain(self._columns)

    def validation(self, preset: str | None) -> Part:
        # Every validation scores them under all orders.
        if self._by_columns(preset):
            return _first(self.splits.validation, defaults.most_validation(self._width))
        return super().validation(preset)

    def pictures(self, shown: Shown, show: PictureWriter) -> list[Picture]:
        if plain(self._columns) and isinstance(self.splits.support, Real):
            return super().pictures(shown, show)
        figure = surflow.plots.columns(shown.x, shown.samples, self._columns)
        shown_of, size = len(figure.axes), len(self._columns)
        which = "Every column" if shown_of == size else f"The first {shown_of} of {size} columns"
        return [show("columns", figure, f"{which}: held-out rows beside as many samples.")]


class Array(Kind):
    """Arrays of numbers of any shape, in their order, whose entries are columns."""

    title = "array"

    @classmethod
    def holds(cls, splits: Splits) -> bool:
        return True

    def _auto(self, *, fresh: bool) -> tuple[str, Options]:
        return _numbers(self.splits)

    def training(self, preset: str | None, *, fresh: bool) -> Options:
        return dict(presets.training_of_numbers(len(self.splits.train.x)))


def _numbers(splits: Splits) -> tuple[str, Options]:
    """The default for rows of numbers."""
    return presets.choose_numbers(splits.event_shape, len(splits.train.x))


class Synthetic(Kind):
    """Draws from a known density: at every step afresh, so that nothing can be learnt by heart."""

    title = "synthetic"

    @classmethod
    def holds(cls, splits: Splits) -> bool:
        return splits.truth is not None

    def _auto(self, *, fresh: bool) -> tuple[str, Options]:
        return ("spline", {}) if fresh else _numbers(self.splits)

    def training(self, preset: str | None, *, fresh: bool) -> Options:
        if not fresh:
            return Array(self.splits).training(preset, fresh=fresh)
        return {"steps": 3000, "batch_size": 512, "lr": 5e-3, "clip": 5.0}


class Simulation(Kind):
    """Parameters given observations that a simulator made of them."""

    title = "simulation"

    @classmethod
    def holds(cls, splits: Splits) -> bool:
        return splits.simulator is not None

    def _auto(self, *, fresh: bool) -> tuple[str, Options]:
        preset = presets.choose_conditional(self.splits.event_shape, self.splits.support)
        return preset, (_DEEP if preset == "box" and len(self.splits.train.x) >= _MANY_SIMULATIONS else {})

    def training(self, preset: str | None, *, fresh: bool) -> Options:
        return {"steps": 8000, "batch_size": 256, "lr": 1e-2, "schedule": "root", "clip": 5.0}


class Image(Kind):
    """Events of integers: images, (channels, height, width), and whatever else has levels."""

    title = "image"

    @classmethod
    def holds(cls, splits: Splits) -> bool:
        return isinstance(splits.support, Integers)

    def _auto(self, *, fresh: bool) -> tuple[str, Options]:
        return presets.choose(self.splits.event_shape, self.splits.support)

    def training(self, preset: str | None, *, fresh: bool) -> Options:
        return _FEW_IMAGES if len(self.splits.train.x) < _MANY_IMAGES else _IMAGES


class PointSet(Kind):
    """Sets of points, (coordinates, points), of one size, or with a last row that says which points there are."""

    title = "point set"

    @classmethod
    def holds(cls, splits: Splits) -> bool:
        return splits.sets

    def model(self, preset: str, *, fresh: bool) -> tuple[str, Options]:
        support = self.splits.support
        if not isinstance(support, Ragged):
            return super().model(preset, fresh=fresh)
        if preset not in ("auto", "point-grid"):
            raise ConfigError(f"{self.splits.name} has sets of different sizes: the preset for them is 'point-grid'")
        return "point-grid", {"mask": True, "low": support.low, "high": support.high}

    def _auto(self, *, fresh: bool) -> tuple[str, Options]:
        pixels = self.splits.pixels
        if pixels is None:
            return presets.choose(self.splits.event_shape, rows=len(self.splits.train.x))
        return "point-grid", {"cells": pixels, "low": -0.5, "high": pixels - 0.5}

    def training(self, preset: str | None, *, fresh: bool) -> Options:
        # Transformers over all points: a row is as much work as many of a table.
        return {"steps": 3000, "batch_size": 32, "lr": 2e-3, "clip": 50.0, "patience": 10}

    def pictures(self, shown: Shown, show: PictureWriter) -> list[Picture]:
        ragged = isinstance(self.splits.support, Ragged)
        if self.splits.event_shape[0] != 2 + ragged:
            return super().pictures(shown, show)
        x, samples = shown.x, shown.samples
        if ragged:
            x, samples = (part[:, :2].masked_fill(part[:, 2:] == 0, math.nan) for part in (x, samples))
        figure = surflow.plots.clouds(x, samples, downwards=self.splits.pixels is not None)
        return [show("samples", figure, "Held-out point clouds and samples.")]


# The first that holds; an array is what is nothing else.
KINDS: tuple[type[Kind], ...] = (Simulation, Synthetic, Table, PointSet, Image, Array)


def kind_of(splits: Splits) -> Kind:
    """The kind of some data.

    >>> import surflow as sf
    >>> kind_of(sf.data.load("iris")).title, kind_of(sf.data.load("digits")).title
    ('table', 'image')
    """
    return next(kind for kind in KINDS if kind.holds(splits))(splits)
