"""Discrete distributions: bits (independent or joint), categories, permutations."""

from __future__ import annotations

import math
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surflow._internal.number_types import type_for
from surflow._internal.shapes import Shape, flat, sum_event
from surflow.distribution import Distribution
from surflow.distributions.parametric import Parametric
from surflow.errors import ConfigError
from surflow.supports import Integers, Permutations, Support

# Joint tables have 2^D entries; past this many bits an autoregressive or latent model is the right tool.
_MOST_JOINT_BITS = 12


class Bernoulli(Parametric):
    r"""Independent bits: fair, with learned probabilities, or given a context; raw parameters are logits.

    .. math:: \log p(b) = \sum_i b_i \log q_i + (1 - b_i) \log (1 - q_i) = \sum_i b_i l_i + \log (1 - q_i)

    Args:
        event_shape: shape of one event; a number n stands for (n,).
        context_shape: shape of the context that the parameters are a function of, or None.
        learned: make the parameters trainable; with a context, as a bias that the network's output is added to.
        net: with a context, a network in place of the default perceptron, from (batch, *context) to any shape of
            as many numbers a row.

    Raises:
        ConfigError: for a net without a context.

    >>> import torch, surflow as sf
    >>> sf.Bernoulli(2).log_prob(torch.tensor([[0.0, 1.0]])).exp().item()
    0.25
    """

    discrete = True

    def _support_of(self, shape: Shape) -> Support:
        return Integers(2)

    @property
    def _uniform_log_prob(self) -> float | None:
        return -math.prod(self.event_shape) * math.log(2) if self.fixed else None

    @property
    def probs(self) -> Tensor:
        """Probabilities of a one, of a distribution without context."""
        return self.parameters_given(None)[0, 0].sigmoid()

    def _log_prob_given(self, x: Tensor, raw: Tensor) -> Tensor:
        logits = raw[:, 0]
        return sum_event(x * logits + F.logsigmoid(-logits))

    def _draw_given(self, n: int, raw: Tensor) -> Tensor:
        # In single precision at least: in half of it, what is nearly certain would be certain.
        probs = raw[:, 0].to(_single(raw)).sigmoid()
        return (torch.rand((n, *self.event_shape), dtype=probs.dtype, device=raw.device) < probs).to(raw.dtype)


class JointBernoulli(Parametric):
    r"""A vector of D bits with one probability for each of the 2^D combinations; for D up to 12.

    Raw parameters are the logits of the combinations, combination :math:`\sum_i b_i 2^i`.

    Args:
        event_shape: D, or (D,).
        context_shape: shape of the context that the parameters are a function of, or None.
        learned: make the parameters trainable; with a context, as a bias that the network's output is added to.
        net: with a context, a network in place of the default perceptron, from (batch, *context) to any shape of
            2^D numbers a row.

    Raises:
        ConfigError: for a net without a context.

    >>> import torch, surflow as sf
    >>> bits = sf.JointBernoulli(2, learned=True)
    >>> bits.log_prob(torch.tensor([[0.0, 1.0]])).exp().item()
    0.25
    """

    discrete = True

    def _support_of(self, shape: Shape) -> Support:
        return Integers(2)

    def _raw_shape_of(self, shape: Shape) -> Shape:
        bits = math.prod(shape)
        if bits > _MOST_JOINT_BITS:
            raise ConfigError(
                f"JointBernoulli holds a table of 2^D entries and takes at most {_MOST_JOINT_BITS} bits, got {bits}: "
                "use Bernoulli with a context"
            )
        return (2**bits,)

    @property
    def _uniform_log_prob(self) -> float | None:
        return -math.prod(self.event_shape) * math.log(2) if self.fixed else None

    def _powers(self) -> Tensor:
        return 2 ** torch.arange(math.prod(self.event_shape), device=self.raw.device)

    def _log_prob_given(self, x: Tensor, raw: Tensor) -> Tensor:
        index = (flat(x).clamp(0, 1).long() * self._powers()).sum(1)
        return raw.log_softmax(1).expand(x.shape[0], -1).gather(1, index[:, None])[:, 0]

    def _draw_given(self, n: int, raw: Tensor) -> Tensor:
        index = draw_categories(n, raw)
        return (index[:, None] // self._powers() % 2).to(raw.dtype).reshape(n, *self.event_shape)


class Categorical(Parametric):
    r"""Independent integers 0, ..., levels - 1: uniform, learned or conditional; raw parameters are logits.

    .. math:: \log p(k) = \sum_i \log \mathrm{softmax}(l_i)_{k_i}

    Args:
        event_shape: shape of one event; a number n stands for (n,).
        context_shape: shape of the context that the parameters are a function of, or None.
        levels: number of integers.
        learned: make the parameters trainable; with a context, as a bias that the network's output is added to.
        net: with a context, a network in place of the default perceptron, from (batch, *context) to any shape of
            levels * coordinates numbers a row.

    Raises:
        ConfigError: for a net without a context.

    >>> import torch, surflow as sf
    >>> round(sf.Categorical(1, levels=256).log_prob(torch.tensor([[7.0]])).item() / math.log(2), 4)
    -8.0
    """

    discrete = True

    def __init__(
        self,
        event_shape: int | Shape,
        context_shape: int | Shape | None = None,
        *,
        levels: int,
        learned: bool = False,
        net: nn.Module | None = None,
    ) -> None:
        self.levels = levels
        super().__init__(event_shape, context_shape, learned=learned, net=net)

    def _support_of(self, shape: Shape) -> Support:
        return Integers(self.levels)

    def _raw_shape_of(self, shape: Shape) -> Shape:
        return (self.levels, *shape)

    @property
    def _uniform_log_prob(self) -> float | None:
        return -math.prod(self.event_shape) * math.log(self.levels) if self.fixed else None

    def _log_prob_given(self, x: Tensor, raw: Tensor) -> Tensor:
        log_probs = raw.log_softmax(1).expand(x.shape[0], *self.raw_shape)
        index = x.long().clamp(0, self.levels - 1).unsqueeze(1)
        return sum_event(log_probs.gather(1, index)[:, 0])

    def _draw_given(self, n: int, raw: Tensor) -> Tensor:
        kind = type_for(raw.dtype, self.levels - 1)
        if self._uniform_log_prob is not None:
            return torch.randint(self.levels, (n, *self.event_shape), dtype=kind, device=raw.device)
        return draw_categories(n, raw, self.event_shape).to(kind)


def is_softmax(piece: Distribution) -> TypeGuard[Categorical]:
    """Whether a piece draws by the softmax of its raw parameters, of which some layers make odds of another kind.

    A subclass of Categorical may override what they are the parameters of.
    """
    if not isinstance(piece, Categorical):
        return False
    return all(getattr(type(piece), method) is getattr(Categorical, method) for method in Categorical._form)


def _single(raw: Tensor) -> torch.dtype:
    """Single precision, at least."""
    return torch.promote_types(raw.dtype, torch.float32)


def draw_categories(n: int, logits: Tensor, event_shape: Shape = ()) -> Tensor:
    """Indices (n, *event_shape) along axis 1 of logits (n or 1, categories, *event_shape)."""
    # Where a uniform number falls among the cumulative probabilities; Gumbel's maximum costs ten times as much. In
    # single precision at least, and as a share of their sum: what has no probability is not drawn.
    cumulative = logits.softmax(1, dtype=_single(logits)).cumsum(1)
    u = torch.rand((n, 1, *event_shape), dtype=cumulative.dtype, device=logits.device)
    return (u * cumulative[:, -1:] >= cumulative[:, :-1]).sum(1)


class PlackettLuce(Parametric):
    r"""Permutations of n things, one after the other with odds exp(s): uniform, learned or conditional.

    An event lists the indices in order of choice.

    .. math:: \log p(\sigma) = \sum_j s_{\sigma_j} - \log \sum_{k \ge j} e^{s_{\sigma_k}}

    Args:
        event_shape: n, or (n,).
        context_shape: shape of the context that the parameters are a function of, or None.
        learned: make the parameters trainable; with a context, as a bias that the network's output is added to.
        net: with a context, a network in place of the default perceptron, from (batch, *context) to any shape of
            n numbers a row.

    Raises:
        ConfigError: for a net without a context.

    Source: Luce, "Individual Choice Behavior", 1959; Plackett, "The Analysis of Permutations", 1975.

    >>> import torch, surflow as sf
    >>> round(sf.PlackettLuce(3).log_prob(torch.tensor([[2.0, 0.0, 1.0]])).exp().item() * 6, 4)
    1.0
    """

    discrete = True

    def _support_of(self, shape: Shape) -> Support:
        if len(shape) != 1:
            raise ConfigError(f"PlackettLuce permutes the entries of a vector, got event shape {shape}")
        return Permutations(shape[0])

    @property
    def _uniform_log_prob(self) -> float | None:
        return -math.lgamma(self.event_shape[0] + 1) if self.fixed else None

    def _log_prob_given(self, x: Tensor, raw: Tensor) -> Tensor:
        size = self.event_shape[0]
        index = x.long().clamp(0, size - 1)
        chosen = raw[:, 0].to(_single(raw)).expand(x.shape[0], size).gather(1, index)
        remaining = chosen.flip(1).logcumsumexp(1).flip(1)
        return (chosen - remaining).sum(1).to(raw.dtype)

    def _draw_given(self, n: int, raw: Tensor) -> Tensor:
        kind = type_for(raw.dtype, self.support.largest)
        if self._uniform_log_prob is not None:
            return torch.rand((n, *self.event_shape), device=raw.device).argsort(1).to(kind)
        # Sorting Gumbel-perturbed logits draws without replacement, which is the distribution above. In half precision
        # many would be equal.
        gumbel = -torch.empty((n, *self.event_shape), dtype=_single(raw), device=raw.device).exponential_().log()
        return (raw[:, 0] + gumbel).argsort(1, descending=True).to(kind)
