"""The section of the figures of merit."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from surflow import plots
from surflow.app.page import PictureWriter, Section, duration, p_value, plus_minus
from surflow.app.report.text import card, joined
from surflow.app.report.verdict import BASELINES, best_baseline
from surflow.data import Splits
from surflow.evaluation.gaussian import few_rows
from surflow.evaluation.results import Row
from surflow.flow import Flow
from surflow.supports import Integers

# Figures of one coordinate, one column or one pair: they stand beside what they are about.
_OF_ONE = re.compile(r"_\d+$")
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
    "independent_nll": ("independent columns", "NLL of the product of the columns on the same rows"),
    "gain_over_independent": ("gain over independent columns", "paired difference; what columns say of each other"),
    "tree_nll": ("tree of pairs", "NLL of a model that counts pairs of columns, each given one other"),
    "gain_over_tree": ("gain over the tree", "paired difference; positive is better"),
    "copula_nll": ("Gaussian copula", "NLL on the same rows, numbers on grids as masses of their cells"),
    "gain_over_copula": ("gain over the copula", "paired difference; positive is better"),
    "held_out_copies": ("held-out rows trained on", "share that is equal to a training row in every column"),
    "nll_not_trained_on": ("NLL without these", "of the held-out rows that are in no training row"),
    "detection_auc": ("detection", "AUC of gradient boosting, rows against samples; 0.5 is guessing, the best"),
    "detection_rows": ("rows told apart", "of each kind, drawn by chance where there are more"),
    "usefulness_rows": ("rows learned from", "of each kind, drawn by chance where there are more"),
    "usefulness_real": ("skill learned from rows", "mean over columns, each predicted from the others; 1 is perfect"),
    "usefulness_samples": ("skill learned from samples", "the same with samples in place of training rows"),
    "usefulness_gain": ("difference in skill", "paired on the held-out rows; 0 is the best"),
    "association_difference": ("associations, difference", "data against samples, mean over pairs of columns"),
    "association_halves": ("associations, halves of the data", "the same between two halves of the data"),
    "sample_copies": ("samples equal to training rows", "share; compare with that of held-out rows"),
    "nearer_to_training": ("nearer to training rows", "share of samples, against as many held-out rows; 0.5 is none"),
    "nearer_p": ("nearer, p-value", "small: samples are nearer to training rows than chance makes them"),
    "memory_rows": ("rows of each compared", "for that share"),
    "outside_held_out": ("held-out rows outside", "share with a value beyond those of the training rows"),
    "outside_samples": ("samples outside", "the same of samples"),
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
        section.cards.append(_against("a full-covariance Gaussian", gain, baseline, "Against the Gaussian"))
    if (best_of := best_baseline(figures)) is not None and best_of[0] != "gaussian":
        section.cards.append(_against(BASELINES[best_of[0]], best_of[2], best_of[1]))
    if "detection_auc" in figures:
        note = "AUC of gradient boosting, held-out rows against samples; guessing, the best, is 0.5"
        section.cards.append(card("Samples against data", figures["detection_auc"], note))
    if "classifier_accuracy" in figures:
        p = f"; energy test p = {p_value(figures['energy_p']['value'])}" if "energy_p" in figures else ""
        note = f"of rows told apart from samples by a random forest; guessing gives 0.5{p}"
        section.cards.append(card("Samples against data", figures["classifier_accuracy"], note))
    if "seconds_per_1000_samples" in figures:
        seconds = figures["seconds_per_1000_samples"]["value"]
        sampling = {"what": "Sampling", "value": duration(seconds), "error": "", "note": "for 1000 samples", "tag": ""}
        section.cards.append(sampling)
    if best is not None and ("gaussian_nll" in figures or "independent_nll" in figures):
        caption = "Where the flow stands, with standard errors; lower is better."
        section.pictures.append(show("standing", plots.standing(rows), caption))
    if bounds:
        caption = "Tightness of the bound: where it no longer falls with k, little is lost to it."
        section.pictures.append(show("tightness", plots.tightness(rows), caption))
    lines = []
    for row in rows:
        if _OF_ONE.search(row["metric"]):
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


def _against(name: str, gain: Row, baseline: Row, title: str = "Against a simple model") -> dict[str, str]:
    word = "better" if gain["value"] >= 0 else "worse"
    against = card(title, gain, "", "" if word == "better" else "worse")
    against["value"] = against["value"].removeprefix("−")
    against["note"] = f"nats per event {word} than {name}, whose NLL is {joined(baseline)}"
    return against


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
