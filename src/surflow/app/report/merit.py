"""The section of the figures of merit."""

from __future__ import annotations

import math
from collections.abc import Sequence

from surflow import plots
from surflow.app.page import PictureWriter, Section, duration, p_value, plus_minus
from surflow.app.report.text import card, joined
from surflow.data import Splits
from surflow.evaluation.gaussian import few_rows
from surflow.evaluation.results import Row
from surflow.flow import Flow
from surflow.supports import Integers

COORDINATE = ("latent_mean_", "latent_sd_", "latent_ks_")
_NAMES = {
    "test_rows": ("held-out rows", "scored; training and validation never saw them"),
    "nll": ("negative log-likelihood", "exact density, mean over the held-out rows"),
    "zero_density": ("density zero", "held-out rows that the flow calls impossible"),
    "entropy": ("entropy of the data's distribution", "the floor: no model has a lower NLL"),
    "entropy_gap": ("entropy gap", "NLL − entropy, paired on the held-out rows: the KL divergence from the truth"),
    "bits_per_dim": ("bits per dimension", "NLL / (number of dimensions × log 2)"),
    "posterior_nll": ("exact posterior", "its NLL on up to 200 held-out rows: the floor there"),
    "posterior_gap": ("gap to the posterior", "NLL − the exact posterior's, paired: the KL divergence from it"),
    "calibrated": ("calibrated", "share of parameters whose ranks keep inside the simultaneous 95 % band"),
    "gaussian_nll": ("Gaussian baseline", "NLL of the baseline on the same rows"),
    "gain_over_gaussian": ("gain over the Gaussian", "paired difference on the held-out rows; positive is better"),
    "samples_not_finite": ("samples that are not finite", "left out of the comparison"),
    "energy_distance": ("energy distance", "samples against held-out rows, coordinates standardised; 0 is the best"),
    "energy_p": ("energy test", "p-value of 199 permutations; small: samples and data differ"),
    "classifier_accuracy": ("classifier two-sample test", "accuracy of a random forest; 0.5 is guessing, the best"),
    "latent_mean": ("latent, mean", "all coordinates; 0 is the best"),
    "latent_sd": ("latent, standard deviation", "all coordinates; 1 is the best"),
    "latent_ks": ("latent, Kolmogorov-Smirnov", "largest distance of a coordinate to N(0, 1); 0 is the best"),
    "latent_ks_p": ("latent, p-value", "of that distance, as the largest among the coordinates"),
    "seconds_per_1000_samples": ("time for 1000 samples", "wall clock, on the machine below"),
}


def merit(flow: Flow, splits: Splits, rows: Sequence[Row], figures: dict[str, Row], show: PictureWriter) -> Section:
    """The figures to look at first, where the flow stands, and the table of all."""
    section = Section("merit", "Figures of merit")
    bounds = {int(m.removeprefix("nll_bound_k")): row for m, row in figures.items() if m.startswith("nll_bound_k")}
    best = figures.get("nll") or (bounds[max(bounds)] if bounds else None)
    if flow.exact:
        section.texts.append("Every layer of this flow is exact: its likelihoods are those of a normalised density.")
    else:
        section.texts.append(
            "This flow has layers whose likelihood is a bound: the NLL given here is an upper bound, and the true one "
            "is at most that. More draws k make the bound tighter."
        )
    tag = "exact" if flow.exact else "bound"
    if best is not None:
        n = f" on {figures['test_rows']['value']:,.0f} held-out rows" if "test_rows" in figures else ""
        if "zero_density" in figures:
            n += f", {100 * figures['zero_density']['value']:.2g} % of which the flow calls impossible"
        how = "" if flow.exact else f"; an upper bound, with k = {max(bounds)} draws a row"
        section.cards.append(card("Held-out NLL", best, f"nats per event{n}{how}", tag))
    if "bits_per_dim" in figures:
        note = "of the integers; lower is better"
        section.cards.append(card("Bits per dimension", figures["bits_per_dim"], note, tag))
    if "entropy_gap" in figures:
        entropy = joined(figures["entropy"])
        note = f"nats per event above the entropy of the data's distribution, {entropy}, which no model can pass"
        section.cards.append(card("Entropy gap", figures["entropy_gap"], note, tag))
    if "posterior_gap" in figures:
        note = f"nats per event above the exact posterior, whose NLL is {joined(figures['posterior_nll'])}"
        section.cards.append(card("Gap to the posterior", figures["posterior_gap"], note, tag))
    if "gain_over_gaussian" in figures and math.isfinite(figures["gain_over_gaussian"]["value"]):
        gain, baseline = figures["gain_over_gaussian"], figures["gaussian_nll"]
        word = "better" if gain["value"] >= 0 else "worse"
        against = card("Against the Gaussian", gain, "", "" if word == "better" else "worse")
        against["value"] = against["value"].removeprefix("−")
        against["note"] = f"nats per event {word} than a full-covariance Gaussian, whose NLL is {joined(baseline)}"
        section.cards.append(against)
    if "classifier_accuracy" in figures:
        p = f"; energy test p = {p_value(figures['energy_p']['value'])}" if "energy_p" in figures else ""
        note = f"of rows told apart from samples by a random forest; guessing gives 0.5{p}"
        section.cards.append(card("Samples against data", figures["classifier_accuracy"], note))
    if "seconds_per_1000_samples" in figures:
        seconds = figures["seconds_per_1000_samples"]["value"]
        sampling = {"what": "Sampling", "value": duration(seconds), "error": "", "note": "for 1000 samples", "tag": ""}
        section.cards.append(sampling)
    if best is not None and "gaussian_nll" in figures:
        caption = "Where the flow stands, with standard errors; lower is better."
        section.pictures.append(show("standing", plots.standing(rows), caption))
    if bounds:
        caption = "Tightness of the bound: where it no longer falls with k, little is lost to it."
        section.pictures.append(show("tightness", plots.tightness(rows), caption))
    lines = []
    for row in rows:
        if row["metric"].startswith(COORDINATE) and row["metric"][-1].isdigit():  # they have a table beside the latent
            continue
        name, note = _NAMES.get(row["metric"], (row["metric"].replace("_", " "), ""))
        if row["metric"].startswith("nll_bound_k"):
            name = f"bound on the NLL, k = {row['metric'].removeprefix('nll_bound_k')}"
            note = "importance-weighted; falls towards the NLL as k grows"
        value, error = plus_minus(row["value"], row["error"])
        lines.append([name, value, error, "" if row["unit"] == "1" else row["unit"], note])
    section.tables.append({"head": ["figure", "value", "±", "unit", "meaning"], "rows": lines, "numbers": [1, 2]})
    if "gaussian_nll" in figures:
        section.notes.append(
            f"The Gaussian is fitted to the same training rows. {_baseline_note(flow, splits)}".strip()
        )
    return section


def _baseline_note(flow: Flow, splits: Splits) -> str:
    """What else there is to say about the Gaussian: the candidates for a context, and how it scores integers."""
    notes = []
    if len(splits.train.x) < few_rows(math.prod(splits.event_shape)):
        notes.append("As these are fewer than 5 a dimension, its covariance is shrunk (Ledoit and Wolf).")
    if flow.context_shape is not None:
        notes.append(
            "It is the best, on the validation rows, of one Gaussian, one whose mean is linear in the context, and, "
            "where the rows suffice, one for every context."
        )
    if isinstance(splits.support, Integers):
        notes.append(
            "It scores integers as x + u with u uniform on [0, 1): its NLL for them is an upper bound as well, which "
            "no importance samples tighten."
        )
    return " ".join(notes)
