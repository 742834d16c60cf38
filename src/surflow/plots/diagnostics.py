"""Pictures of a model: its training, its latent, and where its nats come from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from surflow.flow import Term
from surflow.plots.style import (
    DATA,
    INK,
    MOST_POINTS,
    QUIET,
    REFERENCE,
    SAMPLES,
    marker,
    new_figure,
    printable,
    signed,
    style_axes,
    to_numpy,
)

_DASHED = (0, (5, 3))
_MOST_TERMS = 40


def losses(log: Sequence[Mapping[str, Any]], entropy: float | None = None) -> Figure:
    """Training and validation NLL against the step, from rows with step, split, nll and learning_rate.

    The scale shows where training ends; early steps far above it are cut off, and the picture says where they began.

    Args:
        log: rows of the log of a training.
        entropy: of the data's distribution in nats, drawn as a line, or None.

    >>> rows = [{"step": i, "split": "train", "nll": 3 / (i + 1), "learning_rate": 1e-3} for i in range(50)]
    >>> losses(rows).axes[0].get_ylabel()
    'NLL (nats per event)'
    """
    rows = [row for row in log if math.isfinite(float(row["nll"]))]
    curves = {
        split: np.array([(float(row["step"]), float(row["nll"])) for row in rows if row["split"] == split])
        for split in ("train", "validation")
    }
    rates = np.array([(float(row["step"]), float(row["learning_rate"])) for row in rows if row.get("learning_rate")])
    with_rates = len(rates) > 1 and rates[:, 1].max() > 0
    figure = new_figure(8.6, 4.6 if with_rates else 3.8)
    grid = {"height_ratios": [4, 1]} if with_rates else {}
    axes = figure.subplots(2 if with_rates else 1, 1, sharex=True, squeeze=False, gridspec_kw=grid)[:, 0]
    ax = axes[0]
    style_axes(ax)
    train, validation = curves["train"], curves["validation"]
    if len(train):
        smooth = _running_median(train[:, 1])
        if len(train) > 40:
            ax.plot(*train.T, color=DATA, alpha=0.22, linewidth=0.7)
            ax.plot(train[:, 0], smooth, color=DATA, linewidth=1.7, label="training (running median)")
        else:
            ax.plot(*train.T, color=DATA, linewidth=1.7, label="training")
    if len(validation):
        few = len(validation) <= 60
        ax.plot(
            *validation.T, color=SAMPLES, linewidth=1.5, marker="o" if few else None, markersize=3.5, label="validation"
        )
        best = validation[validation[:, 1].argmin()]
        label = f"best validation: {_plain(best[1])} at step {best[0]:,.0f}"
        ax.plot(*best, "D", color=REFERENCE, markersize=5, label=label)
    if entropy is not None and math.isfinite(entropy):
        ax.axhline(
            entropy, color=REFERENCE, linestyle=_DASHED, linewidth=1.2, label=f"entropy, the floor: {_plain(entropy)}"
        )
    values = np.concatenate([curve[:, 1] for curve in curves.values() if len(curve)] or [np.zeros(1)])
    bottom, top = _loss_range(values, train, validation, entropy)
    ax.set_ylim(bottom, top)
    ax.set_ylabel("NLL (nats per event)")
    early = max(
        (float(curve[: max(1, len(curve) // 10), 1].max()) for curve in curves.values() if len(curve)), default=0.0
    )
    if early > top:
        # To the right of the steep beginning, which would run through it.
        clear = top - 0.15 * (top - bottom)
        below = [curve[(curve[:, 1] < clear).argmax(), 0] for curve in curves.values() if len(curve)]
        ax.annotate(
            f"↑ from {early:.3g}", (max(below), 0.975), xycoords=ax.get_xaxis_transform(), xytext=(8, 0),
            textcoords="offset points", va="top", fontsize=8, color=QUIET,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5}, zorder=5,
        )  # fmt: skip
    if any(len(curve) for curve in curves.values()) or entropy is not None:
        figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8.5, labelcolor=INK)
    if with_rates:
        style_axes(axes[1])
        axes[1].plot(*rates.T, color=QUIET, linewidth=1.3)
        axes[1].set_ylim(0, rates[:, 1].max() * 1.15)
        axes[1].set_ylabel("learning\nrate")
        axes[1].yaxis.set_major_locator(MaxNLocator(2))
        axes[1].ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
        axes[1].yaxis.get_offset_text().set_fontsize(7.5)
    axes[-1].set_xlabel("step")
    axes[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True))
    return figure


def latents(z: Tensor) -> Figure:
    """The latent of held-out data, shape (n, D), against N(0, 1).

    Its histograms, and its first two coordinates with the circle that holds 90 % of a standard normal.

    Args:
        z: the latents, shape (n, *event).

    >>> import torch
    >>> len(latents(torch.randn(500, 2)).axes)
    3
    """
    rows = to_numpy(z.flatten(1))
    rows = rows[np.isfinite(rows).all(1)]
    size = rows.shape[1]
    own = size if size <= 3 else 1  # panels: one for each coordinate, or all in one
    panels = own + (size > 1)
    figure = new_figure(3.4 * panels + 0.4, 3.5)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    reach = 4.2
    line = np.linspace(-reach, reach, 300)
    normal = np.exp(-(line**2) / 2) / math.sqrt(2 * math.pi)
    bins = np.linspace(-reach, reach, max(14, min(56, round(len(rows) ** 0.5))) + 1)
    for i in range(own):
        ax = axes[i]
        style_axes(ax)
        if own == size:
            # Shares of all rows, so that what lies beyond the frame is missing inside it.
            counts, _ = np.histogram(rows[:, i], bins)
            ax.stairs(counts / len(rows) / np.diff(bins), bins, fill=True, color=DATA, alpha=0.55, label="latent")
            ax.set_xlabel(f"z{_subscript(i + 1)}")
        else:
            for column in rows.T[:64]:
                counts, _ = np.histogram(column, bins)
                ax.stairs(counts / len(rows) / np.diff(bins), bins, color=DATA, alpha=max(0.1, 3 / size), linewidth=0.8)
            counts, _ = np.histogram(rows, bins)
            label = f"all {size} coordinates"
            ax.stairs(counts / rows.size / np.diff(bins), bins, color=DATA, linewidth=2, label=label)
            ax.set_xlabel("coordinates of the latent (thin: each of them)")
        ax.plot(line, normal, color=REFERENCE, linewidth=1.5, label="N(0, 1)")
        ax.set_xlim(-reach, reach)
        ax.set_ylim(0, max(0.62, ax.get_ylim()[1]) if own == size else 0.75)
        ax.set_box_aspect(1)
        ax.legend(frameon=False, fontsize=8.5, loc="upper right", labelcolor=INK)
    axes[0].set_ylabel("density")
    if size > 1:
        ax = axes[-1]
        style_axes(ax)
        radius = math.sqrt(2 * math.log(10))
        first = rows[:, :2]
        inside = float((np.hypot(*first.T) <= radius).mean())
        shown = first[:MOST_POINTS]
        dot, alpha = marker(len(shown))
        ax.scatter(shown[:, 0], shown[:, 1], s=dot, c=DATA, alpha=alpha, linewidths=0)
        angle = np.linspace(0, 2 * math.pi, 200)
        ax.plot(radius * np.cos(angle), radius * np.sin(angle), color=REFERENCE, linewidth=1.5)
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="z₁", ylabel="z₂", aspect="equal")
        ax.set_title(f"{100 * inside:.1f} % in the 90 % circle")
    return figure


def account(terms: Sequence[Term]) -> Figure:
    """Where the nats come from: a bar for every layer and the base, data side on top.

    Exact terms are blue, bounds orange and hatched. With more than 40 terms, layers of one name share a bar.

    Args:
        terms: what ``Flow.account`` returns.

    >>> len(account([Term("Abs", -1.4, True), Term("Normal", -1.8, True)]).axes[0].patches)
    2
    """
    names = [f"{i} {printable(term.name)}" for i, term in enumerate(terms[:-1])] + [printable(terms[-1].name)]
    if len(terms) > _MOST_TERMS:
        terms = _gathered(terms)
        names = [printable(term.name) for term in terms]
    # Held-out rows of density zero make a term infinite: it has no bar, and its label says so.
    labels = [signed(term.nats, 2) if math.isfinite(term.nats) else "not finite" for term in terms]
    total = sum(term.nats for term in terms)
    terms = [term if math.isfinite(term.nats) else term._replace(nats=0.0) for term in terms]
    figure = new_figure(8.6, 0.27 * len(terms) + 1.1)
    ax = figure.subplots()
    style_axes(ax)
    positions = np.arange(len(terms))
    for exact, colour, hatch, label in ((True, DATA, None, "exact"), (False, SAMPLES, "////", "bound")):
        own = [i for i, term in enumerate(terms) if term.exact == exact]
        if own:
            values = [terms[i].nats for i in own]
            ax.barh(
                positions[own],
                values,
                color=colour,
                hatch=hatch,
                edgecolor="white",
                linewidth=0,
                height=0.68,
                label=label,
            )
    reach = max(*(abs(term.nats) for term in terms), 1e-6)
    for i, term in enumerate(terms):
        ax.annotate(
            labels[i], (term.nats, i), xytext=(4 if term.nats >= 0 else -4, 0), textcoords="offset points",
            ha="left" if term.nats >= 0 else "right", va="center", fontsize=8, color=INK,
        )  # fmt: skip
    ax.axvline(0, color=REFERENCE, linewidth=0.9)
    low, high = min(0.0, *(t.nats for t in terms)), max(0.0, *(t.nats for t in terms))
    ax.set_xlim(low - 0.14 * reach * (low < 0) - 0.02 * reach, high + 0.14 * reach * (high > 0) + 0.02 * reach)
    ax.set_yticks(positions, names)
    ax.set_ylim(len(terms) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    exact = all(term.exact for term in terms)
    whole = "log p(x)" if exact else "the ELBO (k = 1)"
    ax.set_xlabel(f"mean contribution to {whole} (nats per event); sum {signed(total, 3)}")
    if not exact:
        figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8.5, labelcolor=INK)
    return figure


def standing(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """The NLL of the flow (or its tightest bound) between the entropy, where it is known, and simple models.

    Args:
        rows: what :func:`surflow.evaluation.evaluate` returns.

    >>> from surflow.evaluation import Row
    >>> row = Row(case="", model="spline", seed=0, metric="nll", value=1.0, error=0.1, unit="")
    >>> [label.get_text() for label in standing([row]).axes[0].get_yticklabels()]
    ['spline']
    """
    found = {row["metric"]: row for row in rows}
    finite = {name for name, row in found.items() if math.isfinite(row["value"])}
    bounds = sorted((name for name in found if name.startswith("nll_bound_k")), key=len)
    flow = found["nll"] if "nll" in found else found[bounds[-1]]
    lines = [(found[name], label, colour) for name, label, colour in (
        ("independent_nll", "independent columns", QUIET),
        ("copula_nll", "Gaussian copula", QUIET),
        ("tree_nll", "tree of pairs", QUIET),
        ("gaussian_nll", "Gaussian", QUIET),
        (flow["metric"], printable(flow["model"]) + ("" if "nll" in found else " (bound)"), DATA),
        ("entropy", "entropy", REFERENCE),
    ) if name in finite]  # fmt: skip
    figure = new_figure(8.0, 0.42 * len(lines) + 0.75)
    ax = figure.subplots()
    style_axes(ax)
    for position, (row, _, colour) in enumerate(lines):
        ax.errorbar(row["value"], position, xerr=row["error"] or 0, fmt="o", color=colour, markersize=8, capsize=4)
        ax.annotate(
            _plain(row["value"]), (row["value"], position), xytext=(0, 8), textcoords="offset points",
            ha="center", fontsize=8.5, color=INK, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip
    if "entropy" in found:
        ax.axvline(found["entropy"]["value"], color=REFERENCE, linestyle=_DASHED, linewidth=1)
    ax.set_yticks(range(len(lines)), [label for _, label, _ in lines])
    ax.set_ylim(len(lines) - 0.5, -0.85)
    ax.margins(x=0.1)
    ax.set_xlabel("NLL (nats per event)")
    return figure


def tightness(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """The importance-weighted bound on the NLL against its number of draws k, from the rows of an evaluation.

    Args:
        rows: what :func:`surflow.evaluation.evaluate` returns.

    >>> from surflow.evaluation import Row
    >>> row = Row(case="", model="", seed=0, metric="nll_bound_k1", value=1.0, error=0.1, unit="")
    >>> tightness([row]).axes[0].get_xlabel()
    'draws k'
    """
    found = [(int(row["metric"].rsplit("k", 1)[1]), row) for row in rows if row["metric"].startswith("nll_bound_k")]
    found = [(k, row) for k, row in found if math.isfinite(row["value"])]
    figure = new_figure(6.4, 3.1)
    ax = figure.subplots()
    style_axes(ax)
    k = [k for k, _ in found]
    values = [row["value"] for _, row in found]
    errors = [row["error"] or 0.0 for _, row in found]
    ax.errorbar(k, values, errors, fmt="-o", color=DATA, markersize=5, capsize=3, label="bound on the NLL")
    for i, value, error in zip(k, values, errors, strict=True):
        above = (i, value + error)
        ax.annotate(
            _plain(value), above, xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8.5, color=INK
        )
    entropy = next((row["value"] for row in rows if row["metric"] == "entropy"), None)
    if entropy is not None:
        label = f"entropy, the floor: {_plain(entropy)}"
        ax.axhline(entropy, color=REFERENCE, linestyle=_DASHED, linewidth=1.2, label=label)
    ax.set_xscale("log")
    ax.set_xticks(k, [str(v) for v in k])
    ax.minorticks_off()
    ax.set(xlabel="draws k", ylabel="nats per event")
    ax.margins(0.12, 0.3)
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8.5, labelcolor=INK)
    return figure


def _subscript(i: int) -> str:
    return "".join(chr(ord("₀") + int(digit)) for digit in str(i))


def _plain(value: float) -> str:
    """A number with the digits that a picture has room for."""
    return (f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}" if abs(value) < 100 else f"{value:.1f}").replace(
        "-", "−"
    )


def _running_median(values: np.ndarray) -> np.ndarray:
    width = max(3, len(values) // 60) | 1
    padded = np.pad(values, width // 2, mode="reflect")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)


def _loss_range(
    values: np.ndarray, train: np.ndarray, validation: np.ndarray, entropy: float | None
) -> tuple[float, float]:
    """Limits of the NLL: the end of training fills the picture, its beginning may be cut."""
    late = [curve[len(curve) // 10 :, 1] for curve in (train, validation) if len(curve)] or [values]
    shown = np.concatenate(late)
    low, high = float(np.quantile(shown, 0.005)), float(np.quantile(shown, 0.97))
    if len(validation):
        # Overfitting is worth seeing: where validation ends belongs to the picture, unless that is very far up.
        low = min(low, float(validation[:, 1].min()))
        high = max(high, min(float(validation[-1, 1]), high + 2 * (high - low)))
    if entropy is not None and math.isfinite(entropy):
        low = min(low, entropy)
    span = max(high - low, 1e-3 * max(1.0, abs(high)))
    return low - 0.08 * span, min(high + 0.45 * span, max(float(values.max()) + 0.08 * span, high + 0.1 * span))


def _gathered(terms: Sequence[Term]) -> list[Term]:
    sums: dict[tuple[str, bool], list[float]] = {}
    for term in terms:
        sums.setdefault((term.name, term.exact), []).append(term.nats)
    return [
        Term(f"{name} ×{len(nats)}" if len(nats) > 1 else name, sum(nats), exact)
        for (name, exact), nats in sums.items()
    ]
