"""Every test starts from the same seed and runs on one thread."""

import pytest
import torch

torch.set_num_threads(1)

# Examples in docstrings that train for seconds.
SLOW_EXAMPLES = {"surflow.sbi.automatic.fit_posterior"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.name in SLOW_EXAMPLES:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _seed() -> None:
    # Not torch.manual_seed, which keeps a traceback for each of the devices that are not there.
    torch.default_generator.manual_seed(0)
