"""Every test starts from the same seed and runs on one thread; what is marked slow by its name, and shared fixtures."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import Any

import pytest
import torch

torch.set_num_threads(1)

# Slow examples of docstrings, and slow cases of tests whose other cases are not.
SLOW = {
    "surflow.sbi.automatic.fit_posterior",
    "test_every_integer_of_every_case[any order]",
    "test_every_integer_of_every_case[column mixture]",
    "test_figures_are_right_under_the_truth[calibration]",
    "test_figures_are_right_under_the_truth[shifted]",
    "test_likelihoods_integrate_to_one[lotka_volterra]",
    "test_mass_is_one_and_draws_follow_the_density[any order, context]",
    "test_mass_is_one_and_draws_follow_the_density[any order, numbers]",
    "test_mass_is_one_and_draws_follow_the_density[column tree]",
    "test_mass_is_one_and_draws_follow_the_density[levels, autoregressive, grid]",
    "test_posteriors_have_the_moments_of_the_published_draws[lotka_volterra-1]",
    "test_posteriors_have_the_moments_of_the_published_draws[lotka_volterra-2]",
    "test_posteriors_have_the_moments_of_the_published_draws[sir_benchmark-1]",
    "test_posteriors_have_the_moments_of_the_published_draws[sir_benchmark-2]",
    "test_posteriors_of_two_parameters_integrate_to_one[sir_benchmark-None]",
    "test_ratios_of_likelihoods_have_mean_one_under_simulations[lotka_volterra]",
    "test_ratios_of_likelihoods_have_mean_one_under_simulations[sir_benchmark]",
    "test_separated_text_is_read_as_it_is_written[Windows' encoding far below]",
    "test_separated_text_is_read_as_it_is_written[quotes that begin far below]",
    "test_small_files_cost_little[pieces within each other]",
    "test_the_band_holds_whole_curves[500-200]",
    "test_the_exact_posterior_of_a_task_is_calibrated[lotka_volterra]",
    "test_the_exact_posterior_of_a_task_is_calibrated[sir_benchmark]",
    "test_total_mass[VAE, set encoder]",
    "test_total_mass[inverse abs]",
    "test_what_holds_no_table_is_refused[a ragged row far below]",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.name in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _seed() -> None:
    # Not torch.manual_seed, which keeps a traceback for each of the devices that are not there.
    torch.default_generator.manual_seed(0)


@pytest.fixture(scope="module")
def small_pictures() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("surflow.plots.style._DPI", 40)
        yield


class _Here(Executor):
    """Runs what it is given at once, in this process; as on the way to another, all is pickled, there and back."""

    def __init__(self, *_: object) -> None:
        """Takes what a pool of processes takes."""

    def submit(self, run: Callable[..., Any], /, *given: object, **named: object) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            run, given, named = pickle.loads(pickle.dumps((run, given, named)))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # in another process they are no errors
                outcome = run(*given, **named)
            future.set_result(pickle.loads(pickle.dumps(outcome)))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process of a pool imports torch and Lightning first: that it does is shown once, not by every test."""
    monkeypatch.setattr("surflow_experiments.cells.ProcessPoolExecutor", _Here)
