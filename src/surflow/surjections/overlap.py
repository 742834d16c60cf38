r"""Max pooling with overlapping blocks, as an exact surjection onto all of R^n.

Neighbouring blocks often share their maximum, so the map of pooled maxima has ties with positive
probability: it lies on strata of lower dimension, and a density of full dimension there means nothing.
Three ways out were weighed.

- Score the strata: which blocks share a maximum, then the distinct values. Exact, but the latent has a random
  dimension, and no further layer and no ordinary base can follow.
- Add noise to the pooled map. Anything can follow, but the likelihood becomes a bound, and ``forward`` no longer
  returns the z that ``inverse`` was given.
- Let every pixel serve one block only, which is what this layer does. The blocks are served row by row;
  each claims the largest pixel that no earlier block has claimed, and its value is the block's coordinate of z.

The lower right pixel of a block lies in no earlier block, so no block ever comes away empty, every z in
R^n has an x, and z has a density. Where no maximum is shared, z is the pooled map; with blocks that do not
overlap it always is. Where an earlier block has claimed the maximum, z holds the largest pixel that is left,
which says more than a tie would. The price: x -> z jumps where two pixels of a block are equal and one of
them is shared.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from surflow._internal.held_draws import note_draw
from surflow._internal.shapes import Shape
from surflow.distribution import Distribution, Jumps
from surflow.distributions.discrete import Categorical, is_softmax
from surflow.distributions.normal import HalfNormal
from surflow.errors import ShapeError
from surflow.surjections.maximum import apart, below_the_maximum, block_sides, check_below, image_shape
from surflow.transform import Path, Transform


class OverlappingMaxPool(Transform):
    r"""Maxima of blocks that may overlap, each pixel serving one block; channel by channel; an inference surjection.

    The blocks b are served row by row. Block b claims the pixel :math:`k_b`, its largest one that no earlier
    block has claimed, and :math:`z_b = x_{k_b}`. The other pixels lie below :math:`m_i(z)`, the smallest z of the
    blocks that hold them:

    .. math::
        V = \sum_b \log \pi(k_b \mid A_b, z, c) + \log f(d \mid z, c), \qquad d_i = m_i(z) - x_i

    :math:`A_b` are the pixels that can hold :math:`z_b`: unclaimed, and in no earlier block of a smaller z.
    The last blocks are cut where the image ends, so every size has a pooled map, of shape
    :math:`\lceil (height - kernel) / stride \rceil + 1` and likewise in width, as torch's pooling with ``ceil_mode``.

    Args:
        event_shape: (channels, height, width).
        kernel_size: side of a block in pixels, or (rows, columns).
        stride: step from a block to the next, or (down, right); from 1 to the block's side. With stride = kernel_size
            the layer is :class:`MaxPool`.
        index: a Categorical of event shape ``out_shape`` over the positions in a block row by row, whose odds are
            restricted to :math:`A_b`: uniform by default, learned, or conditional.
        differences: distribution of d on the positive orthant, event shape (channels, height * width - blocks),
            half-normal with learned scales by default. An entry stands for each pixel but the blocks' lower right
            ones, in rows; where a block has claimed that pixel, the entry is that of its lower right pixel instead.
            The context of both pieces is z, or z with the flow's context as further channels.

    Raises:
        ShapeError: if the block is larger than the image, the stride not between 1 and the kernel_size, or a piece
            does not fit.

    >>> import torch, surflow as sf
    >>> x = torch.tensor([[[[1.0, 4.0, 3.0, 2.0]]]])
    >>> layer = sf.OverlappingMaxPool((1, 1, 4), kernel_size=(1, 2), stride=1, differences=sf.Exponential((1, 1)))
    >>> z, V = layer(x)  # the second block loses its maximum, 4, to the first, the third its maximum, 3, to the second
    >>> z
    tensor([[[[4., 3., 2.]]]])
    >>> round(V.item(), 4)  # log 1/2, a choice for the first block only, and 3 = 4 - 1
    -3.6931
    """

    random_inverse = True
    order: Tensor
    rank: Tensor
    table: Tensor
    cover: Tensor
    homes: Tensor
    slots: Tensor

    def __init__(
        self,
        event_shape: Shape,
        *,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int],
        index: Categorical | None = None,
        differences: Distribution | None = None,
    ) -> None:
        channels, height, width = image_shape(self, event_shape)
        rows, columns = block_sides(self, "kernel_size", kernel_size)
        down, right = block_sides(self, "stride", stride)
        if rows * columns < 2:
            raise ShapeError("OverlappingMaxPool expects blocks of at least two pixels, got kernel_size=1")
        if rows > height or columns > width:
            raise ShapeError(
                f"OverlappingMaxPool got blocks of {rows} x {columns} for images of {height} x {width} pixels: "
                "choose a kernel_size that fits into the image"
            )
        if down > rows or right > columns:
            raise ShapeError(
                f"OverlappingMaxPool expects a stride from 1 to the kernel_size, here ({rows}, {columns}), "
                f"got {(down, right)}: "
                "a larger one leaves pixels in no block"
            )
        z_shape = (channels, -(-(height - rows) // down) + 1, -(-(width - columns) // right) + 1)
        d_shape = (channels, height * width - z_shape[1] * z_shape[2])
        index = Categorical(z_shape, levels=rows * columns) if index is None else index
        differences = HalfNormal(d_shape, learned=True) if differences is None else differences
        context_shape = check_below(self, z_shape, index, rows * columns, differences, d_shape)
        if not is_softmax(index):
            raise ShapeError(
                "OverlappingMaxPool restricts the odds of its index to the pixels that can hold the maximum, "
                f"and expects a Categorical, got {type(index).__name__}, which may have no odds"
            )
        super().__init__(event_shape, z_shape, context_shape=context_shape)
        self.kernel_size, self.stride = (rows, columns), (down, right)
        self.index = index
        self.differences = differences
        self._build_tables()

    def _build_tables(self) -> None:
        """Which pixels each block holds, and which blocks can be served at once, as buffers of indices.

        Block (i, j) meets only blocks less than ``reach`` columns away, so all blocks of equal
        ``j + reach * i`` are apart from each other and come after all earlier blocks that they meet: serving
        them together is serving row by row. Blocks are numbered in that order within this class.
        """
        _, height, width = self.in_shape
        _, high, wide = self.out_shape
        (rows, columns), (down, right) = self.kernel_size, self.stride
        reach = -(-columns // right)
        weights = (reach if down < rows else 0, 1 if right < columns else 0)
        i, j = torch.arange(high).repeat_interleave(wide), torch.arange(wide).repeat(high)
        steps = weights[0] * i + weights[1] * j
        order = steps.argsort(stable=True)
        self.sizes = steps[order].unique_consecutive(return_counts=True)[1].tolist()

        outside = height * width  # a pixel that is never free stands for those beyond the border
        r = (i[order] * down).unsqueeze(1) + torch.arange(rows).repeat_interleave(columns)
        c = (j[order] * right).unsqueeze(1) + torch.arange(columns).repeat(rows)
        table = torch.where((r < height) & (c < width), r * width + c, outside)
        homes = table.masked_fill(table == outside, -1).amax(1)

        # The blocks that hold each pixel, in ascending order: the positions of the table sorted by their pixel.
        holds, position = table.flatten().sort(stable=True)
        inside = holds < outside
        holds, holder = holds[inside], position[inside] // table.shape[1]
        many = torch.zeros(outside, dtype=torch.long).index_add_(0, holds, torch.ones_like(holds))
        start = many.cumsum(0) - many
        cover = holder[start].unsqueeze(1).repeat(1, int(many.max()))
        cover[holds, torch.arange(len(holds)) - start[holds]] = holder
        is_home = torch.zeros(outside, dtype=torch.bool).index_fill_(0, homes, True)
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("rank", order.argsort(), persistent=False)
        self.register_buffer("table", table, persistent=False)
        self.register_buffer("cover", cover, persistent=False)
        self.register_buffer("homes", homes, persistent=False)
        self.register_buffer("slots", is_home.logical_not().nonzero().squeeze(1), persistent=False)

    def _path(self, *, inverse: bool) -> Path:
        # Which pixels can hold a maximum depends on z where blocks overlap, so the draw jumps with z.
        if self.stride != self.kernel_size:
            return Path(event=False, contribution=Jumps.LEARNED)
        if inverse:
            return super()._path(inverse=inverse)
        return below_the_maximum(self.index, self.differences, math.prod(self.kernel_size))

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        pixels = x.flatten(2)
        position, claimed, free, can_hold = self._claim(pixels.detach(), None, None)
        values = pixels.gather(2, claimed)
        z = values[:, :, self.rank].reshape(-1, *self.out_shape)
        d = (self._ceiling(values) - pixels).gather(2, free)
        V = _log_choice(self._logits(z, context), can_hold, position)
        return z, V + self.differences._elbo_of(d, self.differences._given(z, context))

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        values = z.flatten(2)[:, :, self.order]
        logits = self._logits(z, context)
        position, claimed, free, can_hold = self._claim(None, values.detach(), logits.detach())
        ceiling = self._ceiling(values).gather(2, free)

        def put(d: Tensor) -> tuple[Tensor, Tensor]:
            others = ceiling - apart(ceiling, d)
            return others, ceiling - others

        others, V = self.differences._draw_through(z.shape[0], self.differences._given(z, context), put)
        pixels = others.new_zeros((*z.shape[:2], self.cover.shape[0])).scatter(2, free, others)
        pixels = pixels.scatter(2, claimed, values.to(pixels.dtype))
        choice = _log_choice(logits, can_hold, position)
        note_draw(choice)
        return pixels.reshape(-1, *self.in_shape), V + choice

    def _claim(
        self, pixels: Tensor | None, values: Tensor | None, logits: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Serve the blocks: by their largest pixels, or, for given values, by drawing the pixels that hold them.

        Returns, by channel: each block's claim as a position in the block and as a pixel; the pixel of each difference;
        which positions of each block could hold its value.
        """
        like = pixels if values is None else values
        assert like is not None  # for the type checker: one of the two is given
        outside = self.cover.shape[0]
        shape = (*like.shape[:2], outside + 1)
        free = torch.arange(outside + 1, device=like.device).ne(outside).expand(shape)
        ceiling = like.new_full(shape, torch.inf)  # the smallest z of the blocks served so far
        # The claims end up in the blocks' homes, their lower right pixels, and what stood there in the claims'
        # positions, so that most differences keep to a pixel of their own.
        pixel_at = torch.arange(outside + 1, device=like.device).expand(shape)
        position_of = pixel_at
        if pixels is not None:
            pixels = torch.cat([pixels, pixels.new_zeros((*shape[:2], 1))], 2)
        positions, claims, holds = [], [], []
        start = 0
        for size in self.sizes:
            table, home = self.table[start : start + size], self.homes[start : start + size].expand(*shape[:2], size)
            is_free, top = free[:, :, table], ceiling[:, :, table]
            if pixels is not None:
                value, position = pixels[:, :, table].masked_fill(~is_free, -torch.inf).max(-1)
                can_hold = is_free & (top >= value.unsqueeze(-1))
            else:
                assert values is not None and logits is not None
                value, odds = values[:, :, start : start + size], logits[:, :, start : start + size]
                can_hold = is_free & (top >= value.unsqueeze(-1))
                kind = torch.promote_types(odds.dtype, torch.float32)  # in half precision many would be equal
                gumbel = -torch.empty(can_hold.shape, dtype=kind, device=odds.device).exponential_().log()
                position = (odds + gumbel).masked_fill(~can_hold, -torch.inf).argmax(-1)
            claim = table.expand(*shape[:2], -1, -1).gather(3, position.unsqueeze(-1)).squeeze(-1)
            free = free.scatter(2, claim, 0)  # no False, which torch.jit does not trace
            ceiling = ceiling.index_copy(2, table.flatten(), torch.minimum(top, value.unsqueeze(-1)).flatten(2))
            vacant = position_of.gather(2, claim)
            pixel_at = pixel_at.scatter(2, vacant, home)
            position_of = position_of.scatter(2, home, vacant)
            positions.append(position)
            claims.append(claim)
            holds.append(can_hold)
            start += size
        return torch.cat(positions, 2), torch.cat(claims, 2), pixel_at[:, :, self.slots], torch.cat(holds, 2)

    def _ceiling(self, values: Tensor) -> Tensor:
        """m_i(z): the smallest z of the blocks that hold pixel i."""
        return values[:, :, self.cover].amin(-1)

    def _logits(self, z: Tensor, context: Tensor | None) -> Tensor:
        """Log-odds of the positions, shape (rows or 1, channels, blocks, positions in a block)."""
        raw = self.index.parameters_given(self.index._given(z, context))
        return raw.flatten(3)[..., self.order].movedim(1, 3)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, kernel_size={self.kernel_size}, stride={self.stride}"


def _log_choice(logits: Tensor, can_hold: Tensor, position: Tensor) -> Tensor:
    """Log-probability of the positions among those that can hold the maximum, summed over channels and blocks."""
    log_probs = logits.expand(can_hold.shape).masked_fill(~can_hold, -torch.inf).log_softmax(-1)
    return log_probs.gather(3, position.unsqueeze(-1)).flatten(1).sum(1)
