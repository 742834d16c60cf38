"""Simulator: a prior, observations given parameters, and the posterior that they leave, as draws with weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal, constraints

from surflow._internal.random import seeded
from surflow._internal.shapes import check_rows
from surflow.errors import ConfigError, DataError, ShapeError

# Rows (draws times observations) that a likelihood is computed for at once: few enough to stay in a processor's cache.
_AT_ONCE = 2**14

_Size = torch.Size | list[int] | tuple[int, ...]


class Simulator:
    r"""Parameters theta from a prior, and one observation x for each theta.

    A subclass implements ``_simulate(theta)``, ``_log_likelihood(x, theta)`` and ``_propose(x, draws)``: draws of theta
    for every observation, and the log-density they were drawn with. Where these are draws of the posterior itself,
    the weights of :meth:`posterior` are all equal; otherwise they correct what the proposal misses.

    Args:
        name: what it is called.
        parameters: names of the parameters.
        prior: a ``torch.distributions`` distribution over vectors, as other packages take it.
        size: length of an observation.
    """

    def __init__(self, name: str, parameters: list[str], prior: Distribution, size: int) -> None:
        if tuple(prior.event_shape) != (len(parameters),):
            raise ConfigError(
                f"{name} has the parameters {parameters}, but its prior has event shape {tuple(prior.event_shape)}"
            )
        self.name = name
        self.parameters = list(parameters)
        self.prior = prior
        self.theta_shape = (len(parameters),)
        self.x_shape = (size,)

    # -- what a subclass implements ---------------------------------------------------------------

    def _simulate(self, theta: Tensor) -> Tensor:
        raise NotImplementedError

    def _log_likelihood(self, x: Tensor, theta: Tensor) -> Tensor:
        raise NotImplementedError

    def _propose(self, x: Tensor, draws: int) -> tuple[Tensor, Tensor]:
        """(draws, rows, parameters), and the log-density of the proposal, (draws, rows); for double precision."""
        raise NotImplementedError

    # -- the interface ----------------------------------------------------------------------------

    @property
    def has_posterior(self) -> bool:
        """Whether the exact posterior is known: it is to a subclass that implements a proposal."""
        return type(self)._propose is not Simulator._propose

    def simulate(self, theta: Tensor, *, seed: int | None = None) -> Tensor:
        """One observation for each row of theta, shape (batch, parameters) to (batch, size).

        Raises:
            ShapeError: for theta of another shape.
            DataError: for theta outside the prior's support, with the number of such rows.
        """
        check_rows(self, "theta", theta, self.theta_shape)
        inside = self._inside(theta)
        if not inside.all():
            raise DataError(
                f"{self.name}: {int((~inside).sum())} of {len(theta)} rows of theta lie outside the prior's support "
                f"({', '.join(self.parameters)}): draw them from simulator.prior"
            )
        with seeded(seed):
            return self._simulate(theta)

    def sample(self, n: int, *, seed: int | None = None) -> tuple[Tensor, Tensor]:
        """Pairs (theta, x): n draws of the prior, shape (n, parameters), and an observation of each, (n, size)."""
        with seeded(seed):
            theta = self.prior.sample((n,))
            return theta, self._simulate(theta)

    def log_prior(self, theta: Tensor) -> Tensor:
        """Log-density in nats of every row of theta; -inf outside the support. Any leading axes."""
        inside = self._inside(theta)
        # Outside, torch raises or returns a finite number, as the family has it.
        with seeded(0):
            safe = theta.where(inside.unsqueeze(-1), self.prior.sample().to(theta))
        return _in_type(self.prior, safe).log_prob(safe).masked_fill(~inside, -math.inf)

    def log_likelihood(self, x: Tensor, theta: Tensor) -> Tensor:
        """log p(x | theta) in nats, row by row, shape (batch,).

        Raises:
            ShapeError: for x or theta of another shape, or of different numbers of rows.
        """
        check_rows(self, "x", x, self.x_shape)
        check_rows(self, "theta", theta, (len(x), *self.theta_shape)[1:])
        return self._log_likelihood(x, theta)

    def posterior(self, x: Tensor, *, draws: int = 3000, seed: int | None = 0) -> Posterior:
        """The posterior of every row of x, shape (batch, size), by importance sampling in double precision.

        Raises:
            ShapeError: for x of another shape.
            DataError: for no observation, or one without a posterior, because no parameters explain it.
        """
        check_rows(self, "x", x, self.x_shape)
        if not len(x):
            raise DataError(f"{self.name}: expected at least one observation, got none")
        x = x.double()
        with seeded(seed), torch.no_grad():
            theta, log_q = self._propose(x, draws)
            log_joint = torch.empty_like(log_q)
            step = max(1, _AT_ONCE // len(x))
            for part, into in zip(theta.split(step), log_joint.split(step), strict=True):
                into.copy_(self._log_joint(x.repeat(len(part), 1), part.flatten(0, 1)).reshape(into.shape))
        log_weights = log_joint - log_q
        total = log_weights.logsumexp(0)
        impossible = total == -math.inf
        if impossible.any():
            rows = ", ".join(map(str, impossible.nonzero().flatten()[:10].tolist()))
            raise DataError(
                f"{self.name}: {int(impossible.sum())} of {len(x)} observations are impossible under the prior, or "
                f"beyond what its proposal reaches, rows {rows}"
            )
        return Posterior(self, x, theta, log_weights - total, total - math.log(draws))

    def _log_joint(self, x: Tensor, theta: Tensor) -> Tensor:
        """log p(theta) p(x | theta), -inf outside the prior."""
        log_prior = self.log_prior(theta)
        inside = log_prior > -math.inf
        log_joint = log_prior.clone()
        if inside.any():
            log_joint[inside] += self._log_likelihood(x[inside], theta[inside])
        return log_joint

    def _inside(self, theta: Tensor) -> Tensor:
        return _supported(self.prior, theta)


@dataclass(frozen=True)
class Posterior:
    r"""The posterior of a batch of observations.

    Attributes:
        simulator, x: whose posterior, and of which observations, shape (batch, size).
        theta: draws, shape (draws, batch, parameters).
        log_weights: their log-weights, which sum to one over the draws, shape (draws, batch).
        log_evidence: log p(x) in nats, shape (batch,).
    """

    simulator: Simulator
    x: Tensor
    theta: Tensor
    log_weights: Tensor
    log_evidence: Tensor

    @property
    def efficiency(self) -> Tensor:
        """Effective sample size over the number of draws, shape (batch,); 1 for draws of the posterior itself."""
        return (-(2 * self.log_weights).logsumexp(0)).exp() / len(self.theta)

    def log_prob(self, theta: Tensor) -> Tensor:
        """log p(theta | x) in nats, one theta for each observation, shape (batch,)."""
        return self.simulator._log_joint(self.x, theta.double()) - self.log_evidence

    def sample(self, n: int, *, seed: int | None = 0) -> Tensor:
        """n draws for each observation, with replacement among the weighted ones, shape (n, batch, parameters)."""
        with seeded(seed):
            index = torch.multinomial(self.log_weights.exp().T, n, replacement=True).T
        return self.theta.gather(0, index.unsqueeze(2).expand(-1, -1, self.theta.shape[2]))

    def moments(self) -> tuple[Tensor, Tensor]:
        """Means and standard deviations, both of shape (batch, parameters)."""
        weights = self.log_weights.exp().unsqueeze(2)
        mean = (weights * self.theta).sum(0)
        return mean, (weights * (self.theta - mean).square()).sum(0).sqrt()


def simulations(
    theta: Tensor, x: Tensor, prior: Distribution | None = None, *, drop_invalid: bool = False
) -> tuple[Tensor, Tensor]:
    """Pairs of parameters and observations, checked before anything is trained on them.

    Args:
        theta: shape (n, parameters).
        x: shape (n, *observation).
        prior: which theta must be possible under.
        drop_invalid: leave out simulations with NaN or infinite numbers, as of simulators that fail, in place of
            refusing them.

    Raises:
        ShapeError: unless both have as many rows.
        DataError: for NaN or infinite numbers, with the rows, and for theta outside the prior's support.

    >>> theta, x = torch.zeros(3, 1), torch.tensor([[1.0], [math.nan], [2.0]])
    >>> [len(part) for part in simulations(theta, x, drop_invalid=True)]
    [2, 2]
    """
    if theta.ndim != 2 or x.ndim < 2 or len(theta) != len(x):
        raise ShapeError(
            f"expected theta of shape (n, parameters) and x with as many rows, got {tuple(theta.shape)} and "
            f"{tuple(x.shape)}"
        )
    valid = theta.isfinite().all(1) & x.flatten(1).isfinite().all(1)
    if not valid.all():
        if not drop_invalid:
            bad = (~valid).nonzero().flatten().tolist()
            named = ", ".join(map(str, bad[:10])) + (", ..." if len(bad) > 10 else "")
            raise DataError(
                f"{len(bad)} of {len(x)} simulations hold NaN or infinite numbers, rows {named}: mend the simulator, "
                "or leave them out with drop_invalid=True"
            )
        theta, x = theta[valid], x[valid]
    if prior is not None:
        inside = _supported(prior, theta)
        if not inside.all():
            raise DataError(
                f"{int((~inside).sum())} of {len(theta)} rows of theta lie outside the prior's support: "
                "was another prior simulated?"
            )
    return theta, x


def _in_type(prior: Distribution, theta: Tensor) -> Distribution:
    """A prior that scores rows of theta's type: a solver of triangular systems, unlike arithmetic, promotes none."""
    if isinstance(prior, MultivariateNormal):
        return MultivariateNormal(prior.loc.to(theta), scale_tril=prior.scale_tril.to(theta), validate_args=False)
    return prior


def _supported(prior: Distribution, theta: Tensor) -> Tensor:
    """Whether rows of theta are possible under a prior over vectors; any leading axes."""
    inside = prior.support.check(theta)  # type: ignore[union-attr]
    return inside if inside.ndim == theta.ndim - 1 else inside.all(-1)


class FoldedNormal(Distribution):
    r"""The absolute value of a normal variable.

    .. math:: p(x) = N(x; m, s^2) + N(-x; m, s^2), \qquad x \ge 0

    >>> distribution = FoldedNormal(torch.tensor(0.0), torch.tensor(1.0))
    >>> round(distribution.log_prob(torch.tensor(0.0)).exp().item(), 4)
    0.7979
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}  # noqa: RUF012
    support = constraints.nonnegative

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = torch.broadcast_tensors(loc, scale)
        super().__init__(self.loc.shape)

    def expand(self, batch_shape: _Size, _instance: Distribution | None = None) -> FoldedNormal:
        return FoldedNormal(self.loc.expand(batch_shape), self.scale.expand(batch_shape))

    @property
    def _normal(self) -> torch.distributions.Normal:
        return torch.distributions.Normal(self.loc, self.scale)

    def rsample(self, sample_shape: _Size = ()) -> Tensor:
        return self._normal.rsample(torch.Size(sample_shape)).abs()

    @torch.no_grad()
    def sample(self, sample_shape: _Size = ()) -> Tensor:
        return self.rsample(sample_shape)

    @property
    def mean(self) -> Tensor:
        normal, peak = self._normal, math.sqrt(2 / math.pi) * self.scale
        return peak * (-0.5 * (self.loc / self.scale).square()).exp() + self.loc * (
            1 - 2 * normal.cdf(torch.zeros_like(self.loc))
        )

    @property
    def variance(self) -> Tensor:
        return self.loc.square() + self.scale.square() - self.mean.square()

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.logaddexp(self._normal.log_prob(value), self._normal.log_prob(-value))
