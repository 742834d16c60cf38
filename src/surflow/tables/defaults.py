"""How models of mixed tables are trained where a person says nothing; by the number of training rows."""

from __future__ import annotations

from surflow._internal.fit_options import FitOptions

# Up to here a few hundred steps learn rows by heart.
_FEW_ROWS, _MANY_ROWS = 1000, 12_000
# A validation scores rows under all orders, and costs as much as many steps.
MOST_VALIDATION = 1500
VALIDATION = 0.15


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


def training(rows: int) -> FitOptions:
    """Options of ``fit``.

    >>> training(200)["batch_size"], training(5000)["batch_size"]
    (64, 128)
    """
    if rows < _FEW_ROWS:
        return FitOptions(steps=1500, batch_size=64, lr=2e-3, clip=5.0, patience=4, validate_every=100)
    lr = 4e-3 if rows > _MANY_ROWS else 3e-3
    return FitOptions(steps=3000, batch_size=128, lr=lr, clip=5.0, patience=4, validate_every=300)
