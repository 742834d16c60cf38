"""GaussianMixture: normals with full covariances, fitted to the data before training."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from surflow._internal.numbers import as_rows
from surflow._internal.shapes import Shape
from surflow.distribution import Distribution
from surflow.distributions.discrete import draw_categories
from surflow.distributions.gaussian_fit import fit_joint
from surflow.errors import ConfigError, ShapeError


class GaussianMixture(Distribution):
    r"""Normals with full covariances, given a context the conditional of such a mixture of context and event.

    .. math::
        p(x \mid c) = \sum_k w_k(c)\, N(x;\, B_k c + b_k,\, \Sigma_k), \qquad
        w_k(c) \propto w_k\, N(c;\, m_k,\, S_k)

    ``initialize`` fits it to the data, by expectation-maximisation, and chooses by cross-validation how many components
    there are and whether their covariances are diagonal, equal or free; of few rows correlations are shrunk. Where the
    context is a label, one of a few vectors, each label may have components of its own. Before that it is a standard
    normal. Nothing is trained, and fitting takes seconds: a simple model that a network should not fall behind on few
    rows (:class:`Stacked`). Of numbers that were rounded no component is narrower than their grid, so that values that
    repeat do not make the density grow without limit.

    Args:
        event_shape: D, or (D,).
        context_shape: C, or (C,), of contexts that a network has brought to unit size; None for none.
        components: the most components.

    Raises:
        ShapeError: for events or contexts that are no vectors of one number or more.
        ConfigError: for less than one component.

    Source: Fraley and Raftery, "Model-Based Clustering, Discriminant Analysis, and Density Estimation", Journal of the
    American Statistical Association 97 (2002).

    >>> import torch, surflow as sf
    >>> with sf.seeded(0):
    ...     x = torch.randn(500, 2) * 0.1 + torch.randint(2, (500, 1)) * 5
    >>> mixture = sf.GaussianMixture(2)
    >>> mixture.initialize(x)
    >>> mixture.log_weight.isfinite().sum().item()
    2
    """

    reparameterized = False
    log_weight: Tensor
    place: Tensor
    gate: Tensor
    coefficients: Tensor
    cholesky: Tensor
    fitted: Tensor

    def __init__(
        self, event_shape: int | Shape, context_shape: int | Shape | None = None, *, components: int = 8
    ) -> None:
        super().__init__(event_shape, context_shape=context_shape)
        if any(len(shape) != 1 or not shape[0] for shape in (self.event_shape, self.context_shape or (1,))):
            raise ShapeError(
                f"GaussianMixture is for vectors, got event shape {self.event_shape} and context shape "
                f"{self.context_shape}"
            )
        if components < 1:
            raise ConfigError(f"GaussianMixture expects one component or more, got {components}")
        (size,), (given,) = self.event_shape, self.context_shape or (0,)
        self.most = components
        start = torch.full((components,), -math.inf)
        start[:1] = 0.0
        self.register_buffer("log_weight", start)
        # m_k, the Cholesky factors of S_k, (b_k, B_k), and those of Sigma_k.
        self.register_buffer("place", torch.zeros(components, given))
        self.register_buffer("gate", torch.eye(given).repeat(components, 1, 1))
        self.register_buffer("coefficients", torch.zeros(components, 1 + given, size))
        self.register_buffer("cholesky", torch.eye(size).repeat(components, 1, 1))
        self.register_buffer("fitted", torch.tensor(False))
        self.used = 1  # components of some weight come first
        self.register_load_state_dict_post_hook(_count)

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None, *, weight: Tensor | None = None) -> None:
        """Fit the mixture to rows of the training data; only once.

        Args:
            x: rows (n, D).
            context: one of each row, or None.
            weight: (n,), not negative: a row of weight w counts as w rows; None for ones.
        """
        x, context, _ = self._rows(x, context)
        if self.fitted or not len(x):
            return
        c = x.new_zeros(len(x), 0) if context is None else context
        given = c.shape[1]
        both = as_rows(torch.cat([c.double(), x.double()], 1), weight).cpu()
        found = fit_joint(both[:, given:], both[:, :given], self.most)
        order = torch.from_numpy(found.weight).argsort(descending=True)
        weights, mean, covariance = (torch.from_numpy(part)[order] for part in found)
        mean_c, mean_x = mean[:, :given], mean[:, given:]
        cc, cx, xx = covariance[:, :given, :given], covariance[:, :given, given:], covariance[:, given:, given:]
        slopes = torch.linalg.solve(cc, cx)  # B_k, transposed
        constant = mean_x[:, None] - mean_c[:, None] @ slopes
        k = len(weights)
        self.log_weight[:k] = weights.log().to(self.log_weight)
        self.place[:k] = mean_c.to(self.place)
        self.gate[:k] = torch.linalg.cholesky(cc).to(self.gate)
        self.coefficients[:k] = torch.cat([constant, slopes], 1).to(self.coefficients)
        self.cholesky[:k] = torch.linalg.cholesky(xx - slopes.mT @ cx).to(self.cholesky)
        self.fitted.fill_(True)
        _count(self)

    def _log_weights(self, n: int, context: Tensor | None) -> Tensor:
        """Of the components given the contexts, (n, K)."""
        log_weight = self.log_weight[: self.used]
        if context is None:
            return log_weight.expand(n, -1)
        return (
            log_weight + _log_normal(context - self.place[: self.used, None], self.gate[: self.used]).T
        ).log_softmax(1)

    def _means(self, n: int, context: Tensor | None) -> Tensor:
        """Of the components given the contexts, (K, n or 1, D)."""
        coefficients = self.coefficients[: self.used]
        return coefficients[:, :1] if context is None else coefficients[:, :1] + context @ coefficients[:, 1:]

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        outside = self.support.outside(x)
        x = self.support.without(x, outside)
        each = _log_normal(x - self._means(len(x), context), self.cholesky[: self.used])
        log_prob = (self._log_weights(len(x), context) + each.T).logsumexp(1)
        return log_prob.masked_fill(outside, -math.inf)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        log_weight = self._log_weights(n, context)
        k = draw_categories(n, log_weight)
        noise = torch.randn(n, *self.event_shape, device=log_weight.device, dtype=log_weight.dtype)
        each = self._means(n, context) + noise @ self.cholesky[: self.used].mT
        return each[k, torch.arange(n, device=k.device)]

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x = self._sample(n, context)
        return x, self._log_prob(x, context)


def _log_normal(difference: Tensor, cholesky: Tensor) -> Tensor:
    """Log-density of a normal with mean zero at rows (K, n, size), by the Cholesky factor (K, size, size); (K, n)."""
    kind = torch.promote_types(cholesky.dtype, torch.float32)  # torch solves no equations in half of it
    factor = cholesky.to(kind)
    noise = torch.linalg.solve_triangular(factor, difference.to(kind).mT, upper=False)
    log_det = factor.diagonal(dim1=1, dim2=2).log().sum(1)
    found = -0.5 * noise.square().sum(1) - log_det[:, None] - 0.5 * difference.shape[2] * math.log(2 * math.pi)
    return found.to(difference.dtype)


def _count(mixture: nn.Module, _: object = None) -> None:
    """The components of some weight, as Python's number: no step of scoring waits for a device to say it."""
    assert isinstance(mixture, GaussianMixture)
    mixture.used = int(mixture.log_weight.isfinite().sum())
