"""surflow in the package ``sbi``: a density estimator for its neural posteriors and likelihoods."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from surflow import presets
from surflow._internal.random import seeded
from surflow._internal.shapes import Shape
from surflow.data.simulators.priors import support_of
from surflow.errors import ConfigError, DataError, ShapeError, unknown_name
from surflow.evaluation.likelihood import evaluating
from surflow.flow import Flow
from surflow.nets.summary import Summary
from surflow.sbi.automatic import fit_posterior
from surflow.supports import Support, real

if TYPE_CHECKING:
    from surflow.sbi.density_estimator import FlowEstimator

KINDS = ("posterior", "likelihood")


def estimator(
    kind: str = "posterior",
    *,
    model: str | Callable[[Shape, Shape], Flow] = "auto",
    prior: torch.distributions.Distribution | None = None,
    embedding: nn.Module | None = None,
    minutes: float | None = None,
    importance_samples: int = 10,
    seed: int = 0,
    **options: Any,  # noqa: ANN401 -- whatever the preset takes
) -> Callable[[Tensor, Tensor], FlowEstimator]:
    r"""The build function that ``sbi.inference.NPE`` and ``NLE`` take as ``density_estimator=``.

    What it builds has the standardisation of parameters and observations inside, and the prior's support too: no draw
    of a posterior leaves it, so that none is rejected.

    Args:
        kind: "posterior" for NPE, a distribution of theta given x; "likelihood" for NLE, a distribution of x given
            theta.
        model: a preset (``surflow.presets.names()``), or a function (event_shape, context_shape) -> :class:`Flow`.
            "auto" of a posterior, without options and an embedding, is :func:`surflow.sbi.fit_posterior`: it trains
            when it builds, and what ``train`` of sbi does afterwards changes nothing. With options or an embedding, and
            of a likelihood, it is ``box`` where the prior is a box, else ``posterior``.
        prior: for a posterior the distribution of theta; its support becomes that of the flow. Leave it out for a
            likelihood.
        embedding: a network for what is conditioned on, (batch, \*shape) to (batch, features), of which a copy is
            trained behind a standardisation; by default numbers are standardised, and of more than 32 the principal
            components are summarised.
        minutes: as of :func:`surflow.sbi.fit_posterior`, which alone has a use for it.
        importance_samples: for a flow with a bound, k of the bound that ``log_prob`` returns.
        seed: of the weights, and of the noise in a bound: the same for every evaluation, because samplers and
            optimisers expect a potential that does not change.
        options: the preset's own, such as ``layers``, ``hidden`` and ``bins``.

    Raises:
        ConfigError: for an unknown kind, or a prior for a likelihood; when it builds, for an unknown preset or option.
        SupportError: for a prior whose coordinates are not real, positive or in intervals.
        DataError: when it builds, for simulations that are not finite, or theta outside the prior.
        ShapeError: when it builds, for an embedding whose output is no vector, or a flow of another shape.

    Source: Papamakarios and Murray, "Fast epsilon-free Inference of Simulation Models", arXiv 1605.06376 (NPE);
    Papamakarios, Sterratt and Murray, "Sequential Neural Likelihood", arXiv 1805.07226 (NLE).

    >>> from torch.distributions import Independent, Uniform
    >>> prior = Independent(Uniform(-torch.ones(2), torch.ones(2)), 1)
    >>> build = estimator(prior=prior, layers=1)  # inference = sbi.inference.NPE(prior, density_estimator=build)
    """
    if kind not in KINDS:
        raise ConfigError(unknown_name("kind of estimator", kind, KINDS))
    if kind == "likelihood" and prior is not None:
        raise ConfigError("a likelihood is a distribution of observations: leave out the prior of the parameters")
    if callable(model) and (options or embedding is not None):
        raise ConfigError("options and an embedding are for presets: put them into the flow that the function makes")
    if importance_samples < 1:
        raise ConfigError(f"importance_samples must be a whole number from 1, got {importance_samples}")
    support = real if prior is None else support_of(prior)
    by_default = kind == "posterior" and model == "auto" and embedding is None and not options
    if minutes is not None and not by_default:
        raise ConfigError("minutes are for the default of a posterior, which trains when it builds: leave them out")

    def make(event_shape: Shape, condition: Tensor) -> Flow:
        context_shape = tuple(condition.shape[1:])
        if callable(model):
            flow = model(event_shape, context_shape)
            if (flow.event_shape, flow.context_shape) != (event_shape, context_shape):
                raise ShapeError(
                    f"the flow is a distribution of events {flow.event_shape} given contexts {flow.context_shape}, "
                    f"the simulations ask for {event_shape} given {context_shape}"
                )
            return flow
        name = presets.choose_conditional(event_shape, support) if model == "auto" else model
        net = presets.summary(context_shape) if embedding is None else Embedded(deepcopy(embedding), condition)
        return presets.build(name, event_shape, context_net=net, support=support, **options)

    def build(theta: Tensor, x: Tensor) -> FlowEstimator:
        from surflow.sbi.density_estimator import FlowEstimator

        for name, part in (("theta", theta), ("x", x)):
            bad = ~part.flatten(1).isfinite().all(1)
            if bad.any():
                raise DataError(f"{int(bad.sum())} of {len(part)} rows of {name} are not finite: drop or fill them")
        if by_default and x.ndim == 2:
            _check_inside(support, theta)
            fitted = fit_posterior(theta, x, prior=prior, minutes=minutes, seed=seed)
            return FlowEstimator(fitted.flow, importance_samples, seed, trained=True)
        event, condition = (theta, x) if kind == "posterior" else (x, theta)
        with seeded(seed):
            flow = make(tuple(event.shape[1:]), condition)
            _check_inside(flow.support, event)
            with evaluating(flow):  # as above
                flow.initialize(event, condition)
        return FlowEstimator(flow, importance_samples, seed)

    return build


def _check_inside(support: Support, event: Tensor) -> None:
    outside = ~support.contains(event)
    if outside.any():
        raise DataError(
            f"{int(outside.sum())} of {len(event)} rows lie outside the flow's support {support!r}: "
            "simulate with theta from the prior"
        )


class Embedded(nn.Module):
    """A network behind the standardisation of what it is given; the shape of its output is found by a trial.

    A flow with it is for use in this program: a file cannot state a network of another library.

    Args:
        net: (batch, *shape) to (batch, features).
        rows: some of what it will be given, shape (batch, *shape).

    Raises:
        ShapeError: if what comes out is not one vector for each row, or the network cannot take the rows.
    """

    def __init__(self, net: nn.Module, rows: Tensor) -> None:
        super().__init__()
        self.in_shape = tuple(rows.shape[1:])
        self.standardise, self.net = Summary(self.in_shape), net
        some = rows[:2]
        expected = f"the embedding is given rows of shape {self.in_shape} and expected to return vectors"
        try:
            with evaluating(self):  # what the network keeps of its inputs is to be of training alone
                out = self(some)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise ShapeError(f"{expected}, but fails: {error}") from error
        if out.ndim != 2 or len(out) != len(some):
            raise ShapeError(f"{expected}, but {len(some)} rows became shape {tuple(out.shape)}")
        self.out_shape = tuple(out.shape[1:])

    any_precision = True

    def initialize(self, x: Tensor, *, weight: Tensor | None = None) -> None:
        """Fit the standardisation, once; rows of weight w count as w rows."""
        self.standardise.initialize(x, weight=weight)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, *shape) to (batch, features)."""
        return self.net(self.standardise(x).reshape(-1, *self.in_shape))
