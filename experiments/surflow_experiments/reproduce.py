"""The experiments by their names."""

from __future__ import annotations

import ast
import pkgutil
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from surflow.errors import ConfigError, SurflowError, unknown_name
from surflow_experiments import circle, images, point_clouds, sbibm, sbibm_auto, sir, tables
from surflow_experiments.cells import ShardDone, only
from surflow_experiments.synthetic.groups import GROUPS, WHOLE


@dataclass(frozen=True)
class Experiment:
    """An experiment that has a page.

    Attributes:
        package: where it is; its docstring says what is shown. Its module ``reproduce`` is imported when it runs.
        takes_data: whether ``reproduce`` there takes a folder of data.
    """

    package: ModuleType
    takes_data: bool = False

    def run(self, results: Path, work: Path, *, quick: bool, data_dir: Path | None) -> Path:
        """Call ``reproduce`` of the package."""
        run = import_module(f"{self.package.__name__}.reproduce").reproduce
        return run(results, work, quick=quick, **({"data_dir": data_dir} if self.takes_data else {}))


# Beside these, every group of the plane.
EXPERIMENTS = {
    "circle": Experiment(circle),
    "images": Experiment(images, takes_data=True),
    "point-clouds": Experiment(point_clouds, takes_data=True),
    "sbibm": Experiment(sbibm, takes_data=True),
    "sbibm-auto": Experiment(sbibm_auto, takes_data=True),
    "sir": Experiment(sir),
    "tables": Experiment(tables, takes_data=True),
}


def names() -> dict[str, str]:
    """Every experiment, and what it shows.

    >>> "sir" in names()
    True
    """
    found = {WHOLE: "every set of the plane: all groups that follow, about an hour"}
    found |= {name: "; ".join(comparison.title for comparison in group) for name, group in GROUPS.items()}
    return found | {name: (known.package.__doc__ or "").strip() for name, known in EXPERIMENTS.items()}


def records() -> dict[str, str]:
    """The modules of this package that are run with ``python -m``, and what each of them records."""
    found = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if not module.ispkg:
            tree = ast.parse(Path(__file__).with_name(f"{module.name}.py").read_text(encoding="utf-8"))
            if isinstance(tree.body[-1], ast.If):  # if __name__ == "__main__"
                found[module.name] = (ast.get_docstring(tree) or "").splitlines()[0]
    return found


def reproduce(
    name: str,
    results: Path,
    work: Path,
    *,
    quick: bool = False,
    data_dir: Path | None = None,
    shard: tuple[int, int] | None = None,
) -> Path:
    """Run an experiment, or take up one that was killed: its results, pictures and page.

    Args:
        name: one of :func:`names`.
        results: the folder of ``EXPERIMENT.json`` and of ``EXPERIMENT/NAME.html`` with its pictures.
        work: where trials that are done are kept.
        quick: only run through everything once.
        data_dir: a folder with data, for the experiment that takes one.
        shard: (i, n) runs the i-th of n shares of the trials, from 1, and records nothing: when all shares are done, a
            call without it does, and runs what is missing.

    Returns:
        The path of the page; of a share, that of ``work``.

    Raises:
        ConfigError: for an unknown name, a folder that the experiment does not take, or a share that there is not.
        FileError: if the results cannot be written, or data are missing.
        SurflowError: if trials failed.
    """
    if name not in names():
        raise ConfigError(unknown_name("experiment", name, names()))
    experiment = EXPERIMENTS.get(name)
    if data_dir is not None and not (experiment and experiment.takes_data):
        *first, last = [known for known, experiment in EXPERIMENTS.items() if experiment.takes_data]
        raise ConfigError(
            f"--data-dir is for the experiments {', '.join(first)} and {last}, {name!r} makes its data itself: "
            "leave it out"
        )
    if shard is None:
        return _run(name, results, work, quick=quick, data_dir=data_dir)
    number, of = shard
    if not 1 <= number <= of:
        raise ConfigError(f"expected a share from 1/{of} to {of}/{of}, got {number}/{of}")
    try:
        with only(number, of):
            return _run(name, results, work, quick=quick, data_dir=data_dir)
    except ShardDone as done:
        if done.failed:
            listed = "\n".join(done.failed)
            raise SurflowError(f"{len(done.failed)} trials failed, the others are kept:\n{listed}") from done
    return work


def _run(name: str, results: Path, work: Path, *, quick: bool, data_dir: Path | None) -> Path:
    experiment = EXPERIMENTS.get(name)
    if experiment is not None:
        return experiment.run(results, work, quick=quick, data_dir=data_dir)
    from surflow_experiments.synthetic.reproduce import reproduce as run_group

    return run_group(name, results, work, quick=quick)
