"""A logistic between two ends: what share of it lies where, and its quantiles, in logarithms throughout."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def softplus(x: Tensor) -> Tensor:
    r""":math:`\log(1 + e^x)` to the last digit of double precision too: torch's own takes x itself from 20 on."""
    return F.softplus(x, threshold=40.0)


def log_one_minus_exp(x: Tensor) -> Tensor:
    r""":math:`\log(1 - e^{-x})` for x above zero."""
    return (-torch.expm1(-x.clamp(min=torch.finfo(x.dtype).tiny))).log()


def log_tails(a: Tensor, b: Tensor, low: Tensor, high: Tensor, above: Tensor, below: Tensor) -> Tensor:
    r""":math:`\log \frac{\sigma(-a)\,\sigma(b)}{\sigma(-l)\,\sigma(h)}` for :math:`l \le a \le b \le h`.

    The distances ``above`` = a - l and ``below`` = h - b are passed as well: far from zero, on either side, all four
    logarithms are large and nearly equal, and their differences would be rounding.

    With it, :math:`\sigma(b) - \sigma(a) = (1 - e^{a - b})\,\sigma(-a)\,\sigma(b)` as a share of
    :math:`\sigma(h) - \sigma(l)` is ``log_tails + log_one_minus_exp(b - a) - log_one_minus_exp(h - l)``.
    """
    left = torch.where(low > 0, softplus(-low) - softplus(-a) - above, softplus(low) - softplus(a))
    right = torch.where(high < 0, softplus(high) - softplus(b) - below, softplus(-high) - softplus(-b))
    return left + right


def quantile(share: Tensor, low: Tensor, high: Tensor, gap: Tensor) -> Tensor:
    r"""How far above l the point t lies with :math:`\sigma(t) = \sigma(l) + u\,(\sigma(h) - \sigma(l))`; h = l + gap.

    >>> low, high = torch.tensor(-1.0), torch.tensor(2.0)
    >>> t = low + quantile(torch.tensor(0.3), low, high, high - low)
    >>> torch.allclose(t.sigmoid(), low.sigmoid() + 0.3 * (high.sigmoid() - low.sigmoid()))
    True
    """
    info = torch.finfo(share.dtype)
    u = share.clamp(info.tiny, 1 - info.eps)
    # e^(t - l) - 1 = u (1 - D) (e^g - 1) / (1 - u D) for D = (e^h - e^l) / (1 + e^h) and the gap g, in logarithms:
    # nothing cancels, be the ends near to each other or far from zero.
    rest = torch.where(low > 0, softplus(-low) - softplus(-high) - gap, softplus(low) - softplus(high))  # log(1 - D)
    log_share = u.log() + rest
    return softplus(log_share + gap + log_one_minus_exp(gap) - torch.logaddexp(torch.log1p(-u), log_share))
