"""Tables of a page: goals that were met or missed, and what every model reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from surflow.app.page import Section, plus_minus
from surflow_experiments.cells import Outcome


@dataclass(frozen=True)
class Goal:
    """What the mean of a metric over the seeds should be, for one model of one case.

    Attributes:
        case, model: of the cells.
        metric, title: what is asked about, and what the page calls it.
        limit: the value to reach.
        least: whether the limit is the least value that will do, in place of the largest.
        of_exact: whether the limit is of the distance to METRIC_exact, the same figure of the exact posterior.
        baseline: what was reached elsewhere.
    """

    case: str
    model: str
    metric: str
    title: str
    limit: float
    baseline: str = ""
    least: bool = False
    of_exact: bool = False

    def met(self, outcomes: Sequence[Outcome]) -> bool:
        """Whether the outcomes of the seeds reach it."""
        values = [outcome.value(self.metric) for outcome in outcomes]
        if self.of_exact:
            pairs = zip(values, outcomes, strict=True)
            values = [abs(value - outcome.value(f"{self.metric}_exact")) for value, outcome in pairs]
        mean = sum(values) / len(values)
        return mean >= self.limit if self.least else mean <= self.limit

    def __str__(self) -> str:
        if self.of_exact:
            return f"within {self.limit:g} of exact"
        return f"{'at least' if self.least else 'at most'} {self.limit:g}"


def goals_section(
    goals: Sequence[Goal], outcomes: Sequence[Outcome], baseline: str = "the study", notes: Sequence[str] = ()
) -> Section:
    """A row for every goal, with what the seeds of its model reached, and the exact posterior, where that is known."""
    rows, marks = [], []
    for goal in goals:
        found = [o for o in outcomes if (o.cell.case, o.cell.model) == (goal.case, goal.model)]
        marks.append("met" if goal.met(found) else "missed")
        reached, exact = (
            ", ".join(plus_minus(row["value"], None)[0] for o in found for row in o.rows if row["metric"] == metric)
            for metric in (goal.metric, f"{goal.metric}_exact")
        )
        rows.append([goal.case, goal.title, goal.baseline, goal.model, reached, exact, f"{goal}, {marks[-1]}"])
    head = ["case", "figure of merit", baseline, "model", "ours, a number a seed", "exact", "goal, of the mean"]
    # What says nothing, or the same everywhere, has no column.
    kept = [i for i in range(len(head)) if i > 0 or len({row[0] for row in rows}) > 1]
    kept = [i for i in kept if any(row[i] for row in rows)]
    table = {
        "head": [head[i] for i in kept],
        "rows": [[row[i] for i in kept] for row in rows],
        "numbers": [],
        "marks": marks,
        "marked": len(kept) - 1,
    }
    return Section("goals", "Goals", tables=[table], notes=list(notes))


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
