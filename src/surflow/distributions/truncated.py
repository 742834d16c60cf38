"""A logistic law between two ends: how much lies between, and its quantiles, in logarithms throughout."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def log_difference(a: Tensor, b: Tensor, gap: Tensor) -> Tensor:
    r""":math:`\log(\sigma(b) - \sigma(a))` for b = a + gap, where neither tail cancels.

    >>> a, b = torch.tensor(-1.0), torch.tensor(2.0)
    >>> torch.allclose(log_difference(a, b, b - a).exp(), b.sigmoid() - a.sigmoid())
    True
    """
    gap = gap.clamp(min=torch.finfo(b.dtype).tiny)
    return b + (-torch.expm1(-gap)).log() - F.softplus(a) - F.softplus(b)


def quantile(share: Tensor, a: Tensor, b: Tensor, gap: Tensor) -> Tensor:
    r"""t with :math:`\sigma(t) = \sigma(a) + u\,(\sigma(b) - \sigma(a))` for a share u from 0 to 1 and b = a + gap.

    >>> a, b = torch.tensor(-1.0), torch.tensor(2.0)
    >>> t = quantile(torch.tensor(0.3), a, b, b - a)
    >>> torch.allclose(t.sigmoid(), a.sigmoid() + 0.3 * (b.sigmoid() - a.sigmoid()))
    True
    """
    info = torch.finfo(share.dtype)
    u = share.clamp(info.tiny, 1 - info.eps)
    # e^t (1 - u D) = e^a + u D for D = (e^b - e^a) / (1 + e^b), in logarithms.
    log_d = log_difference(a, b, gap) + F.softplus(a)
    over = torch.logaddexp(a, u.log() + log_d)
    return over - torch.logaddexp(torch.log1p(-u), u.log() + F.softplus(a) - F.softplus(b))
