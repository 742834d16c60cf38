"""Supports: the sets that data and latents live on, a small closed family with equality and a clear repr."""

from surflow.supports.base import Support
from surflow.supports.columns import Grid, WithAtoms, atoms_of
from surflow.supports.numbers import (
    Circle,
    Integers,
    Interval,
    Positive,
    Real,
    circle,
    positive,
    real,
    unit_interval,
)
from surflow.supports.orders import Ordered, Permutations
from surflow.supports.products import Product, Ragged, product

__all__ = [
    "Circle",
    "Grid",
    "Integers",
    "Interval",
    "Ordered",
    "Permutations",
    "Positive",
    "Product",
    "Ragged",
    "Real",
    "Support",
    "WithAtoms",
    "atoms_of",
    "circle",
    "positive",
    "product",
    "real",
    "unit_interval",
]
