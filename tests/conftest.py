"""Every test starts from the same seed and runs on one thread."""

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    # Not torch.manual_seed, which keeps a traceback for each of the devices that are not there.
    torch.default_generator.manual_seed(0)
