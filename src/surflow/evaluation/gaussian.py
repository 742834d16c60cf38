"""The baseline: Gaussians with full covariance, fitted to the training split and scored on held-out rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from surflow.evaluation.data_set import DataSet
from surflow.supports import Integers

_CHUNK_ROWS = 4096
# Added to the variances, relative to each of them: enough for a factor where columns depend on each other.
_RIDGE = 1e-6
# With fewer rows a column the sample covariance is nearly singular, and held-out rows are infinitely unlikely.
_ROWS_A_COLUMN = 5


class Gaussian(NamedTuple):
    """x given c is normal: a mean linear in the design (1, c), and one covariance, as its Cholesky factor.

    ``coefficients`` has shape (1 + C, D), ``cholesky`` (D, D).
    """

    coefficients: Tensor
    cholesky: Tensor

    def log_prob(self, x: Tensor, design: Tensor) -> Tensor:
        r"""Log-density of rows x, shape (batch, D), in nats, shape (batch,).

        .. math:: -\tfrac12 |L^{-1} (x - m)|^2 - \log \det L - \tfrac D2 \log 2 \pi
        """
        noise = torch.linalg.solve_triangular(self.cholesky, (x - design @ self.coefficients).T, upper=False)
        log_det = self.cholesky.diagonal().log().sum()
        return -0.5 * noise.square().sum(0) - log_det - 0.5 * x.shape[1] * math.log(2 * math.pi)


def fit_gaussian(x: Tensor, c: Tensor | None = None) -> Gaussian:
    """Maximum likelihood for rows x, shape (batch, D), linear in c, shape (batch, C), float64 and chunk by chunk.

    With fewer than 5 D rows the covariance is shrunk instead, in units of the columns' standard deviations, towards a
    multiple of the identity. Source: Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance
    matrices", Journal of Multivariate Analysis 88 (2004).

    >>> import torch
    >>> fit = fit_gaussian(torch.tensor([[0.0], [2.0]]))
    >>> round(fit.coefficients.item(), 5), round(fit.cholesky.item(), 5)
    (1.0, 1.0)
    """
    n, size = x.shape
    width = 0 if c is None else c.shape[1]
    # Centred moments, so that large offsets cost no digits.
    x_mean = torch.stack([part.double().sum(0) for part in x.split(_CHUNK_ROWS)]).sum(0) / n
    c_mean = torch.zeros(width, dtype=torch.float64) if c is None else c.double().mean(0)
    cc = torch.zeros(width, width, dtype=torch.float64)
    cx = torch.zeros(width, size, dtype=torch.float64)
    xx = torch.zeros(size, size, dtype=torch.float64)
    for start in range(0, n, _CHUNK_ROWS):
        centred = x[start : start + _CHUNK_ROWS].double() - x_mean
        xx += centred.T @ centred
        if c is not None:
            given = c[start : start + _CHUNK_ROWS].double() - c_mean
            cc += given.T @ given
            cx += given.T @ centred
    # The one-hot columns of a category sum to one: the least-squares solution of smallest norm is as good as any.
    slopes = torch.linalg.lstsq(cc, cx, driver="gelsd").solution if width else cx
    if n < few_rows(size):
        covariance = _shrunk(x.double() - x_mean - (0 if c is None else (c.double() - c_mean) @ slopes))
    else:
        covariance = (xx - slopes.T @ cx) / n
    covariance = (covariance + covariance.T) / 2
    variances = covariance.diagonal()
    typical = variances.mean().clamp(min=torch.finfo(torch.float64).tiny)
    cholesky = torch.linalg.cholesky(covariance + _RIDGE * torch.where(variances > 0, variances, typical).diag())
    return Gaussian(torch.cat([(x_mean - c_mean @ slopes)[None], slopes]), cholesky)


def few_rows(size: int) -> int:
    """With fewer rows of so many columns, :func:`fit_gaussian` shrinks the covariance."""
    return _ROWS_A_COLUMN * size


def _shrunk(noise: Tensor) -> Tensor:
    """The Ledoit-Wolf covariance of centred rows."""
    from sklearn.covariance import ledoit_wolf

    scale = noise.square().mean(0).sqrt()
    scale = torch.where(scale > 0, scale, 1.0)
    covariance, _ = ledoit_wolf((noise / scale).numpy(), assume_centered=True)
    return torch.from_numpy(covariance) * scale[:, None] * scale


def gaussian_scores(splits: DataSet, x: Tensor, context: Tensor | None, *, conditional: bool, seed: int = 0) -> Tensor:
    """Log-density of held-out rows under the strongest simple Gaussian fitted to ``splits.train``; nats, (batch,).

    Without a context it is one Gaussian with full covariance. With a context (``conditional``) there are three
    candidates: that one; where there are twice as many training rows as coefficients for one column, a mean linear in
    the context, which is the conditional of a joint Gaussian; and, where every
    context has at least 2 (D + 1) training rows, one Gaussian for each context. The one with the lowest validation
    NLL is scored.

    With fewer than 5 D rows to fit, covariances are shrunk (:func:`fit_gaussian`).

    Integer data, by ``splits.support``, are scored as x + u with u uniform on [0, 1), in training too: by Jensen's
    inequality the mean is a lower bound of the log-likelihood of the integers.
    """
    generator = torch.Generator().manual_seed(seed)

    def flat(rows: Tensor) -> Tensor:
        rows = rows.detach().cpu().flatten(1)
        if not isinstance(splits.support, Integers):
            return rows
        return rows + torch.rand(rows.shape, generator=generator)

    train, held_out = flat(splits.train.x), flat(x)
    fitted = fit_gaussian(train)
    if not conditional or context is None:
        return _scores(lambda rows, design, keys: fitted.log_prob(rows, design[:, :1]), held_out, None, None)

    encode = _encoder(splits)
    raw = [_raw(part) for part in (splits.train.context, splits.validation.context, context)]
    design = [encode(part) for part in raw]
    known, train_keys, counts = raw[0].unique(dim=0, return_inverse=True, return_counts=True)
    keys = [_keys(known, part) for part in raw[1:]]
    candidates: list[Callable[[Tensor, Tensor, Tensor], Tensor]] = [
        lambda rows, design, keys: fitted.log_prob(rows, design[:, :1])
    ]
    if len(train) >= 2 * (design[0].shape[1] + 1):  # fewer rows would nearly be met exactly, with nothing left over
        linear = fit_gaussian(train, design[0])
        candidates.append(lambda rows, design, keys: linear.log_prob(rows, design))
    if counts.min() >= 2 * (train.shape[1] + 1):
        each = [fit_gaussian(train[train_keys == i]) for i in range(len(known))]

        def per_context(rows: Tensor, design: Tensor, keys: Tensor) -> Tensor:
            log_prob = fitted.log_prob(rows, design[:, :1])  # for contexts that training has not seen
            for i, gaussian in enumerate(each):
                own = keys == i
                log_prob[own] = gaussian.log_prob(rows[own], design[own, :1])
            return log_prob

        candidates.append(per_context)
    validation = flat(splits.validation.x)
    best = max(candidates, key=lambda f: _scores(f, validation, design[1], keys[0]).mean().item())
    return _scores(best, held_out, design[2], keys[1])


def _scores(
    log_prob: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, c: Tensor | None, keys: Tensor | None
) -> Tensor:
    def parts() -> Iterator[Tensor]:
        for start in range(0, x.shape[0], _CHUNK_ROWS):
            rows = slice(start, start + _CHUNK_ROWS)
            part = x[rows].double()
            ones = torch.ones(part.shape[0], 1, dtype=torch.float64)
            design = ones if c is None else torch.cat([ones, c[rows].double()], 1)
            yield log_prob(part, design, torch.zeros(0) if keys is None else keys[rows])

    return torch.cat(list(parts()))


def _raw(context: Tensor | None) -> Tensor:
    assert context is not None  # every part of data with a context has one
    return context.detach().cpu().reshape(context.shape[0], -1)


def _encoder(splits: DataSet) -> Callable[[Tensor], Tensor]:
    """What turns a raw context into numbers for a linear model: one-hot categories and standardised numbers."""
    if splits.context is None:
        return lambda context: context.double()
    network = splits.context.network()
    return lambda context: network(context).detach().double()


def _keys(known: Tensor, context: Tensor) -> Tensor:
    """For every row the index of the equal row of ``known``, or -1."""
    both, index = torch.cat([known, context]).unique(dim=0, return_inverse=True)
    place = torch.full((len(both),), -1)
    place[index[: len(known)]] = torch.arange(len(known))
    return place[index[len(known) :]]
