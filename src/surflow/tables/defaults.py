"""How models of mixed tables are trained where a person says nothing; by the number of training rows and columns."""

from __future__ import annotations

from surflow._internal.fit_options import FitOptions

# Up to here a few hundred steps learn rows by heart.
_FEW_ROWS, _MANY_ROWS = 1000, 12_000
VALIDATION = 0.15
# A validation scores rows under all orders, and costs as much as many steps; so many values, and rows.
_VALIDATED, _MOST_VALIDATION, _LEAST_VALIDATION = 30_000, 1500, 100
# Values of a step: one of hundreds of columns would take seconds on more rows.
_VALUES, _LEAST_BATCH = 8192, 16


def dropout(rows: int) -> float:
    """Of the preset ``table``.

    >>> dropout(200), dropout(50_000)
    (0.5, 0.0)
    """
    return 0.5 if rows < _FEW_ROWS else 0.2 if rows < _MANY_ROWS else 0.0


def waves(rows: int) -> int:
    """Of the preset ``table``.

    >>> waves(200), waves(50_000)
    (0, 6)
    """
    return 0 if rows < _MANY_ROWS else 6


def most_validation(columns: int) -> int:
    """Rows that a validation scores at most.

    >>> most_validation(10), most_validation(100)
    (1500, 300)
    """
    return max(_LEAST_VALIDATION, min(_MOST_VALIDATION, _VALIDATED // columns))


def training(rows: int, columns: int) -> FitOptions:
    """Options of ``fit``.

    >>> training(200, 10)["batch_size"], training(5000, 10)["batch_size"], training(5000, 500)["batch_size"]
    (64, 128, 16)
    """
    most = max(_LEAST_BATCH, _VALUES // columns)
    if rows < _FEW_ROWS:
        return FitOptions(steps=1500, batch_size=min(64, most), lr=2e-3, clip=5.0, patience=4, validate_every=100)
    lr = 4e-3 if rows > _MANY_ROWS else 3e-3
    return FitOptions(steps=3000, batch_size=min(128, most), lr=lr, clip=5.0, patience=4, validate_every=300)
