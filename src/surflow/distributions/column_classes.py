"""ColumnClasses: rows of a table as latent classes, within which the columns are independent."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from surflow._internal.numbers import as_rows
from surflow._internal.shapes import Shape
from surflow.distributions.class_fit import Classes, ClassRows
from surflow.distributions.column_conditionals import ColumnConditionals
from surflow.distributions.column_distribution import ColumnDistribution
from surflow.distributions.column_marginals import ColumnMarginal, LogisticMarginal, SharedMarginal
from surflow.distributions.discrete import draw_categories
from surflow.distributions.knots import Knots
from surflow.distributions.stacked import weights
from surflow.errors import ConfigError
from surflow.supports import Support

# Of fewer rows as many classes are not tried, and of many columns not more than score about as fast as a network.
_ROWS_A_CLASS, _MOST_VALUES = 5, 2000
_LEAST_WEIGHT = 0.01
# Logits of entries that are held at once in drawing.
_LOGITS_AT_ONCE = 2**23
# The fourth moment of a normal of unit variance.
_FOURTH = 3.0


class ColumnClasses(ColumnDistribution):
    r"""Rows as latent classes: exact, fast, and the best there is of some hundred rows of several kinds.

    .. math:: p(x) = \sum_k w_k \prod_i p_{ki}(x_i)

    where :math:`p_{ki}` has a probability for every entry of column i, category, atom or missing value, and for the
    rest: a normal on the column's scale, with the mass of a cell where numbers lie on a grid, and the column whatever
    the class for as much as one row. ``initialize`` fits 1, 2, 4, ... classes to the data by expectation-maximisation,
    and ``weigh`` sets how much each of these fits counts by rows that were not trained on; those of less than a
    hundredth are given up. Until then they count alike. Before ``initialize`` the columns are independent. Nothing is
    trained.

    Args:
        event_shape: D, or (D,).
        support: of the columns, as for :class:`AnyOrder`.
        classes: most classes of a fit, a power of two; of less than five rows a class, or of hundreds of columns, fewer
            are fitted.

    Raises:
        ShapeError: for events that are no vectors.
        SupportError: for a support of columns of another kind.
        ConfigError: for a number of classes that is no power of two.

    Source: Goodman, "Exploratory Latent Structure Analysis Using Both Identifiable and Unidentifiable Models", 1974.

    >>> import torch, surflow as sf
    >>> rows = sf.ColumnClasses(2, support=sf.Integers(2), classes=2)
    >>> rows.initialize(torch.tensor([[0.0, 0.0], [1.0, 1.0]]).repeat(50, 1))
    >>> rows.weigh(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    >>> rows.log_prob_of(torch.tensor([[1.0, 1.0]]), of=[1], given=[0]).exp().item() > 0.9
    True
    """

    fit_of: Tensor
    log_weight: Tensor

    def __init__(self, event_shape: int | Shape, *, support: Support, classes: int = 64) -> None:
        super().__init__(event_shape, support=support)
        if classes < 1 or classes & (classes - 1):
            raise ConfigError(f"ColumnClasses expects a power of two as the most classes, got {classes}")
        sizes = 2 ** torch.arange(classes.bit_length())
        self.sizes: list[int] = sizes.tolist()
        total = 2 * classes - 1
        # A class is a hidden vector, one at its own place: what depends on it stands in a table.
        embedding = nn.Parameter(torch.zeros(len(self.layout.atom), total))
        self.conditionals = ColumnConditionals(self.layout, embedding, components=4)
        self.conditionals.requires_grad_(requires_grad=False)
        self.conditionals.inner.weight.copy_(torch.eye(total))
        self.register_buffer("fit_of", torch.arange(len(sizes)).repeat_interleave(sizes))
        # The first fit, of one class, until there are more.
        self.register_buffer("log_weight", torch.zeros(total).masked_fill(self.fit_of > 0, -math.inf))
        self.used: list[int] = []
        _count(self)
        self.register_load_state_dict_post_hook(_count)

    # -- what the data say ----------------------------------------------------------------------------

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None, *, weight: Tensor | None = None) -> None:
        """Fit classes to rows of the training data; only once."""
        x, _, _ = self._rows(x, context)
        x = as_rows(x, weight)
        if self.layout.fitted or not len(x):
            return
        self.layout.initialize(x)
        self._straighten(x)
        rows = ClassRows(self.layout, x)
        sizes = [k for k in self.sizes if k == 1 or k <= min(len(x) // _ROWS_A_CLASS, _MOST_VALUES // x.shape[1])]
        self.conditionals.start.zero_()
        for fit, k in enumerate(sizes):
            classes = rows.fitted(k)
            self._set((self.fit_of == fit).nonzero()[:, 0], classes)
            self.log_weight[self.fit_of == fit] = (classes.weight / len(sizes)).log().to(self.log_weight)
        _count(self)

    def _straighten(self, x: Tensor) -> None:
        """Keep the scale of columns straight whose tails are those of a normal, or lighter, as two peaks have them.

        On a scale on which the column is normal as a whole, its peaks apart are not.
        """
        rest = self.layout.entries(x) < 0
        for column in range(x.shape[1]):  # once, before training
            v = x[:, column][rest[:, column]].double()
            deviation = v.std(correction=0) if v.numel() else v.new_zeros(())
            if deviation > 0 and ((v - v.mean()) / deviation).pow(4).mean() < _FOURTH:
                self.layout.knots[:, column] = Knots.line(v.mean().item(), deviation.item())
        self.layout._set_ends()

    def _set(self, at: Tensor, classes: Classes) -> None:
        net, layout = self.conditionals, self.layout
        net.embedding[:, at] = (classes.share.log().T - layout.log_frequency[:, None]).to(net.embedding)
        one, alone = torch.ones_like(classes.own), torch.zeros_like(classes.own)
        normals = [(classes.own, classes.mean, classes.deviation), (1 - classes.own, alone, one)]
        raw = net.raw_of_normals(normals)
        net.weight[:, at] = raw.transpose(0, 1).to(net.weight)

    @torch.no_grad()
    def weigh(self, x: Tensor, context: Tensor | None = None) -> None:
        """Set how much each fit counts to what is the likelihood of rows that were not trained on at its highest.

        Args:
            x: rows (n, D), at least one.
            context: None.

        Raises:
            DataError: for no rows, or none that has a density.
        """
        x, _, _ = self._rows(x, context)
        each = self._in_parts(lambda x, _: self._log_joint(x).T, x, None, each=self._each)
        fit_of = self.fit_of[self.used]
        fits = fit_of.unique()
        within = torch.stack([self.log_weight[self.fit_of == fit].logsumexp(0) for fit in fits])
        found = weights(torch.stack([each[:, fit_of == fit].logsumexp(1) for fit in fits], 1) - within)
        found = found.masked_fill(found < math.log(_LEAST_WEIGHT), -math.inf).log_softmax(0).to(within)
        for fit, before, after in zip(fits, within, found, strict=True):
            self.log_weight[self.fit_of == fit] += after - before
        _count(self)

    # -- scoring --------------------------------------------------------------------------------------

    @property
    def _each(self) -> int:
        """What the logistics of all classes take of memory, in hidden vectors of a value."""
        return max(1, len(self.used) // 12)

    @property
    def _hidden(self) -> Tensor:
        """The hidden vectors of the classes that are used, (k, classes)."""
        return self.conditionals.inner.weight[self.used]

    def _nats(self, x: Tensor) -> Tensor:
        """Of every value in every class, (k, n, D)."""
        return self.conditionals.log_prob(self._hidden[:, None, None].expand(-1, 1, x.shape[1], -1), x)

    def _log_joint(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """Logarithms of the weights of classes times likelihoods of rows, or of what is known of them, (k, n)."""
        nats = self._nats(x)
        if known is not None:
            nats = nats.where(known, 0.0)
        return self.log_weight[self.used, None] + nats.sum(2)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self._in_parts(lambda x, _: self._log_joint(x).logsumexp(0), x, None, each=self._each)

    def _log_known(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        return self._log_joint(x, known).logsumexp(0)

    def _log_prob_of(self, x: Tensor, of: list[int], given: list[int], context: Tensor | None) -> Tensor:
        nats = self._nats(x)
        before = self.log_weight[self.used, None] + nats[..., given].sum(2)
        return (before.log_softmax(0) + nats[..., of].sum(2)).logsumexp(0)

    @torch.no_grad()
    def account(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Nats of every value given all others of its row, (n, D): the lowest are the oddest.

        Args:
            x: rows (n, D).
            context: None.
        """
        x, _, _ = self._rows(x, context)

        def each(x: Tensor, _: Tensor | None) -> Tensor:
            nats = self._nats(x)
            whole = self.log_weight[self.used, None] + nats.sum(2)
            others = whole[..., None] - nats.where(nats.isfinite(), 0.0)
            return whole.logsumexp(0)[:, None] - others.logsumexp(0)

        return self._in_parts(each, x, None, each=self._each)

    # -- columns given others, and drawing --------------------------------------------------------------

    def _marginal(
        self,
        x: Tensor,
        known: Tensor,
        of: int,
        context: Tensor | None,
        *,
        listed: Sequence[int] | None = None,
        drawing: bool = False,
    ) -> ColumnMarginal:
        return self._marginals(x, known, [of], context)[0]

    def _marginals(
        self, x: Tensor, known: Tensor, of: list[int], context: Tensor | None, *, drawing: bool = False
    ) -> list[ColumnMarginal]:
        weight = self._log_joint(x, known).T.double().softmax(1)
        return [SharedMarginal(LogisticMarginal(self.conditionals, self._hidden, c), weight) for c in of]

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        k = draw_categories(n, self.log_weight[None, self.used])
        x = torch.zeros(n, *self.event_shape, device=k.device, dtype=self._event_type)
        return self._drawn(k, x, torch.zeros_like(x, dtype=torch.bool))

    @torch.no_grad()
    def _filled(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        return self._drawn(draw_categories(len(x), self._log_joint(x, known).T), x, known)

    def _drawn(self, k: Tensor, x: Tensor, known: Tensor) -> Tensor:
        """Values of the classes (n,); those ``known``, (n, D), are kept from x."""
        columns = []
        for column, size in enumerate(self.layout.sizes):
            parts = k.split(max(1, _LOGITS_AT_ONCE // size))
            of = [torch.full_like(part, column) for part in parts]
            pairs = zip(parts, of, strict=True)
            columns.append(torch.cat([self.conditionals.draw(self._hidden[part], c, [column]) for part, c in pairs]))
        return x.where(known, torch.stack(columns, 1).to(x.dtype))


def _count(rows: nn.Module, _: object = None) -> None:
    """Classes of some weight, as Python's numbers: no step of scoring or drawing waits for a device to say them."""
    assert isinstance(rows, ColumnClasses)
    rows.used = rows.log_weight.isfinite().nonzero()[:, 0].tolist()
