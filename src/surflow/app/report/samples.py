"""The sections of draws: samples beside held-out rows, and the posterior of a simulator."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from surflow import plots
from surflow.app.kinds import Shown, kind_of
from surflow.app.page import Picture, PictureWriter, Section
from surflow.data import Splits
from surflow.evaluation.calibration import ranks
from surflow.evaluation.features import mixed
from surflow.evaluation.likelihood import draws, draws_given
from surflow.flow import Flow
from surflow.supports import Integers

_POINTS = 4000
_IMAGES = 600
_CONDITIONS = 8
_RANKED, _RANKS = 1000, 100
_CORNER = 6  # parameters of a corner plot


def samples(flow: Flow, splits: Splits, show: PictureWriter) -> Section:
    """Samples beside held-out rows, and the density of the plane."""
    section = Section("samples", "Samples")
    shape = flow.event_shape
    conditional = flow.context_shape is not None
    x, given = splits.test.x, splits.test.context if conditional else None
    n = min(len(x), _POINTS if len(shape) == 1 else _IMAGES)
    x, given = x[:n], None if given is None else given[:n]
    fake = draws(flow, n, given)
    labels, names = _labels(splits, given)
    if conditional:
        section.texts.append("Every sample was drawn for the context of the held-out row in its place.")
    columns = list(splits.columns) or [f"x{i + 1}" for i in range(math.prod(shape))]
    section.pictures += kind_of(splits).pictures(Shown(x, fake, columns, labels, names), show)
    if shape == (2,) and not isinstance(splits.support, Integers) and not mixed(flow.support):
        section.pictures.append(_density(flow, splits, x, given, columns, show))
    return section


def posterior(flow: Flow, splits: Splits, show: PictureWriter) -> Section | None:
    """Calibration, and the posterior of one held-out observation, where parameters were simulated."""
    simulator, context = splits.simulator, splits.test.context
    if simulator is None or context is None or flow.context_shape is None:
        return None
    x, n = splits.test.x[:_RANKED], _RANKS - 1
    ranked = ranks(x, draws_given(flow, n, context[:_RANKED]).to(x.dtype))
    drawn = draws_given(flow, _POINTS // 2, context[:1])[:, 0]
    exact = simulator.posterior(context[:1]).sample(_POINTS // 2)[:, 0].to(x.dtype) if simulator.has_posterior else None
    section = Section("posterior", "Posterior")
    beside = " over those of the exact one" if exact is not None else ""
    section.pictures = [
        show(
            "corner",
            plots.corner(drawn, splits.columns[:_CORNER], reference=exact, truth=x[0]),
            f"The posterior given the first held-out observation: the flow's draws{beside}. Lines: the truth.",
        ),
        show(
            "ranks",
            plots.rank_ecdf(ranked, _RANKS, splits.columns),
            f"Simulation-based calibration, {len(x):,} held-out rows: ECDF of the truth's rank among {n} draws, minus "
            "its expectation, and the band that holds 95 % of calibrated curves whole.",
        ),
    ]
    return section


def _density(
    flow: Flow, splits: Splits, x: Tensor, given: Tensor | None, columns: Sequence[str], show: PictureWriter
) -> Picture:
    frame = plots.frame(x)
    conditions, titles = _conditions(splits, given)
    # The distribution's own density is the one over all labels: it stands beside an unconditional flow only.
    truth = splits.truth if conditions is None else None
    figure = plots.density(flow, frame, conditions, truth=truth, columns=columns, titles=titles)
    caption = "Density" if flow.exact else "Lower bound of the density, 16 importance samples a point,"
    return show("density", figure, f"{caption} over the plane{', one panel for a context' if titles else ''}.")


def _labels(splits: Splits, given: Tensor | None) -> tuple[Tensor | None, list[str] | None]:
    """The category of every row with the categories' names, where the context is one categorical column."""
    if given is None or splits.context is None or len(splits.context.columns) != 1:
        return None, None
    column = splits.context.columns[0]
    if column.categories is None or len(column.categories) > 24:
        return None, None
    return given.reshape(-1).round().long(), [str(name) for name in column.categories]


def _conditions(splits: Splits, given: Tensor | None) -> tuple[Tensor | None, list[str] | None]:
    """Contexts to draw densities for, with their titles: every category, or a few held-out rows."""
    if given is None:
        return None, None
    labels, names = _labels(splits, given)
    if labels is not None and names is not None:
        kept = range(min(len(names), _CONDITIONS))
        rows = torch.tensor([float(i) for i in kept], dtype=given.dtype).reshape(-1, *given.shape[1:])
        name = splits.context.columns[0].name if splits.context is not None else "label"
        return rows, [f"{name}: {names[i]}" for i in kept]
    rows = given[:4]
    return rows, [_context_text(splits, row) for row in rows]


def _context_text(splits: Splits, row: Tensor) -> str:
    if splits.context is None:
        return ", ".join(f"{value:.3g}" for value in row.reshape(-1)[:4].tolist())
    texts = []
    for column, value in zip(splits.context.columns, row.reshape(-1).tolist(), strict=True):
        shown = f"{value:.3g}" if column.categories is None else column.categories[round(value)]
        texts.append(f"{column.name}: {shown}")
    return ", ".join(texts)
