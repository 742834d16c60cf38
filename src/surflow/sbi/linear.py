"""The posterior that is linear and Gaussian, in closed form: regressions, without what is not significant."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from surflow import presets
from surflow.bijections.linear import ConditionalLinear
from surflow.evaluation.likelihood import evaluating
from surflow.flow import Flow
from surflow.nets.selected import Selected
from surflow.supports import Support

# Standard errors below which a coefficient is taken for zero.
_SIGNIFICANT = 3.0


@torch.no_grad()
def linear_gaussian(theta: Tensor, x: Tensor, *, support: Support, context_net: Selected, sparse: bool) -> Flow:
    r"""theta given x by regressions of each parameter on the observation and the parameters before it.

    .. math:: u_i = a_i + b_i^T s(x) + \sum_{j < i} A_{ij} u_j + \sigma_i \varepsilon_i

    with u the parameters on the real line, standardised, and s the standardised observation. It is what the preset
    ``posterior`` without splines can be, found without training.

    Args:
        theta: (n, d).
        x: (n, *observation).
        support: of theta.
        context_net: s, without parameters.
        sparse: leave out coefficients below three standard errors.
    """
    size = theta.shape[1]
    flow = presets.posterior(size, context_net=context_net, support=support, layers=0, hidden=())
    flow.initialize(theta, x)
    layer = next(part for part in flow.transforms if isinstance(part, ConditionalLinear))
    with evaluating(flow):
        u = theta
        for part in flow.transforms:
            if part is layer:
                break
            u = part(u, None)[0]
        u, s = u.double(), context_net(x).double()
    k = s.shape[1]
    ones = torch.ones_like(s[:, :1])
    location, before, scale = u.new_zeros(size, k + 1), u.new_zeros(size, size), u.new_zeros(size)
    for i in range(size):
        features = torch.cat([ones, s, u[:, :i]], 1)
        coefficients, variance = _regression(features, u[:, i], sparse=sparse)
        location[i] = coefficients[: k + 1]
        before[i, :i] = coefficients[k + 1 :]
        scale[i] = variance.sqrt()
    # u = A u + B s + sigma e, so that L (u - m(s)) = e with L = (I - A) / sigma and m = (I - A)^-1 B s.
    eye = torch.eye(size, dtype=u.dtype)
    mean = torch.linalg.solve_triangular(eye - before, location, upper=False)
    matrix = (eye - before) / scale[:, None]
    limit = layer.limit
    raw_scale = limit * (matrix.diagonal().log() / limit).clamp(-0.999, 0.999).atanh()
    row, column = torch.tril_indices(size, size, -1)
    last = [part for part in layer.net.modules() if isinstance(part, nn.Linear)][-1]
    last.weight.zero_()
    last.weight[:size] = mean[:, 1:].to(last.weight)
    last.bias.copy_(torch.cat([mean[:, 0], raw_scale, matrix[row, column]]))
    return flow.eval()


def _regression(features: Tensor, target: Tensor, *, sparse: bool) -> tuple[Tensor, Tensor]:
    """Coefficients and the variance that they leave; of a sparse one those that are not significant are zero."""
    n, size = features.shape
    kept = torch.ones(size, dtype=torch.bool)
    for again in range(2 if sparse else 1):
        used = features[:, kept]
        gram = used.T @ used + 1e-9 * n * torch.eye(used.shape[1], dtype=used.dtype)
        found = torch.linalg.solve(gram, used.T @ target)
        left = (target - used @ found).square().sum() / max(n - used.shape[1], 1)
        if sparse and not again:
            error = (left * torch.linalg.inv(gram).diagonal()).sqrt()
            small = found.abs() < _SIGNIFICANT * error
            kept[kept.nonzero().flatten()[small]] = False
            if not kept.any():
                kept[0] = True
    coefficients = features.new_zeros(size)
    coefficients[kept] = found
    return coefficients, left
