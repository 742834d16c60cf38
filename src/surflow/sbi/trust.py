"""How far the regions of a learned posterior can be trusted: the coverage of held-out simulations, and a sentence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.stats import binom
from torch import Tensor

from surflow.evaluation.likelihood import draws_given, log_probs
from surflow.flow import Flow

# Pairs that are looked at, draws of the posterior for each, and the regions' probabilities.
_PAIRS, _DRAWS, _LEVELS = 500, 100, (0.5, 0.9)
# The chance that a calibrated posterior is said to be off, shared by the levels.
_CHANCE = 0.05


def coverage(held: Sequence[tuple[Flow, Tensor, Tensor]], seed: int) -> tuple[list[float], int]:
    """The shares of parameters within their regions of highest density of probability .5 and .9, and of how many pairs.

    Args:
        held: flows, with parameters and observations that each has not seen.
        seed: of the draws.
    """
    inside = []
    for flow, theta, x in held:
        n = min(len(theta), _PAIRS // len(held))
        theta, x = theta[:n], x[:n]
        drawn = draws_given(flow, _DRAWS, x, seed=seed)
        # A region of highest density holds the truth, if fewer draws than its share are likelier.
        likelier = log_probs(flow, drawn.flatten(0, 1), x.repeat(_DRAWS, 1)).reshape(_DRAWS, n) > log_probs(
            flow, theta, x
        )
        inside.append(likelier.double().mean(0))
    rank = torch.cat(inside)
    return [float((rank < level).double().mean()) for level in _LEVELS], len(rank)


def sentence(shares: Sequence[float], n: int) -> str:
    """What the shares of ``coverage`` mean, in words.

    >>> sentence([0.51, 0.9], 500)
    'of 500 simulations held out, 51 % lie in their regions of 50 % and 90 % in those of 90 %: widths can be trusted'
    >>> sentence([0.4, 0.8], 500).partition("90 %: ")[2]
    'regions are too narrow: read one of 90 % as one of 80 %, or simulate more'
    """
    seen = " and ".join(
        f"{round(100 * share)} % {'lie in their regions' if not i else 'in those'} of {round(100 * level)} %"
        for i, (share, level) in enumerate(zip(shares, _LEVELS, strict=True))
    )
    tail = _CHANCE / len(_LEVELS) / 2
    low = [share * n < binom.ppf(tail, n, level) for share, level in zip(shares, _LEVELS, strict=True)]
    high = [share * n > binom.ppf(1 - tail, n, level) for share, level in zip(shares, _LEVELS, strict=True)]
    if any(low):
        said = f"regions are too narrow: read one of 90 % as one of {round(100 * shares[-1])} %, or simulate more"
    elif any(high):
        said = "regions are wider than they need to be, and safe"
    else:
        said = "widths can be trusted"
    return f"of {n} simulations held out, {seen}: {said}"
