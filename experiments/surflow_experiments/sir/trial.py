"""One trial: a posterior of SIR's parameters trained on simulations, compared with the exact one."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from scipy.stats import kstest
from torch import Tensor

from surflow import presets
from surflow.data import SIR, Posterior
from surflow.evaluation import (
    band_coverage,
    contraction,
    draws_given,
    expected_coverage,
    inside_band,
    latents,
    log_probs,
    mean_and_error,
    ranks,
    tarp,
)
from surflow.flow import Flow
from surflow.nets.summary import Summary
from surflow.supports import positive
from surflow.training.fitting import fit
from surflow_experiments.cells import Cell, Found, Outcome

# Test pairs come from seeds that no training pair was drawn with.
_TEST_SEED = 1_000_000
_SECOND_SEED = 2_000_000
# Draws that a picture shows, and resimulations of every data set for the bands.
DRAWN, RESIMULATED = 2000, 200


def build(sir: SIR, model: str, options: dict[str, Any], components: int, features: int, widths: list[int]) -> Flow:
    """A preset for posteriors, given a summary of the observation by its principal components and a perceptron."""
    summary = Summary(sir.x_shape, features, widths, components)
    return presets.build(model, sir.theta_shape, context_net=summary, support=positive, **options)


def run(cell: Cell) -> Outcome:
    """Simulate, train, draw and score; ``cell.spec`` is what :meth:`Case.cells` puts into it."""
    spec = cell.spec
    sir = SIR(**spec["simulator"])
    theta, x = sir.sample(spec["simulations"], seed=cell.seed)
    torch.manual_seed(cell.seed)
    flow = build(sir, cell.model, **spec["flow"])
    started = time.process_time()
    history = fit(flow, (theta, x), **spec["training"], seed=cell.seed, progress=False)
    seconds = time.process_time() - started

    truth, observed = sir.sample(spec["tests"], seed=_TEST_SEED + cell.seed)
    exact = sir.posterior(observed)
    log_prob, log_exact = log_probs(flow, truth, observed), exact.log_prob(truth)
    found: list[Found] = [
        ("nll", *mean_and_error(-log_prob), "nats"),
        ("nll_exact", *mean_and_error(-log_exact), "nats"),
        # Paired on the same data sets, the gap is known far better than the two likelihoods are.
        ("nll_gap", *mean_and_error(log_exact - log_prob), "nats"),
        ("nll_gap_median", (log_exact - log_prob).median().item(), None, "nats"),
        ("efficiency_exact", exact.efficiency.mean().item(), None, "1"),
        ("seconds", seconds, None, "s"),
        ("steps", history.steps, None, "1"),
        ("parameters", sum(p.numel() for p in flow.parameters()), None, "1"),
    ]
    kept = spec["data_sets"]
    truth, observed = truth[:kept], observed[:kept]
    drawn = draws_given(flow, spec["draws"], observed)
    of_exact = exact.sample(spec["draws"])[:, :kept].to(drawn)
    found += _errors(sir, truth, drawn, of_exact)
    found += _contraction(sir, drawn, exact, kept)
    rank = ranks(sir.quantities(truth), sir.quantities(drawn), cell.seed)
    # Where the exact posterior's ranks leave the band as well, it is these data sets that are unusual.
    rank_of_exact = ranks(sir.quantities(truth), sir.quantities(of_exact), cell.seed)
    for end, some in (("", rank), ("_exact", rank_of_exact)):
        inside = inside_band(some, spec["draws"] + 1)
        names = [f"sbc_inside_{name}{end}" for name in sir.quantity_names]
        found += [(name, float(good), None, "1") for name, good in zip(names, inside, strict=True)]
        found.append((f"sbc_inside{end}", float(inside.mean()), None, "1"))
    if sir.degenerate:
        # One draw for each data set: draws of one data set are not independent of each other.
        found.append(("pit_p", float(kstest(sir.pit_given_product(drawn[0]), "uniform").pvalue), None, "1"))
    mass = expected_coverage(
        log_probs(flow, truth, observed),
        torch.stack([log_probs(flow, part, observed) for part in drawn[: spec["density_draws"]]]),
        cell.seed,
    )
    found.append(("coverage_p", float(kstest(mass, "uniform").pvalue), None, "1"))
    random = tarp(truth, drawn, cell.seed)
    found.append(("tarp_p", float(kstest(random, "uniform").pvalue), None, "1"))
    found += _resimulated(sir, truth, drawn[:RESIMULATED], cell.seed)
    arrays = {
        "losses": np.asarray(history.losses()),
        "validation": np.asarray(history.losses("validation")),
        "ranks": rank.numpy(),
        "density_levels": mass.numpy(),
        "point_levels": random.numpy(),
        "codes": latents(flow, truth, observed).numpy(),
        **_pictures(sir, flow),
    }
    return cell.outcome(found, arrays)


def _errors(sir: SIR, truth: Tensor, drawn: Tensor, of_exact: Tensor) -> list[Found]:
    """Relative errors of draws of the posterior, and of the exact one, below which no honest posterior comes."""
    found: list[Found] = []
    true = sir.quantities(truth)
    for end, some in (("", drawn), ("_exact", of_exact)):
        quantities = sir.quantities(some)
        relative = ((quantities - true).abs() / true).double()
        of_mean = ((quantities.mean(0) - true).abs() / true).double()
        for i, name in enumerate(sir.quantity_names):
            value = relative[..., i].flatten()
            found.append((f"{name}_relative_error{end}", value.median().item(), None, "1"))
            found.append((f"{name}_relative_error_of_mean{end}", of_mean[:, i].median().item(), None, "1"))
            # numpy's quantile, because torch's stops at sixteen million numbers.
            found.append((f"{name}_relative_error_95{end}", float(np.quantile(value.numpy(), 0.95)), None, "1"))
    return found


def _contraction(sir: SIR, drawn: Tensor, exact: Posterior, kept: int) -> list[Found]:
    prior_sd = sir.prior.stddev.double()
    ours = contraction(drawn.double().std(0), prior_sd)
    true = contraction(exact.moments()[1][:kept], prior_sd)
    return [
        (f"contraction_{name}{end}", value, None, "1")
        for end, values in (("", ours), ("_exact", true))
        for name, value in zip(sir.parameters, values.tolist(), strict=True)
    ]


def _resimulated(sir: SIR, truth: Tensor, drawn: Tensor, seed: int) -> list[Found]:
    """How far the curves of draws lie from the true ones, and how much of new data their bands hold."""
    some = min(100, len(truth))  # data sets: bands take 200 simulations of each
    part = drawn[:, :some]
    curves, true = sir.mean(part.flatten(0, 1)), sir.mean(truth[:some])
    distance = (curves.reshape(len(part), some, -1) - true).norm(dim=2) / true.norm(dim=1)
    again = sir.simulate(part.flatten(0, 1), seed=seed).reshape(len(part), some, -1)
    # A second observation of the same parameters: the right posterior's bands hold .9 of it. Of the one that the draws
    # were given they hold more, as the draws follow its noise.
    second = sir.simulate(truth[:some], seed=_SECOND_SEED + seed)
    return [
        ("resimulation_error", distance.median().item(), None, "1"),
        ("band_coverage_90", band_coverage(second, again, 0.9, seed), None, "1"),
    ]


def _pictures(sir: SIR, flow: Flow) -> dict[str, np.ndarray]:
    """The posterior of one data set, that of the middle of the prior, and resimulations of it."""
    truth = sir.prior.mean[None]
    observed = sir.simulate(truth, seed=_TEST_SEED)
    drawn = draws_given(flow, DRAWN, observed)[:, 0]
    again = sir.simulate(drawn[:RESIMULATED], seed=_TEST_SEED + 1)
    return {
        "truth": truth[0].numpy(),
        "observed": observed[0].numpy(),
        "drawn": drawn.numpy(),
        "exact": sir.posterior(observed).sample(DRAWN)[:, 0].float().numpy(),
        "resimulated": again.numpy(),
    }
