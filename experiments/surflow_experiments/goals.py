"""Tables of a page: goals that were met or missed, and what every model reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from surflow.app.page import Section, plus_minus
from surflow_experiments.cells import Outcome


@dataclass(frozen=True)
class Goal:
    """What a metric should be for a model: at least or at most a value, and what was reached elsewhere."""

    model: str
    metric: str
    title: str
    value: float
    least: bool
    baseline: str

    def met(self, value: float) -> bool:
        return value >= self.value if self.least else value <= self.value


def goals_section(goals: Sequence[Goal], outcomes: Sequence[Outcome], baseline: str = "the report") -> Section:
    """A row for every goal, with what its model reached."""
    rows, marks = [], []
    for goal in goals:
        value = next(outcome for outcome in outcomes if outcome.cell.model == goal.model).value(goal.metric)
        marks.append("met" if goal.met(value) else "missed")
        text = f"{'at least' if goal.least else 'at most'} {goal.value:g}, {marks[-1]}"
        rows.append([goal.title, goal.baseline, goal.model, plus_minus(value, None)[0], text])
    head = ["figure of merit", baseline, "model", "ours", "goal"]
    return Section("goals", "Goals", tables=[{"head": head, "rows": rows, "numbers": [], "marks": marks, "marked": 4}])


def models_section(outcomes: Sequence[Outcome], columns: Mapping[str, str], texts: list[str]) -> Section:
    """A row for every model, with the metrics that ``columns`` names and titles."""
    rows = []
    for outcome in outcomes:
        known = {row["metric"]: plus_minus(row["value"], row["error"]) for row in outcome.rows}
        values = (known.get(metric, ("", "")) for metric in columns)
        rows.append([outcome.cell.model, *(f"{value} ± {error}" if error else value for value, error in values)])
    head = ["model", *columns.values()]
    table = {"head": head, "rows": rows, "numbers": list(range(1, len(head)))}
    return Section("models", "Models", texts, tables=[table])
