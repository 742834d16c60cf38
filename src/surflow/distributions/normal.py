"""Continuous distributions on the real line and the positive half-line: normal, logistic, half-normal, exponential."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surflow._internal.shapes import Shape, sum_event
from surflow.distributions.parametric import Parametric
from surflow.errors import ConfigError
from surflow.supports import Support, positive

# Scales are exp(raw), kept in a range in which float32 squares neither underflow nor overflow.
_RAW_LIMIT = 15.0


def log_scale_of(raw: Tensor) -> Tensor:
    """The logarithm of the scale, limited to a range that float32 can square."""
    return raw.clamp(-_RAW_LIMIT, _RAW_LIMIT)


class _LocationScale(Parametric):
    """x = mean + scale * noise, for a standard noise on the real line; raw parameters: mean, log-scale."""

    n_parameters = 2

    def _standard_log_prob(self, noise: Tensor) -> Tensor:
        """Log-density of each row of standard noise."""
        raise NotImplementedError

    def _standard_draw(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        raise NotImplementedError

    def _log_prob_given(self, x: Tensor, raw: Tensor) -> Tensor:
        if self.fixed:
            return self._standard_log_prob(x)
        log_scale = log_scale_of(raw[:, 1])
        # A product, whose gradient is cheaper than a quotient's.
        return self._standard_log_prob((x - raw[:, 0]) * (-log_scale).exp()) - sum_event(log_scale)

    def _draw_given(self, n: int, raw: Tensor) -> Tensor:
        noise = self._standard_draw((n, *self.event_shape), raw)
        return noise if self.fixed else raw[:, 0] + log_scale_of(raw[:, 1]).exp() * noise


class Normal(_LocationScale):
    r"""Independent normals: standard, learned (``learned=True``) or conditional (``context_shape=``).

    .. math:: \log p(x) = -\sum_i \tfrac12 ((x_i - m_i) / s_i)^2 + \log s_i + \tfrac12 \log 2\pi

    Args:
        event_shape: shape of one event; a number n stands for (n,).
        context_shape: shape of the context that the parameters are a function of, or None.
        learned: make the parameters trainable; with a context, as a bias that the network's output is added to.
        net: with a context, a network in place of the default perceptron, from (batch, *context) to any shape of
            2 * coordinates numbers a row.

    Raises:
        ConfigError: for a net without a context.

    >>> import torch, surflow as sf
    >>> sf.Normal(2).log_prob(torch.zeros(1, 2)).item() + math.log(2 * math.pi) < 1e-6
    True
    """

    def _standard_log_prob(self, noise: Tensor) -> Tensor:
        return -0.5 * sum_event(noise.square()) - 0.5 * math.log(2 * math.pi) * math.prod(self.event_shape)

    def _standard_draw(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        return torch.randn(shape, dtype=like.dtype, device=like.device)


class Logistic(_LocationScale):
    r"""Independent logistic variables: standard, learned or conditional.

    .. math:: \log p(x) = \sum_i -u_i - 2 \log(1 + e^{-u_i}) - \log s_i, \qquad u_i = (x_i - m_i) / s_i

    Args:
        event_shape: shape of one event; a number n stands for (n,).
        context_shape: shape of the context that the parameters are a function of, or None.
        learned: make the parameters trainable; with a context, as a bias that the network's output is added to.
        net: with a context, a network in place of the default perceptron, from (batch, *context) to any shape of
            2 * coordinates numbers a row.

    Raises:
        ConfigError: for a net without a context.

    >>> import torch, surflow as sf
    >>> round(sf.Logistic(1).log_prob(torch.zeros(1, 1)).exp().item(), 6)
    0.25
    """

    def _standard_log_prob(self, noise: Tensor) -> Tensor:
        return sum_event(F.logsigmoid(noise) + F.logsigmoid(-noise))

    def _standard_draw(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        # A ratio of exponentials: exact in both tails, where the logit of a uniform draw is not.
        both = torch.empty((2, *shape), dtype=like.dtype, device=like.device).exponential_().log()
        return both[0] - both[1]


class _PositiveScale(Parametric):
    """x = scale * noise for a standard noise on the positive half-line; raw parameter: log-scale.

    ``initial`` is the scale at raw zero: where training starts, or the fixed scale.
    """

    def __init__(
        self,
        event_shape: int | Shape,
        context_shape: int | Shape | None = None,
        *,
        learned: bool = False,
        net: nn.Module | None = None,
        initial: float = 1.0,
    ) -> None:
        super().__init__(event_shape, context_shape, learned=learned, net=net)
        if not 0 < initial < math.inf:
            raise ConfigError(f"the initial scale must be positive and finite, got {initial}")
        self.log_initial = math.log(initial)

    def _support_of(self, shape: Shape) -> Support:
        return positive

    def _log_scale(self, raw: Tensor) -> Tensor:
        return log_scale_of(raw.squeeze(1)) + self.log_initial

    def _standard_log_prob(self, noise: Tensor) -> Tensor:
        """Log-density of each row of standard noise."""
        raise NotImplementedError

    def _standard_draw(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        raise NotImplementedError

    def _log_prob_given(self, x: Tensor, raw: Tensor) -> Tensor:
        log_scale = self._log_scale(raw)
        return self._standard_log_prob(x * (-log_scale).exp()) - sum_event(log_scale)

    def _draw_given(self, n: int, raw: Tensor) -> Tensor:
        return self._log_scale(raw).exp() * self._standard_draw((n, *self.event_shape), raw)


class HalfNormal(_PositiveScale):
    r"""Independent absolute values of normals, on the positive half-line.

    .. math:: \log p(x) = \sum_i \tfrac12 \log \tfrac{2}{\pi} - \log s_i - \tfrac12 (x_i / s_i)^2, \qquad x_i \ge 0

    Args:
        event_shape: shape of one event; a number n stands for (n,).
        context_shape: shape of the context that the parameters are a function of, or None.
        learned: make the parameters trainable; with a context, as a bias that the network's output is added to.
        net: with a context, a network in place of the default perceptron, from (batch, *context) to any shape of
            as many numbers a row.
        initial: the fixed scale, or the one that training starts from.

    Raises:
        ConfigError: for an initial scale that is not positive and finite, or a net without a context.

    >>> import torch, surflow as sf
    >>> sf.HalfNormal(1).log_prob(torch.tensor([[-1.0]])).item()
    -inf
    """

    @property
    def _iid(self) -> bool:
        return self.fixed

    def _standard_log_prob(self, noise: Tensor) -> Tensor:
        return 0.5 * math.log(2 / math.pi) * math.prod(self.event_shape) - 0.5 * sum_event(noise.square())

    def _standard_draw(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        return torch.randn(shape, dtype=like.dtype, device=like.device).abs()


class Exponential(_PositiveScale):
    r"""Independent exponential variables of scale s (rate 1 / s), on the positive half-line.

    .. math:: \log p(x) = -\sum_i x_i / s_i + \log s_i, \qquad x_i \ge 0

    Args:
        event_shape: shape of one event; a number n stands for (n,).
        context_shape: shape of the context that the parameters are a function of, or None.
        learned: make the parameters trainable; with a context, as a bias that the network's output is added to.
        net: with a context, a network in place of the default perceptron, from (batch, *context) to any shape of
            as many numbers a row.
        initial: the fixed scale, or the one that training starts from.

    Raises:
        ConfigError: for an initial scale that is not positive and finite, or a net without a context.

    >>> import torch, surflow as sf
    >>> sf.Exponential(1, initial=0.5).log_prob(torch.tensor([[0.0]])).exp().item()
    2.0
    """

    @property
    def _iid(self) -> bool:
        return self.fixed

    def _standard_log_prob(self, noise: Tensor) -> Tensor:
        return -sum_event(noise)

    def _standard_draw(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        return torch.empty(shape, dtype=like.dtype, device=like.device).exponential_()
