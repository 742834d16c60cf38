"""Max, MaxPool and OverlappingMaxPool: total mass, closed forms, the definition by hand, exact round trips."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import surflow as sf

HOPS = [(block, hop) for block in (2, 3, 4) for hop in range(1, block + 1)]


def perturb(module: torch.nn.Module, scale: float = 0.3) -> torch.nn.Module:
    """In double precision, with parameters away from zero."""
    module = module.double()
    with torch.no_grad():
        for p in module.parameters():
            if p.ndim == 2:
                p.mul_(0.5)  # importance sampling cannot keep up with the densities of steeper networks
            p.add_(scale * torch.randn_like(p))
    return module


def pieces_given_z(z_shape: tuple[int, ...], d_shape: tuple[int, ...], levels: int) -> dict[str, sf.Distribution]:
    return {
        "index": sf.Categorical(z_shape, levels=levels, context_shape=z_shape),
        "differences": sf.HalfNormal(d_shape, context_shape=z_shape),
    }


@pytest.mark.parametrize("conditional", [False, True])
def test_draws_follow_the_density_of_max(conditional: bool) -> None:
    """exp(log p) integrates to one over the maximum and the log-difference; over cells, to the frequency of draws."""
    pieces = pieces_given_z((1,), (1,), 2) if conditional else {}
    flow = perturb(sf.Flow([sf.Max(2, **pieces)], base=sf.Normal(1)), 0.1)
    z, d = (torch.linspace(a, b, 401, dtype=torch.float64) for a, b in ((-8, 8), (-18, 5)))
    step = (z[1] - z[0]) * (d[1] - d[0])
    z, log_d = torch.cartesian_prod(z, d).unbind(1)
    x = torch.cat([torch.stack([z, z - log_d.exp()], 1), torch.stack([z - log_d.exp(), z], 1)])
    with torch.no_grad():
        mass = (flow.log_prob(x) + log_d.repeat(2)).exp() * step
    assert mass.sum().item() == pytest.approx(1, abs=1e-5)
    n = 20_000
    draws = flow.sample(n, seed=1)
    for cell in (lambda x: x[:, 0] > x[:, 1], lambda x: x.sum(1) > 0.3, lambda x: (x - 0.2).abs().amax(1) < 0.5):
        p = mass[cell(x)].sum().item()
        assert abs(cell(draws).double().mean().item() - p) < 4 * math.sqrt(p * (1 - p) / n) + 3e-3


def test_differences_of_max_skip_the_maximum_in_ascending_order() -> None:
    layer = sf.Max(4, index=sf.Categorical(1, levels=4, learned=True), differences=sf.HalfNormal(3, learned=True))
    perturb(layer)
    x = torch.tensor([[1.0, 5.0, 3.0, 4.0]], dtype=torch.float64)
    d = torch.tensor([[4.0, 2.0, 1.0]], dtype=torch.float64)
    z, V = layer(x)
    expected = layer.index.log_prob(torch.ones(1, 1).double()) + layer.differences.log_prob(d)
    assert z.item() == 5 and torch.allclose(V, expected, atol=1e-12, rtol=0)


def test_a_flow_can_be_the_differences() -> None:
    differences = sf.Flow([sf.Log(1), sf.Elementwise(1, context_shape=1)], base=sf.Normal(1))
    flow = perturb(sf.Flow([sf.Max(2, differences=differences)], base=sf.Normal(1)))
    x = torch.tensor([[0.3, -1.0]], dtype=torch.float64)
    d, z = torch.tensor([[1.3]], dtype=torch.float64), x[:, :1]
    expected = differences.log_prob(d, z) + sf.Normal(1).double().log_prob(z)
    assert flow.exact and flow.log_prob(x).item() == pytest.approx(expected.item() - math.log(2), abs=1e-12)


def test_uniform_places_and_exponential_differences_of_max_pool() -> None:
    x = torch.randn(5, 2, 4, 6).double()
    for block in ((2, 2), (2, 3), (1, 2), (4, 1)):
        b = block[0] * block[1]
        d_shape = (2 * (b - 1), 4 // block[0], 6 // block[1])
        z, V = sf.MaxPool((2, 4, 6), kernel_size=block, differences=sf.Exponential(d_shape, initial=0.5))(x)
        pooled = F.max_pool2d(x, block)
        fall = (pooled.repeat_interleave(block[0], 2).repeat_interleave(block[1], 3) - x).flatten(1).sum(1)
        blocks, pixels = 48 // b, 48
        expected = -blocks * math.log(b) - 2 * fall + (pixels - blocks) * math.log(2)
        assert torch.equal(z, pooled) and torch.allclose(V, expected, atol=1e-12)


def test_max_pool_of_one_block_is_max() -> None:
    x = torch.randn(5, 1, 2, 3).double()
    scale = torch.randn(1, 5).double()
    pool, vector = sf.MaxPool((1, 2, 3), kernel_size=(2, 3)).double(), sf.Max(6).double()
    with torch.no_grad():
        pool.differences.raw.copy_(scale.reshape(1, 5, 1, 1))
        vector.differences.raw.copy_(scale)
    assert torch.allclose(pool(x)[1], vector(x.flatten(1))[1], atol=1e-12)


def test_context_reaches_both_pieces() -> None:
    index, overlapping_index = (sf.Categorical((1, 2, 2), levels=2, context_shape=(3, 2, 2)) for _ in range(2))
    pieces = {"index": index, "differences": sf.HalfNormal((1, 2, 2), context_shape=(3, 2, 2))}
    overlapping = {"index": overlapping_index, "differences": sf.HalfNormal((1, 2), context_shape=(3, 2, 2))}
    for layer in (
        sf.MaxPool((1, 2, 4), kernel_size=(1, 2), **pieces),
        sf.OverlappingMaxPool((1, 2, 3), kernel_size=(1, 2), stride=(1, 1), **overlapping),
    ):
        perturb(layer)
        assert layer.context_shape == (2,)
        x, context = torch.randn(2, *layer.in_shape).double(), torch.randn(2, 2).double()
        assert (layer(x, context)[1] != layer(x, context + 1)[1]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_maximum_is_found_again_where_differences_vanish(dtype: torch.dtype) -> None:
    """Differences far below the spacing of floats at z: the place of the maximum must survive."""
    layers: list[tuple[sf.Transform, Tensor]] = [
        (
            sf.Max(5, index=sf.Categorical(1, levels=5, learned=True), differences=sf.HalfNormal(4, initial=1e-30)),
            torch.full((50, 1), 255.0),
        ),
        (
            sf.OverlappingMaxPool(
                (1, 5, 5), kernel_size=3, stride=2, differences=sf.HalfNormal((1, 21), initial=1e-30)
            ),
            torch.rand(50, 1, 2, 2),
        ),
    ]
    for layer, z in layers:
        perturb(layer).to(dtype)
        x, V = layer.inverse(z.to(dtype))
        again, V_again = layer(x)
        assert torch.equal(again, z.to(dtype)) and torch.equal(V, V_again)


def test_ties_in_the_data_stay_finite() -> None:
    x = torch.zeros(2, 1, 4, 4)
    for layer in (sf.MaxPool((1, 4, 4), kernel_size=2), sf.OverlappingMaxPool((1, 4, 4), kernel_size=3, stride=1)):
        z, V = layer(x)
        assert (z == 0).all() and V.isfinite().all()


@pytest.mark.parametrize(("block", "hop"), HOPS)
def test_every_z_comes_back_from_overlapping_blocks(block: int, hop: int) -> None:
    """forward(inverse(z)) is z to the last bit, for any z, with the same V; the last column of blocks may be cut."""
    for shape in ((2, block, block), (1, block + 2 * hop, block + 3 * hop), (2, block + hop + 1, block + 5)):
        layer = perturb(sf.OverlappingMaxPool(shape, kernel_size=block, stride=hop))
        z = torch.randn(40, *layer.out_shape).double()
        x, V = layer.inverse(z)
        again, V_again = layer(x)
        assert torch.equal(again, z) and torch.allclose(V, V_again, atol=1e-12)
        x = torch.randn(40, *shape).double()
        pooled = F.max_pool2d(x, block, hop, ceil_mode=True)
        z, _ = layer(x)
        assert z.shape == pooled.shape and (z <= pooled).all()
        assert torch.equal(z, pooled) or hop < block


def by_hand(x: Tensor, layer: sf.OverlappingMaxPool) -> tuple[Tensor, float]:
    """z and V of one image of one channel, block after block as the definition says, for exponential differences."""
    _, height, width = layer.in_shape
    (rows, columns), (down, right) = layer.kernel_size, layer.stride
    logits = layer.index.raw
    z = torch.zeros(layer.out_shape[1:], dtype=torch.float64)
    claimed: set[tuple[int, int]] = set()
    ceiling = {(r, c): math.inf for r in range(height) for c in range(width)}
    V = 0.0
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            places = {(i * down + r, j * right + c): r * columns + c for r in range(rows) for c in range(columns)}
            left = [pixel for pixel in places if pixel in ceiling and pixel not in claimed]
            best = max(left, key=lambda pixel: x[pixel].item())
            z[i, j] = x[best]
            candidates = [places[pixel] for pixel in left if ceiling[pixel] >= z[i, j]]
            odds = logits[:, 0, i, j]
            V += (odds[places[best]] - odds[candidates].logsumexp(0)).item()
            claimed.add(best)
            for pixel in places:
                if pixel in ceiling:
                    ceiling[pixel] = min(ceiling[pixel], z[i, j].item())
    return z, V - sum(m - x[pixel].item() for pixel, m in ceiling.items() if pixel not in claimed)


@pytest.mark.parametrize(
    ("shape", "block", "hop"),
    [((1, 5, 6), 2, 1), ((1, 7, 7), 3, 2), ((1, 6, 5), (3, 2), (1, 2)), ((1, 5, 8), (2, 4), (2, 1)), ((1, 6, 6), 4, 3)],
)
def test_the_definition_by_hand(shape: tuple[int, ...], block: int, hop: int) -> None:
    layer = sf.OverlappingMaxPool(shape, kernel_size=block, stride=hop)
    layer = sf.OverlappingMaxPool(
        shape,
        kernel_size=block,
        stride=hop,
        index=sf.Categorical(layer.out_shape, levels=layer.index.levels, learned=True),
        differences=sf.Exponential(layer.differences.event_shape),
    )
    perturb(layer, 1.0)
    x = torch.randn(6, *shape).double()
    z, V = layer(x)
    for row in range(6):
        expected_z, expected_V = by_hand(x[row, 0], layer)
        assert torch.equal(z[row, 0], expected_z) and V[row].item() == pytest.approx(expected_V, abs=1e-10)


@pytest.mark.parametrize("size", [3, 4])
@pytest.mark.parametrize(("block", "hop"), HOPS)
def test_importance_sampled_mass_of_overlapping_blocks(size: int, block: int, hop: int) -> None:
    """exp(log p) integrates to one over images, by draws from a Student t of the moments of the flow's draws.

    The same weights give the probability of an event under the density, which the flow's own draws must share.
    """
    if block > size:
        with pytest.raises(sf.ShapeError, match="fits into"):
            sf.OverlappingMaxPool((1, size, size), kernel_size=block, stride=hop)
        return
    layer = sf.OverlappingMaxPool((1, size, size), kernel_size=block, stride=hop)
    z_shape, d_shape = layer.out_shape, layer.differences.event_shape
    pieces: dict[str, sf.Distribution] = {"differences": sf.HalfNormal(d_shape, learned=True, initial=1.5)}
    if size == 3 and block == 2:
        pieces = pieces_given_z(z_shape, d_shape, layer.index.levels)
    layer = sf.OverlappingMaxPool((1, size, size), kernel_size=block, stride=hop, **pieces)
    flow = perturb(sf.Flow([layer], base=sf.Normal(layer.out_shape)), 0.1)
    n, D, freedom = (40_000, 9, 12) if size == 3 else (120_000, 16, 16)
    draws = flow.sample(40_000).flatten(1)
    root = torch.linalg.cholesky(draws.T.cov())
    noise = torch.randn(n, D).double()
    stretch = freedom / torch.distributions.Chi2(torch.tensor(float(freedom)).double()).sample((n, 1))
    x = draws.mean(0) + (noise * stretch.sqrt()) @ root.T
    log_q = (
        math.lgamma((freedom + D) / 2)
        - math.lgamma(freedom / 2)
        - D / 2 * math.log(freedom * math.pi)
        - root.diagonal().log().sum()
        - (freedom + D) / 2 * torch.log1p((noise.square() * stretch).sum(1) / freedom)
    )
    with torch.no_grad():
        weights = (flow.log_prob(x.reshape(n, 1, size, size)) - log_q).exp()
    error = weights.std().item() / math.sqrt(n)
    assert error < 0.05
    assert abs(weights.mean().item() - 1) < 3 * error
    event = x[:, 0] > x[:, size + 1]
    p = (draws[:, 0] > draws[:, size + 1]).double()
    spread = math.hypot((weights * event).std().item() / math.sqrt(n), p.std().item() / 200)
    assert abs((weights * event).mean().item() - p.mean().item()) < 4 * spread


def test_without_overlap_it_is_max_pool() -> None:
    x = torch.randn(6, 2, 6, 4).double()
    pool = sf.MaxPool((2, 6, 4), kernel_size=(3, 2), differences=sf.HalfNormal((10, 2, 2), initial=0.7))
    layer = sf.OverlappingMaxPool(
        (2, 6, 4), kernel_size=(3, 2), stride=(3, 2), differences=sf.HalfNormal((2, 20), initial=0.7)
    )
    for one, other in zip(layer(x), pool(x), strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_the_latent_has_full_dimension() -> None:
    """Every coordinate of z is a pixel of its own, where pooled maxima repeat pixels."""
    layer = sf.OverlappingMaxPool((1, 7, 7), kernel_size=3, stride=2)
    for _ in range(20):
        x = torch.randn(1, 1, 7, 7)
        jacobian = torch.autograd.functional.jacobian(lambda x: layer(x)[0].flatten(), x).reshape(9, 49)
        assert (jacobian.sum(1) == 1).all() and (jacobian.amax(1) == 1).all() and jacobian.sum(0).max() == 1


def test_further_layers_and_a_normal_base_follow() -> None:
    flow = sf.Flow(
        [
            sf.OverlappingMaxPool((1, 7, 7), kernel_size=3, stride=2),
            sf.Reshape((1, 3, 3), 9),
            sf.Coupling(9, hidden=(8,)),
        ],
        base=sf.Normal(9),
    )
    assert flow.exact and flow.sample(3, seed=0).shape == (3, 1, 7, 7)
    assert flow.log_prob(torch.randn(4, 1, 7, 7)).isfinite().all()


def test_reparameterization_is_known() -> None:
    assert sf.Max(3).reparameterized
    assert not sf.Max(3, index=sf.Categorical(1, levels=3, learned=True)).reparameterized
    assert sf.OverlappingMaxPool((1, 4, 4), kernel_size=2, stride=2).reparameterized
    assert not sf.OverlappingMaxPool((1, 4, 4), kernel_size=2, stride=1).reparameterized


@pytest.mark.parametrize(
    "layer",
    [sf.Max(3), sf.MaxPool((2, 4, 4), kernel_size=(2, 1)), sf.OverlappingMaxPool((2, 5, 5), kernel_size=3, stride=2)],
    ids=lambda layer: type(layer).__name__,
)
@pytest.mark.compile
def test_compiles_in_both_directions(layer: sf.Transform) -> None:
    torch.compiler.reset()
    x = torch.randn(3, *layer.in_shape).requires_grad_()
    z, V = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)
    assert torch.allclose(V, layer(x)[1])
    V.sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()
    back, V = torch.compile(layer.inverse, fullgraph=True, backend="aot_eager")(z.detach())
    assert torch.allclose(layer(back)[1], V, atol=1e-5)


def test_errors_say_what_to_do() -> None:
    with pytest.raises(sf.ShapeError, match="pad the images to 6 x 8"):
        sf.MaxPool((1, 5, 7), kernel_size=2)
    with pytest.raises(sf.ShapeError, match="at least two"):
        sf.Max(1)
    with pytest.raises(sf.ShapeError, match="channels, height, width"):
        sf.MaxPool((4, 4), kernel_size=2)
    with pytest.raises(sf.ShapeError, match="stride from 1 to the kernel_size"):
        sf.OverlappingMaxPool((1, 6, 6), kernel_size=2, stride=3)
    with pytest.raises(sf.ShapeError, match=r"integers\(4\)"):
        sf.MaxPool((1, 4, 4), kernel_size=2, index=sf.Categorical((1, 2, 2), levels=3))
    with pytest.raises(sf.ShapeError, match="on positive"):
        sf.Max(3, differences=sf.Normal(2))
    with pytest.raises(sf.ShapeError, match="share one context"):
        sf.Max(3, index=sf.Categorical(1, levels=3, context_shape=2), differences=sf.HalfNormal(2, context_shape=4))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the tracer itself
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # of the checks of shapes
def test_overlapping_max_pool_can_be_traced() -> None:
    layer = sf.OverlappingMaxPool((2, 5, 5), kernel_size=3, stride=2)
    traced = torch.jit.trace(layer, (torch.randn(3, 2, 5, 5),), check_trace=False)
    x = torch.randn(7, 2, 5, 5)  # other data, and more of them
    for found, expected in zip(traced(x), layer(x), strict=True):
        torch.testing.assert_close(found, expected)
