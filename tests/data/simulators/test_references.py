"""Posteriors of the simulators beside the reference posteriors of the benchmark sbibm, and their files.

``references.json`` has the first two observations of every task (MIT licence), and means and standard deviations of the
10,000 draws of the posterior that are published with each.
"""

from __future__ import annotations

import bz2
import json
import math
from pathlib import Path

import pytest
import torch

import surflow as sf
from surflow.data import simulator
from surflow.data.simulators.references import read_reference, reference_numbers

PUBLISHED = json.loads((Path(__file__).parent / "references.json").read_text())
DRAWS = 10_000
PAIRS = [("bernoulli_glm_raw", "bernoulli_glm"), ("slcp_distractors", "slcp")]


def _observations(task: str) -> torch.Tensor:
    return torch.tensor([given["x"] for given in PUBLISHED if given["task"] == task], dtype=torch.float32)


@pytest.mark.parametrize("given", PUBLISHED, ids=lambda given: f"{given['task']}-{given['number']}")
def test_posteriors_have_the_moments_of_the_published_draws(given) -> None:
    posterior = simulator(given["task"]).posterior(torch.tensor([given["x"]], dtype=torch.float32), draws=DRAWS)
    mean, sd = (part[0] for part in posterior.moments())
    error = math.sqrt(1 / DRAWS + 1 / (DRAWS * posterior.efficiency.item()))
    assert ((torch.tensor(given["mean"]) - mean) / sd).abs().max() < 5 * error
    assert (torch.tensor(given["sd"]) / sd).log().abs().max() < 0.05


@pytest.mark.parametrize(("task", "plain"), PAIRS)
def test_tasks_of_two_forms_have_one_posterior(task: str, plain: str) -> None:
    one, two = simulator(task).posterior(_observations(task)), simulator(plain).posterior(_observations(plain))
    theta = two.sample(1)[0]
    torch.testing.assert_close(one.log_prob(theta), two.log_prob(theta), rtol=0, atol=1e-4)


def test_observations_of_both_forms_of_a_task_are_consistent() -> None:
    sums = _observations("bernoulli_glm_raw") @ simulator("bernoulli_glm").design.float()
    torch.testing.assert_close(sums, _observations("bernoulli_glm"), rtol=0, atol=1e-5)
    points = simulator("slcp_distractors")._points(_observations("slcp_distractors"))
    assert torch.equal(points.flatten(1), _observations("slcp"))


def test_constants_are_those_of_the_benchmark() -> None:
    """As they stand in its files stimulus_I.pt, gmm.torch and permutation_idx.torch."""
    design = simulator("bernoulli_glm").design
    assert design[[0, 1, 2, 99], 1].tolist() == pytest.approx([0.49671414, -0.1382643, 0.64768857, -0.23458713])
    task = simulator("slcp_distractors")
    assert task._loc[[0, 0, 19], [0, 1, 91]].tolist() == pytest.approx([7.4507123, -2.07396452, -3.12175286])
    assert task._factor[[0, 19, 19], [0, 91, 91], [0, 90, 91]].tolist() == pytest.approx(
        [3.42332472, 2.44653206, 2.19635089]
    )
    assert task._order[:6].tolist() == [87, 47, 39, 9, 25, 21]


def test_observations_of_tasks_of_other_names_are_found(tmp_path: Path) -> None:
    where = tmp_path / "bernoulli_glm" / "num_observation_3"
    where.mkdir(parents=True)
    with pytest.raises(sf.FileError, match=r"observation_raw\.csv is not there"):
        read_reference(tmp_path, "bernoulli_glm_raw", 3, simulator("bernoulli_glm_raw"))
    spikes = ["0", "1"] * 50
    (where / "observation_raw.csv").write_text(",".join(f"data_{i}" for i in range(100)) + "\n" + ",".join(spikes))
    draws = "\n".join([",".join("abcdefghij"), *[",".join(["0.5"] * 10)] * 2])
    (where / "reference_posterior_samples.csv.bz2").write_bytes(bz2.compress(draws.encode()))
    assert reference_numbers(tmp_path, "bernoulli_glm_raw") == [3]
    x, found = read_reference(tmp_path, "bernoulli_glm_raw", 3, simulator("bernoulli_glm_raw"))
    assert x.tolist() == [float(y) for y in spikes] and found.shape == (2, 10)
