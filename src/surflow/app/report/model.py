"""The sections of the model itself: its training, its latent, and the account of nats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from surflow import plots
from surflow.app.page import PictureWriter, Section
from surflow.app.report.merit import COORDINATE
from surflow.app.report.text import joined
from surflow.data import Splits
from surflow.distributions.column_distribution import ColumnDistribution
from surflow.distributions.normal import Normal
from surflow.evaluation.likelihood import account, latents
from surflow.evaluation.results import Row
from surflow.flow import Flow

_POINTS = 4000


def training(
    flow: Flow, log: Sequence[Mapping[str, Any]], figures: dict[str, Row], show: PictureWriter
) -> Section | None:
    """The curves of the loss, if there is a log."""
    if not log:
        return None
    entropy = figures["entropy"]["value"] if "entropy" in figures else None
    what = "Negative log-likelihood" if flow.exact else "Bound on the negative log-likelihood, with one draw,"
    caption = f"{what} of training batches and of the validation rows."
    return Section("training", "Training", pictures=[show("losses", plots.losses(log, entropy), caption)])


def latent(flow: Flow, splits: Splits, figures: dict[str, Row], show: PictureWriter) -> Section | None:
    """Whether the latents of held-out rows are standard normal, if that is what the base is."""
    if not (isinstance(flow.base, Normal) and flow.base.fixed):
        return None
    x, given = splits.test.x[:_POINTS], splits.test.context
    z = latents(flow, x, None if given is None else given[:_POINTS])
    text = "The flow maps held-out data to this latent. For a perfect flow it is standard normal."
    if "latent_mean" in figures and "latent_sd" in figures:
        mean, sd = joined(figures["latent_mean"]), joined(figures["latent_sd"])
        text += f" Over all coordinates its mean is {mean} and its standard deviation {sd}."
    caption = "Latent of held-out data against N(0, 1)" + (
        ", and its first two coordinates." if z.shape[1] > 1 else "."
    )
    section = Section("latent", "Latent", [text], pictures=[show("latents", plots.latents(z), caption)])
    lines = []
    for i in range(z.shape[1]):
        found = [figures.get(f"{name}{i}") for name in COORDINATE]
        if all(row is not None for row in found):
            lines.append([f"z{i + 1}", *(joined(row) for row in found if row is not None)])
    if lines:
        head = ["coordinate", "mean", "standard deviation", "Kolmogorov-Smirnov distance"]
        section.tables.append({"head": head, "rows": lines, "numbers": [1, 2, 3]})
    return section


def account_of_nats(flow: Flow, splits: Splits, show: PictureWriter) -> Section | None:
    """What every layer and the base contribute to the mean of log p(x); nothing of a distribution of rows alone."""
    if not flow.transforms and isinstance(flow.base, ColumnDistribution):
        return None
    given = splits.test.context
    terms = account(flow, splits.test.x[:_POINTS], None if given is None else given[:_POINTS])
    whole = "log p(x)" if flow.exact else "the ELBO (k = 1)"
    text = f"What the layers and the base contribute sums to {whole}; means over held-out rows, in nats per event."
    kind = {True: "exact", False: "bound"}
    lines = [
        [str(i) if i < len(terms) - 1 else "base", term.name, plots.signed(term.nats, 3), kind[term.exact]]
        for i, term in enumerate(terms)
    ]
    lines.append(["", whole, plots.signed(sum(term.nats for term in terms), 3), kind[flow.exact]])
    table = {"head": ["position", "layer", "nats", "kind"], "rows": lines, "numbers": [2], "total": True}
    caption = "Contribution of every layer, data side on top."
    return Section(
        "account", "Account of nats", [text], pictures=[show("account", plots.account(terms), caption)], tables=[table]
    )
