"""FlowEstimator: a flow as the package ``sbi`` knows density estimators; the one file that imports it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from surflow._internal.random import seeded
from surflow.flow import Flow

# Packages beneath sbi switch torch's validation of distributions off for the whole process. Whoever asked for this one
# did not ask for that.
_validated = torch.distributions.Distribution._validate_args
from sbi.neural_nets.estimators import ConditionalDensityEstimator  # noqa: E402

torch.distributions.Distribution.set_default_validate_args(_validated)


class FlowEstimator(ConditionalDensityEstimator):
    """What ``sbi`` asks of a density estimator, by a flow.

    ``input`` is what the flow is a distribution of, ``condition`` its context. Of a flow with a bound, training takes
    one fresh draw of the bound for each row, and ``log_prob`` the k-sample bound with noise that is always the same.

    Args:
        flow: conditional.
        importance_samples: k.
        seed: of that noise.
        trained: whether the flow is to stay as it is, whatever ``train`` of sbi does.
    """

    net: Flow

    def __init__(self, flow: Flow, importance_samples: int = 10, seed: int = 0, *, trained: bool = False) -> None:
        assert flow.context_shape is not None  # by construction
        super().__init__(flow, torch.Size(flow.event_shape), torch.Size(flow.context_shape))
        self.importance_samples, self.seed = importance_samples, seed
        # sbi's optimiser wants a parameter, and its backward pass a gradient: this one's is zero.
        self.idle = nn.Parameter(torch.zeros(())) if trained else None
        if trained:
            flow.requires_grad_(requires_grad=False)

    @property
    def embedding_net(self) -> nn.Module | None:
        return self.net.context_net

    def loss(self, input: Tensor, condition: Tensor, **kwargs: object) -> Tensor:
        """-elbo in nats, (batch, *input_shape) and (batch, *condition_shape) to (batch,)."""
        loss = -self.net.elbo(input, condition)
        return loss if self.idle is None else loss + 0 * self.idle

    def log_prob(self, input: Tensor, condition: Tensor, **kwargs: object) -> Tensor:
        """In nats, (samples, batch, *input_shape) or (batch, *input_shape) to (samples, batch); one of two batches may
        have one row."""
        self._check_input_shape(input)
        self._check_condition_shape(condition)
        input, condition, batch = self._broadcast_and_align(input, condition)
        rows, given = input.flatten(0, 1), condition.flatten(0, 1)
        with seeded(None if self.net.exact else self.seed):
            log_prob = self.net.log_prob(rows, given, importance_samples=self.importance_samples)
        return log_prob.reshape(-1, batch)

    def sample(self, sample_shape: Sequence[int], condition: Tensor, **kwargs: object) -> Tensor:
        """(*sample_shape, batch, *input_shape), for conditions (batch, *condition_shape)."""
        self._check_condition_shape(condition)
        n, batch = math.prod(sample_shape), len(condition)
        given = condition.repeat(n, *[1] * (condition.ndim - 1))
        return self.net.sample((), given).reshape(*sample_shape, batch, *self.input_shape)
