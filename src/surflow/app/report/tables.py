"""The sections of a table: associations of columns, what tells samples apart, what they are worth, memory, odd rows."""

from __future__ import annotations

import torch

from surflow import plots
from surflow.app.page import PictureWriter, Section, p_value
from surflow.app.report.text import card, joined, percent, value_text
from surflow.app.report.verdict import Figures, told_by
from surflow.data import Splits
from surflow.evaluation.oddity import odd_rows
from surflow.evaluation.tables import MOST_PAIRED
from surflow.flow import Flow

_LISTED = 10
# Held-out rows among which the oddest are looked for.
_ODD_AMONG = 4000
# Values of an odd row that are named, and others that are shown with them.
_VALUES, _REST = 3, 8


def ranges(splits: Splits, figures: Figures) -> Section | None:
    """Which columns have samples outside of the range of the training rows."""
    if splits.schema is None or "outside_samples" not in figures:
        return None
    out, real = figures["outside_samples"], figures["outside_held_out"]
    text = (
        f"{percent(out)} of the samples have a value beyond the least or the greatest of the training rows, and "
        f"{percent(real)} of the held-out rows."
    )
    section = Section("ranges", "Outside the data", [text])
    lines = []
    for i, column in enumerate(splits.schema):
        share = figures.get(f"outside_samples_{i}")
        if share is not None and share["value"] > 0:
            x = splits.train.x[:, i]
            seen = x[~x.isnan()]
            drawn = [figures[f"samples_{end}_{i}"]["value"] for end in ("least", "most")]
            ends = [value_text(column, v) for v in (seen.min().item(), seen.max().item(), *drawn)]
            lines.append((share["value"], [column.name, *ends, f"{100 * share['value']:.2g} %"]))
    lines.sort(key=lambda pair: -pair[0])
    if lines:
        head = ["column", "training rows from", "to", "samples from", "to", "outside"]
        rows = [line for _, line in lines[:_LISTED]]
        section.tables.append({"head": head, "rows": rows, "numbers": [1, 2, 3, 4, 5]})
    if len(lines) > _LISTED:
        section.notes.append(f"{len(lines) - _LISTED} more columns have fewer.")
    return section


def association(splits: Splits, figures: Figures, show: PictureWriter) -> Section | None:
    """How strongly the columns go together, in data and in samples."""
    if "association_difference" not in figures:
        return None
    names = list(splits.columns)[:MOST_PAIRED]
    data, samples = (torch.eye(len(names)) for _ in range(2))
    pairs = []
    for i in range(len(names)):
        for j in range(i + 1, len(names)):
            a, b = (figures[f"association_{of}_{i}_{j}"]["value"] for of in ("data", "samples"))
            data[i, j] = data[j, i] = a
            samples[i, j] = samples[j, i] = b
            pairs.append((abs(b - a), [f"{names[i]}, {names[j]}", f"{a:.2f}", f"{b:.2f}", plots.signed(b - a, 2)]))
    pairs.sort(key=lambda pair: -pair[0])
    mean, halves = (figures[f"association_{name}"]["value"] for name in ("difference", "halves"))
    text = (
        "How much one column says of another, from 0, nothing, to 1, everything: their mutual information on the scale "
        "of a correlation, which is one measure for numbers, categories and missing values, and for relations of any "
        f"shape. Data and samples differ by {mean:.3f} in the mean over pairs, two halves of the data by {halves:.3f}."
    )
    beyond = f", the first {len(names)} columns" if len(splits.columns) > len(names) else ""
    caption = f"Associations of pairs of columns{beyond}: data, as many samples, and their difference."
    section = Section("associations", "Associations", [text])
    section.pictures.append(show("associations", plots.associations(data, samples, names), caption))
    head = ["pair", "data", "samples", "difference"]
    section.tables.append({"head": head, "rows": [line for _, line in pairs[:_LISTED]], "numbers": [1, 2, 3]})
    section.notes.append(f"The {min(_LISTED, len(pairs))} pairs that differ most.")
    return section


def detection(splits: Splits, figures: Figures) -> Section | None:
    """How well samples are told from rows, and by which columns."""
    if "detection_auc" not in figures:
        return None
    row, rows = figures["detection_auc"], f"{figures['detection_rows']['value']:,.0f}"
    text = (
        f"Gradient boosting, trained and tested in five folds on {rows} held-out rows and as many samples, has an "
        f"AUC of {joined(row)}: the share of pairs of a row and a sample that it puts in order. 0.5, guessing, is the "
        "best."
    )
    section = Section("detection", "Told apart", [text])
    lost = told_by(splits, figures)[:_LISTED]
    if lost:
        lines = [[name, f"{row['value'] - loss:.3f}", f"{loss:.3f}"] for name, loss in lost]
        section.tables.append({"head": ["column", "AUC without it", "loss"], "rows": lines, "numbers": [1, 2]})
        section.notes.append("Without it: its values are shuffled, so that it says nothing of the others any more.")
    else:
        section.texts.append("No single column gives the samples away.")
    return section


def useful(splits: Splits, figures: Figures) -> Section | None:
    """What models learn from samples, beside what they learn from real rows."""
    columns = [i for i in range(len(splits.columns)) if f"usefulness_real_{i}" in figures]
    if not columns:
        return None
    rows = f"{figures['usefulness_rows']['value']:,.0f}"
    text = (
        f"Gradient boosting predicts a column from all others, trained on {rows} training rows or as many samples, "
        "and is tested on held-out rows. The skill is 0 for guessing and 1 for perfection: of numbers the R² of their "
        "ranks, of categories 2 AUC − 1."
    )
    section = Section("usefulness", "Worth of samples", [text])
    lines = []
    for i in columns:
        real, drawn = figures[f"usefulness_real_{i}"], figures[f"usefulness_samples_{i}"]
        difference = plots.signed(drawn["value"] - real["value"], 2)
        skills = [f"{row['value']:.2f}".replace("-", "−") for row in (real, drawn)]
        lines.append([splits.columns[i], *skills, f"{difference} ± {drawn['error'] or 0:.2f}"])
    head = ["predicted column", "trained on rows", "trained on samples", "difference"]
    section.tables.append({"head": head, "rows": lines, "numbers": [1, 2, 3]})
    if len(columns) < len(splits.columns):
        section.notes.append(f"{len(columns)} of {len(splits.columns)} columns, drawn by chance.")
    return section


def memory(splits: Splits, figures: Figures) -> Section | None:
    """Whether samples repeat training rows."""
    if "nearer_to_training" not in figures:
        return None
    n = f"{figures['memory_rows']['value']:,.0f}"
    section = Section("memory", "Memory")
    note = (
        f"of the samples: their nearest among {n} training rows and {n} held-out ones is a training row. 50 % if the "
        f"model knew neither; p = {p_value(figures['nearer_p']['value'])}"
    )
    nearer = card("Nearer to training rows", figures["nearer_to_training"], note)
    nearer["value"], _, error = percent(figures["nearer_to_training"]).removesuffix(" %").partition(" ± ")
    nearer["value"], nearer["error"] = f"{nearer['value']} %", f"{error} %" if error else ""
    section.cards.append(nearer)
    for what, name, whose in (
        ("Copies among samples", "sample_copies", "of as many samples as held-out rows"),
        ("Copies among held-out rows", "held_out_copies", "of the held-out rows"),
    ):
        value = f"{100 * figures[name]['value']:.2g} %"
        note = f"{whose} are equal to a training row in every column"
        section.cards.append({"what": what, "value": value, "error": "", "note": note, "tag": ""})
    section.notes.append(
        "Distances sum over columns: of numbers the difference of their ranks, of categories 0 or 1. The error counts "
        "that some rows are the nearest of many samples. A model that has only learned what is general is slightly "
        "above 50 % too, as it has learned it from the training rows."
    )
    return section


def odd(flow: Flow, splits: Splits) -> Section | None:
    """The held-out rows that are least likely, and the values that make them so."""
    x, context = splits.test.x[:_ODD_AMONG], splits.test.context
    found = None if splits.schema is None else odd_rows(flow, x, None if context is None else context[:_ODD_AMONG])
    if splits.schema is None or found is None:
        return None
    lines = []
    for index, total, below in zip(found.which.tolist(), found.nats.tolist(), found.below, strict=True):
        values = splits.test.x[index].tolist()
        said = [f"{column.name} = {value_text(column, v)}" for column, v in zip(splits.schema, values, strict=True)]
        worst = [i for i in below.argsort(descending=True).tolist()[:_VALUES] if below[i] > 1]
        named = [f"{said[i]} (−{below[i].item():.1f})" for i in worst]
        rest = [text for i, text in enumerate(said) if i not in worst]
        shown = ", ".join(rest[:_REST]) + (", …" if len(rest) > _REST else "")
        lines.append([f"{total:.1f}".replace("-", "−"), ", ".join(named) or "none alone", shown])
    text = (
        "The held-out rows of the lowest likelihood. Beside a value stand the nats by which it is less likely, given "
        f"the rest of its row, than values of its column mostly are. The median row has "
        f"{plots.signed(found.median, 1)} nats."
    )
    table = {"head": ["nats", "odd values", "the rest of the row"], "rows": lines, "numbers": [0]}
    return Section("odd", "The oddest rows", [text], tables=[table])
