"""Rows that are drawn afresh: synthetic sets, and parameters with the observations that a simulator makes of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from surflow.data.encoding import ContextColumn, ContextEncoding
from surflow.data.simulators.base import Simulator, simulations
from surflow.data.simulators.priors import support_of
from surflow.data.splits import Part, Splits
from surflow.data.synthetic.base import Synthetic
from surflow.data.table import location_and_scale
from surflow.errors import ConfigError, ShapeError, unknown_name
from surflow.supports import real

# Fresh rows of a synthetic set: to train on, to validate with, to test with.
_SYNTHETIC_ROWS = (20_000, 5_000, 10_000)
_SIMULATED_ROWS = (20_000, 1_000, 1_000)
# Far from the seeds that people choose, so that no row is one that load drew.
_OTHER_SEED = 2**40


def check_synthetic(made: Synthetic, columns: Sequence[str] | None, context: list[str]) -> None:
    """Raise ConfigError unless a synthetic set has these columns and this context."""
    if columns is not None and list(columns) != ["x", "y"]:
        raise ConfigError(f"{made.name} has the data columns ['x', 'y'] and is used whole, got columns={list(columns)}")
    for name in context:
        if made.classes is None:
            raise ConfigError(f"{made.name} has no labels: leave out the context {name!r}")
        if name != "label":
            raise ConfigError(f"{unknown_name('context column', name, ['label'])} (of {made.name})")


def load_synthetic(
    made: Synthetic, columns: Sequence[str] | None, context: list[str], seed: int, rows: int | None
) -> Splits:
    """A synthetic set in three parts, all drawn afresh."""
    check_synthetic(made, columns, context)
    sizes = [rows or _SYNTHETIC_ROWS[0], *_SYNTHETIC_ROWS[1:]]
    x, labels = made.sample_labelled(sum(sizes), seed=seed)
    encoding = None
    given: list[Tensor | None] = [None] * 3
    if context:
        assert made.classes is not None  # check_synthetic has seen to it
        encoding = ContextEncoding([ContextColumn("label", [str(c) for c in range(made.classes)])])
        given = list(labels.to(torch.float64)[:, None].split(sizes))
    train, validation, test = (Part(*pair) for pair in zip(x.split(sizes), given, strict=True))
    description = (
        f"{made.name}: {sizes[0]:,} training, {sizes[1]:,} validation and {sizes[2]:,} test rows, "
        f"drawn afresh with seed {seed}"
    )
    truth = made if made.has_density else None
    return Splits(made.name, train, validation, test, ["x", "y"], real, encoding, description, truth=truth)


def numbers(made: Simulator) -> list[str]:
    """Names of an observation's numbers."""
    return [f"x{i + 1}" for i in range(made.x_shape[0])]


def load_simulated(
    made: Simulator, columns: Sequence[str] | None, context: list[str], seed: int, rows: int | None
) -> Splits:
    """Simulations in three parts: parameters as data, observations as the context."""
    if columns is not None and list(columns) != made.parameters:
        raise ConfigError(f"{made.name} has the parameters {made.parameters} and is used whole, got {list(columns)}")
    if context and context != numbers(made):
        raise ConfigError(f"the context of {made.name} is its observation: leave out the context {context}")
    sizes = [rows or _SIMULATED_ROWS[0], *_SIMULATED_ROWS[1:]]
    theta, x = simulations(*made.sample(sum(sizes), seed=seed), made.prior)
    if x.shape[1:] != made.x_shape:
        raise ShapeError(f"{made.name} states observations of shape {made.x_shape} and makes {tuple(x.shape[1:])}")
    theta, x = theta.float(), x.float()
    train, validation, test = (Part(*pair) for pair in zip(theta.split(sizes), x.split(sizes), strict=True))
    seen = [location_and_scale(column) for column in x[: sizes[0]].double().T.numpy()]
    given = [ContextColumn(name, None, *pair) for name, pair in zip(numbers(made), seen, strict=True)]
    encoding = ContextEncoding(given)
    description = (
        f"{made.name}: parameters given observations of {made.x_shape[0]} numbers, {sizes[0]:,} training, "
        f"{sizes[1]:,} validation and {sizes[2]:,} test simulations with seed {seed}"
    )
    support = support_of(made.prior)
    return Splits(made.name, train, validation, test, made.parameters, support, encoding, description, simulator=made)


def synthetic_rows(
    made: Synthetic, columns: Sequence[str], encoding: ContextEncoding | None, rows: int | None, seed: int
) -> Part:
    """Fresh rows of a synthetic set for a trained model, others than those it was trained on."""
    check_synthetic(made, list(columns), [] if encoding is None else encoding.names)
    drawn, labels = made.sample_labelled(_SYNTHETIC_ROWS[2] if rows is None else rows, seed=seed + _OTHER_SEED)
    return Part(drawn, None if encoding is None else encoding.encode({"label": labels}))


def simulated_rows(
    made: Simulator, columns: Sequence[str], encoding: ContextEncoding | None, rows: int | None, seed: int
) -> Part:
    """Fresh simulations for a trained model, others than those it was trained on."""
    if list(columns) != made.parameters or (encoding is not None and encoding.names != numbers(made)):
        raise ConfigError(f"{made.name} has other parameters and observations than the model was trained on")
    return Part(*made.sample(_SIMULATED_ROWS[2] if rows is None else rows, seed=seed + _OTHER_SEED))
