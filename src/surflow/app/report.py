"""The report of a run: one self-contained HTML page with figures of merit, pictures and what made them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from surflow import plots
from surflow._internal.random import seeded
from surflow.app.kinds import Shown, kind_of
from surflow.app.page import Picture, PictureWriter, Section, duration, p_value, write_page
from surflow.app.page import plus_minus as _plus_minus
from surflow.distributions.normal import Normal
from surflow.evaluation.calibration import ranks
from surflow.evaluation.gaussian import few_rows
from surflow.evaluation.likelihood import account, draws, draws_given, latents
from surflow.evaluation.results import Row, machine, versions
from surflow.flow import Flow
from surflow.supports import Integers

if TYPE_CHECKING:
    from surflow.data import Splits

_POINTS = 4000
_IMAGES = 600
_CONDITIONS = 8
_RANKED, _RANKS = 1000, 100
_CORNER = 6  # parameters of a corner plot
_COORDINATE = ("latent_mean_", "latent_sd_", "latent_ks_")

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


def write_report(
    folder: str | Path,
    *,
    flow: Flow,
    splits: Splits,
    rows: Sequence[Row],
    log: Sequence[Mapping[str, Any]],
    command: str,
    config_text: str,
    seed: int = 0,
) -> Path:
    """Write ``folder/report.html`` and ``folder/pictures/*.png``; returns the path of the page.

    Args:
        folder: the run's folder.
        flow: the trained flow.
        splits: its data, :class:`surflow.data.Splits`.
        rows: what :func:`surflow.evaluation.evaluate` returned.
        log: training log, rows with step, split ("train" or "validation"), nll, learning_rate and seconds.
        command: the command that made the run.
        config_text: its configuration.
        seed: of the draws that are shown.
    """
    folder = Path(folder)
    show = PictureWriter(folder / "pictures")
    # Runs of the first versions recorded the figures of latents as code_*.
    rows = [row | {"metric": re.sub("^code_", "latent_", row["metric"])} for row in rows]  # type: ignore[misc]
    figures = {row["metric"]: row for row in rows}
    with seeded(seed):
        sections = [
            _merit(flow, splits, rows, figures, show),
            _training(flow, log, figures, show),
            _samples(flow, splits, show),
            _posterior(flow, splits, show),
            _code(flow, splits, figures, show),
            _account(flow, splits, show),
            Section("model", "Model", blocks=[{"title": "", "text": flow.summary()}]),
            _data(splits),
            _made(command, config_text),
        ]
    return write_page(
        folder / "report.html",
        eyebrow="surflow · report of a run",
        heading=rows[0]["model"] if rows else "flow",
        on=splits.name,
        lede=splits.description,
        facts=_facts(flow, log),
        sections=[section for section in sections if section is not None],
        note="Errors are standard errors over the held-out rows.",
    )


# -- sections -----------------------------------------------------------------------------------------------


def _facts(flow: Flow, log: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    parameters = sum(p.numel() for p in flow.parameters())
    facts = [
        {"kind": "exact", "text": "exact density"} if flow.exact else {"kind": "bound", "text": "bound on the density"},
        {"kind": "", "text": f"event shape {_shape_text(flow.event_shape)}"},
        {"kind": "", "text": f"{len(flow.transforms)} layers, {parameters:,} parameters"},
    ]
    if flow.context_shape is not None:
        facts.append({"kind": "", "text": "conditional"})
    if log:
        seconds = max(float(row.get("seconds") or 0.0) for row in log)
        steps = [int(row["step"]) for row in log]
        count = max(steps) + (min(steps) == 0)  # steps may be counted from 0 or from 1
        facts.append({"kind": "", "text": f"{count:,} steps in {duration(seconds)}"})
    return facts


def _merit(flow: Flow, splits: Splits, rows: Sequence[Row], figures: dict[str, Row], show: PictureWriter) -> Section:
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
        section.cards.append(_card("Held-out NLL", best, f"nats per event{n}{how}", tag))
    if "bits_per_dim" in figures:
        note = "of the integers; lower is better"
        section.cards.append(_card("Bits per dimension", figures["bits_per_dim"], note, tag))
    if "entropy_gap" in figures:
        entropy = _joined(figures["entropy"])
        note = f"nats per event above the entropy of the data's distribution, {entropy}, which no model can pass"
        section.cards.append(_card("Entropy gap", figures["entropy_gap"], note, tag))
    if "posterior_gap" in figures:
        note = f"nats per event above the exact posterior, whose NLL is {_joined(figures['posterior_nll'])}"
        section.cards.append(_card("Gap to the posterior", figures["posterior_gap"], note, tag))
    if "gain_over_gaussian" in figures and math.isfinite(figures["gain_over_gaussian"]["value"]):
        gain, baseline = figures["gain_over_gaussian"], figures["gaussian_nll"]
        word = "better" if gain["value"] >= 0 else "worse"
        card = _card("Against the Gaussian", gain, "", "" if word == "better" else "worse")
        card["value"] = card["value"].removeprefix("−")
        card["note"] = f"nats per event {word} than a full-covariance Gaussian, whose NLL is {_joined(baseline)}"
        section.cards.append(card)
    if "classifier_accuracy" in figures:
        p = f"; energy test p = {p_value(figures['energy_p']['value'])}" if "energy_p" in figures else ""
        note = f"of rows told apart from samples by a random forest; guessing gives 0.5{p}"
        section.cards.append(_card("Samples against data", figures["classifier_accuracy"], note))
    if "seconds_per_1000_samples" in figures:
        seconds = figures["seconds_per_1000_samples"]["value"]
        card = {"what": "Sampling", "value": duration(seconds), "error": "", "note": "for 1000 samples", "tag": ""}
        section.cards.append(card)
    if best is not None and "gaussian_nll" in figures:
        caption = "Where the flow stands, with standard errors; lower is better."
        section.pictures.append(show("standing", plots.standing(rows), caption))
    if bounds:
        caption = "Tightness of the bound: where it no longer falls with k, little is lost to it."
        section.pictures.append(show("tightness", plots.tightness(rows), caption))
    lines = []
    for row in rows:
        if row["metric"].startswith(_COORDINATE) and row["metric"][-1].isdigit():  # they have a table beside the latent
            continue
        name, note = _NAMES.get(row["metric"], (row["metric"].replace("_", " "), ""))
        if row["metric"].startswith("nll_bound_k"):
            name = f"bound on the NLL, k = {row['metric'].removeprefix('nll_bound_k')}"
            note = "importance-weighted; falls towards the NLL as k grows"
        value, error = _plus_minus(row["value"], row["error"])
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


def _training(
    flow: Flow, log: Sequence[Mapping[str, Any]], figures: dict[str, Row], show: PictureWriter
) -> Section | None:
    if not log:
        return None
    entropy = figures["entropy"]["value"] if "entropy" in figures else None
    what = "Negative log-likelihood" if flow.exact else "Bound on the negative log-likelihood, with one draw,"
    caption = f"{what} of training batches and of the validation rows."
    return Section("training", "Training", pictures=[show("losses", plots.losses(log, entropy), caption)])


def _samples(flow: Flow, splits: Splits, show: PictureWriter) -> Section:
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
    if shape == (2,) and not isinstance(splits.support, Integers):
        section.pictures.append(_density(flow, splits, x, given, columns, show))
    return section


def _posterior(flow: Flow, splits: Splits, show: PictureWriter) -> Section | None:
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


def _code(flow: Flow, splits: Splits, figures: dict[str, Row], show: PictureWriter) -> Section | None:
    if not (isinstance(flow.base, Normal) and flow.base.fixed):
        return None
    x, given = splits.test.x[:_POINTS], splits.test.context
    z = latents(flow, x, None if given is None else given[:_POINTS])
    text = "The flow maps held-out data to this latent. For a perfect flow it is standard normal."
    if "latent_mean" in figures and "latent_sd" in figures:
        mean, sd = _joined(figures["latent_mean"]), _joined(figures["latent_sd"])
        text += f" Over all coordinates its mean is {mean} and its standard deviation {sd}."
    caption = "Latent of held-out data against N(0, 1)" + (
        ", and its first two coordinates." if z.shape[1] > 1 else "."
    )
    section = Section("latent", "Latent", [text], pictures=[show("latents", plots.latents(z), caption)])
    lines = []
    for i in range(z.shape[1]):
        found = [figures.get(f"{name}{i}") for name in _COORDINATE]
        if all(row is not None for row in found):
            lines.append([f"z{i + 1}", *(_joined(row) for row in found if row is not None)])
    if lines:
        head = ["coordinate", "mean", "standard deviation", "Kolmogorov-Smirnov distance"]
        section.tables.append({"head": head, "rows": lines, "numbers": [1, 2, 3]})
    return section


def _account(flow: Flow, splits: Splits, show: PictureWriter) -> Section:
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


def _data(splits: Splits) -> Section:
    section = Section("data", "Data", [splits.description])
    parts = (("training", splits.train), ("validation", splits.validation), ("test", splits.test))
    lines = [[name, f"{len(part.x):,}", _shape_text(tuple(part.x.shape[1:]))] for name, part in parts]
    section.tables.append({"head": ["part", "rows", "shape of an event"], "rows": lines, "numbers": [1]})
    if isinstance(splits.support, Integers):
        section.texts.append(f"The data are integers from 0 to {splits.support.levels - 1}.")
    if splits.columns:
        x = splits.train.x.flatten(1).double()
        lines = [
            [str(name)]
            + [_plus_minus(f(x[:, i]).item(), None)[0] for f in (Tensor.mean, Tensor.std, Tensor.min, Tensor.max)]
            for i, name in enumerate(splits.columns)
        ]
        head = ["column", "mean", "standard deviation", "least", "greatest"]
        section.tables.append({"head": head, "rows": lines, "numbers": [1, 2, 3, 4]})
    if splits.context is not None:
        lines = []
        for column in splits.context.columns:
            if column.categories is not None:
                shown = ", ".join(map(str, column.categories[:30])) + (" …" if len(column.categories) > 30 else "")
                lines.append([str(column.name), f"{len(column.categories)} categories", shown])
            else:
                lines.append([str(column.name), "number", f"mean {column.mean:.4g}, scale {column.scale:.4g}"])
        section.tables.append({"head": ["context", "kind", "values"], "rows": lines, "numbers": []})
    return section


def _made(command: str, config_text: str) -> Section:
    blocks = [{"title": "Command", "text": command}]
    if config_text.strip():
        blocks.append({"title": "Configuration", "text": config_text.strip()})
    found = [[name, version] for name, version in versions().items()]
    found += [[name, str(value)] for name, value in machine().items()]
    table = {"head": ["what", "which"], "rows": found, "numbers": []}
    return Section("made", "How it was made", tables=[table], blocks=blocks)


# -- pieces -------------------------------------------------------------------------------------------------


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


def _card(what: str, row: Row, note: str, tag: str = "") -> dict[str, str]:
    value, error = _plus_minus(row["value"], row["error"])
    return {"what": what, "value": value, "error": error, "note": note, "tag": tag}


def _joined(row: Row) -> str:
    return " ± ".join(filter(None, _plus_minus(row["value"], row["error"])))


def _shape_text(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) if shape else "one number"
