"""Every test starts from the same seed and runs on one thread."""

import pytest
import torch

torch.set_num_threads(1)

# Slow examples of docstrings, and slow cases of tests whose other cases are not.
SLOW = {
    "surflow.sbi.automatic.fit_posterior",
    "test_draws_from_regions_follow_the_distribution_there[two-_mixture]",
    "test_draws_from_regions_follow_the_distribution_there[two-_tree]",
    "test_every_integer_of_every_case[any order]",
    "test_every_integer_of_every_case[column mixture]",
    "test_posteriors_have_the_moments_of_the_published_draws[lotka_volterra-1]",
    "test_posteriors_have_the_moments_of_the_published_draws[lotka_volterra-2]",
    "test_posteriors_have_the_moments_of_the_published_draws[sir_benchmark-1]",
    "test_posteriors_have_the_moments_of_the_published_draws[sir_benchmark-2]",
    "test_posteriors_of_two_parameters_integrate_to_one[sir_benchmark-None]",
    "test_ratios_of_likelihoods_have_mean_one_under_simulations[lotka_volterra]",
    "test_ratios_of_likelihoods_have_mean_one_under_simulations[sir_benchmark]",
    "test_the_exact_posterior_of_a_task_is_calibrated[lotka_volterra]",
    "test_the_exact_posterior_of_a_task_is_calibrated[sir_benchmark]",
    "test_total_mass[inverse abs]",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.name in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _seed() -> None:
    # Not torch.manual_seed, which keeps a traceback for each of the devices that are not there.
    torch.default_generator.manual_seed(0)
