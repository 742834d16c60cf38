"""The verdict on a model of a table, in plain words."""

from __future__ import annotations

import math

from surflow.app.page import Section, p_value
from surflow.app.report.text import joined, percent
from surflow.data import Splits
from surflow.evaluation.results import Row

Figures = dict[str, Row]
BASELINES = {
    "independent": "independent columns",
    "tree": "a tree of pairs of columns",
    "copula": "a Gaussian copula",
    "gaussian": "a Gaussian",
}
# How sure is sure: two standard errors.
_SURE = 2.0
# What an AUC below a number is called.
_WORDS = ((0.55, "hardly told"), (0.7, "sometimes told"), (0.85, "often told"), (0.95, "mostly told"))
_UNKNOWN = "unknown"
# The share of the skill of real rows from which samples are mostly as useful.
_MOSTLY = 0.75
# With fewer held-out rows, figures of samples are of little worth.
_FEW_ROWS = 200


def verdict(splits: Splits, figures: Figures) -> Section | None:
    """What the figures of a table say, and which not to trust; None where there are none."""
    if "detection_auc" not in figures:
        return None
    section = Section("verdict", "Verdict")
    rows = figures["test_rows"]["value"]
    section.texts.append(_in_a_sentence(rows, figures))
    section.points = [
        point
        for point in (_likelihood(figures), _detection(splits, figures), _useful(figures), _memory(figures))
        if point is not None
    ]
    distrust = _not_to_trust(splits, figures)
    if distrust:
        section.points.append(_point("Not to trust", "", " ".join(distrust)))
    return section


def _point(what: str, answer: str, text: str, mark: str = "") -> dict[str, str]:
    return {"what": what, "answer": answer, "text": text, "mark": mark}


def best_baseline(figures: Figures) -> tuple[str, Row, Row] | None:
    """The simple model of the lowest NLL: its name, its NLL, and what the model gains over it."""
    found = [name for name in BASELINES if f"gain_over_{name}" in figures]
    found = [name for name in found if math.isfinite(figures[f"{name}_nll"]["value"])]
    if not found:
        return None
    name = min(found, key=lambda name: figures[f"{name}_nll"]["value"])
    return name, figures[f"{name}_nll"], figures[f"gain_over_{name}"]


def _sign(row: Row) -> int:
    """1 or -1 where a figure is surely above or below zero, else 0."""
    error = row["error"] or 0.0
    return 0 if abs(row["value"]) <= _SURE * error else int(math.copysign(1, row["value"]))


def _in_a_sentence(rows: float, figures: Figures) -> str:
    best, told = best_baseline(figures), _told(figures["detection_auc"])
    said = f"On {rows:,.0f} rows that it never saw, "
    if best is not None:
        known = {1: "predicts better than", 0: "predicts about as well as", -1: "predicts worse than"}
        said += f"the model {known[_sign(best[2])]} the best simple model, and "
    if told == _UNKNOWN:
        return said + "they are too few to say whether its samples are told from real rows."
    return said + f"its samples are {told} from real rows."


def _told(row: Row) -> str:
    auc, error = row["value"], row["error"] or 0.0
    low = auc - _SURE * error
    if _SURE * error > 0.08 and low < 0.7:
        return _UNKNOWN
    return next((word for end, word in _WORDS if auc < end or low < 0.5), "nearly always told")


def _likelihood(figures: Figures) -> dict[str, str] | None:
    best, nll = best_baseline(figures), figures.get("nll")
    if best is None or nll is None:
        return None
    name, row, gain = best
    sign = _sign(gain)
    answer = {1: "Yes.", 0: "As well as a simple model.", -1: "Worse than a simple model."}[sign]
    if not math.isfinite(gain["value"]):
        return _point("Does it predict new rows?", "Not all.", "It calls some of them impossible.", "missed")
    times = math.exp(min(abs(gain["value"]), 50.0))
    ratio = f"{times:.1f}" if times < 10 else f"{times:,.0f}"
    text = f"{joined(nll)} nats a row; the best simple model, {BASELINES[name]}, has {joined(row)}. "
    if sign:
        more, less = ("this model", "that one") if sign > 0 else ("that one", "this model")
        text += f"To a new row {more} gives {ratio} times the probability that {less} does, in the geometric mean."
    else:
        text += f"The difference, {joined(gain)}, may be chance."
    return _point("Does it predict new rows?", answer, text, {1: "met", 0: "", -1: "missed"}[sign])


def _detection(splits: Splits, figures: Figures) -> dict[str, str]:
    row = figures["detection_auc"]
    told = _told(row)
    answer = "Too few rows to say." if told == _UNKNOWN else told.removesuffix(" told").capitalize() + "."
    text = f"Gradient boosting ranks a real row above a sample {percent(row)} of the time; guessing has 50 %."
    gives_away = told_by(splits, figures)
    if gives_away and told not in (_UNKNOWN, "hardly told"):
        text += f" What gives samples away is above all {' and '.join(name for name, _ in gives_away[:2])}."
    mark = "met" if told == "hardly told" else "" if told in (_UNKNOWN, "sometimes told") else "missed"
    return _point("Can samples be told from rows?", answer, text, mark)


def told_by(splits: Splits, figures: Figures) -> list[tuple[str, float]]:
    """The columns whose shuffling costs the classifier most, and how much of its AUC, the largest first."""
    auc, error = figures["detection_auc"]["value"], figures["detection_auc"]["error"] or 0.0
    lost = [
        (name, auc - figures[f"detection_without_{i}"]["value"])
        for i, name in enumerate(splits.columns)
        if f"detection_without_{i}" in figures
    ]
    return sorted([(name, loss) for name, loss in lost if loss > error], key=lambda pair: -pair[1])


def _useful(figures: Figures) -> dict[str, str] | None:
    if "usefulness_gain" not in figures:
        return None
    real, drawn, gain = (figures[f"usefulness_{name}"] for name in ("real", "samples", "gain"))
    share = max(0.0, drawn["value"] / real["value"])
    spread = _SURE * (gain["error"] or 0.0) / real["value"]
    if spread > 0.4:
        return _point("Are samples as useful?", "Too few rows to say.", f"The difference in skill is {joined(gain)}.")
    close = share >= 0.95
    chance = not close and share + spread >= 1
    answer = "Yes." if close else "No difference beyond chance." if chance else _part(share)
    text = (
        f"Models that predict a column from the others and were trained on samples have {100 * share:.0f} % of the "
        f"skill of those trained on real rows ({drawn['value']:.2f} of {real['value']:.2f}; the error of the "
        f"difference is {gain['error'] or 0:.2f})."
    )
    return _point(
        "Are samples as useful?", answer, text, "met" if close else "" if chance or share >= _MOSTLY else "missed"
    )


def _part(share: float) -> str:
    return "Mostly." if share >= _MOSTLY else "Partly." if share >= 0.4 else "Little."


def _memory(figures: Figures) -> dict[str, str] | None:
    if "nearer_to_training" not in figures:
        return None
    copied, known = figures["sample_copies"], figures["held_out_copies"]
    nearer, p = figures["nearer_to_training"], figures["nearer_p"]["value"]
    error = math.hypot(copied["error"] or 0.0, known["error"] or 0.0)
    repeats = copied["value"] - known["value"] > _SURE * error
    leans = p < 0.01 and nearer["value"] > 0.5
    text = (
        f"Of samples {_share(copied)} are equal to a training row, of held-out rows {_share(known)}. "
        f"{percent(nearer)} of the samples are nearer to a training row than to one held out; 50 % if the model knows "
        f"neither (p = {p_value(p)})."
    )
    if repeats or (leans and nearer["value"] >= 0.65):
        answer, mark = "Yes.", "missed"
    elif leans:
        answer, mark = "A little.", "missed"
    else:
        answer, mark = "No sign of it.", "met"
    return _point("Does it repeat its training rows?", answer, text, mark)


def _share(row: Row) -> str:
    return "none" if row["value"] == 0 else f"{100 * row['value']:.2g} %"


def _not_to_trust(splits: Splits, figures: Figures) -> list[str]:
    said = []
    rows = figures["test_rows"]["value"]
    if rows < _FEW_ROWS:
        said.append(f"{rows:,.0f} held-out rows are few: figures of samples move by their errors and more.")
    known = figures["held_out_copies"]["value"]
    if known > 0:
        text = f"{_share(figures['held_out_copies'])} of the held-out rows are in the training rows too"
        if "nll_not_trained_on" in figures:
            text += f"; without them the NLL is {joined(figures['nll_not_trained_on'])}"
        said.append(text + ".")
    if "outside_samples" in figures:
        out, real = figures["outside_samples"], figures["outside_held_out"]
        if out["value"] - real["value"] > _SURE * math.hypot(out["error"] or 0.0, real["error"] or 0.0):
            said.append(
                f"{percent(out)} of the samples have a value outside of the range of the training rows, against "
                f"{percent(real)} of the held-out rows."
            )
    warnings = [] if splits.schema is None else splits.schema.warnings
    if warnings:
        alone = f"{warnings[0].rstrip('.')}."
        said.append(alone if len(warnings) == 1 else f"{len(warnings)} doubts about the data are listed under Data.")
    return said
