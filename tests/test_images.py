"""Images: files of MNIST and folders, laws of brightnesses in closed form, pyramids, and figures of merit."""

from __future__ import annotations

import gzip
import hashlib
import html
import math
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import surflow as sf
from surflow import presets
from surflow.data.readers import builtin, idx
from surflow.evaluation import evaluate, frechet_distance, read_results
from surflow_experiments.images.between import between
from surflow_experiments.images.models import LEVELS, SHAPE, study
from surflow_experiments.reproduce import reproduce

# -- IDX files and MNIST -----------------------------------------------------------------------------------


def _idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.mark.parametrize("compress", [gzip.compress, bytes])
def test_idx_files_are_read_plain_and_compressed(tmp_path: Path, compress) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "x").write_bytes(compress(_idx(array)))
    assert np.array_equal(idx.read_idx(tmp_path / "x"), array)


def test_idx_files_of_other_numbers(tmp_path: Path) -> None:
    array = np.asarray([1.5, -2.0], dtype=">f4")
    (tmp_path / "x").write_bytes(struct.pack(">HBBI", 0, 13, 1, 2) + array.tobytes())
    assert idx.read_idx(tmp_path / "x").tolist() == [1.5, -2.0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no IDX file"),
        (b"\x00\x00\x07\x01\x00\x00\x00\x00", "no IDX file"),
        (b"\x89PNG....", "no IDX file"),
        (b"\x00\x00\x08\x03\x00\x00", "cut off"),
        (_idx(np.zeros((2, 3), np.uint8))[:-1], r"shape \(2, 3\), 6 bytes, but has 5"),
        (_idx(np.zeros((2, 3), np.uint8)) + b"x", "but has 7"),
        # no time of day in the archive: parallel workers must collect the same test
        (gzip.compress(_idx(np.zeros(9, np.uint8)), mtime=0)[:-6], "cannot be read"),
        (b"\x00\x00\x08\xff" + b"\x00" * 1020, "expected up to 8 axes"),
        (b"\x00\x00\x08\x03" + b"\xff" * 8 + b"\x00" * 4, "expected up to 8 axes, none empty"),
    ],
)
def test_damaged_idx_files(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(sf.FileError, match=message):
        idx.read_idx(tmp_path / "x")


@pytest.fixture
def small_mnist(tmp_path: Path, monkeypatch) -> Path:
    """Files as MNIST's, of 120 and 40 images, with digests of their own."""
    rng = np.random.default_rng(0)
    digests = {}
    for part, n in (("train", 120), ("t10k", 40)):
        images = rng.integers(0, 256, (n, 28, 28)).astype(np.uint8)
        labels = (np.arange(n) % 10).astype(np.uint8)
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            digests[name] = hashlib.sha256(_idx(array)).hexdigest()
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(_idx(array)))
    monkeypatch.setattr(idx, "_DIGESTS", digests)
    monkeypatch.setattr(builtin, "_MNIST_ENDS", (100, 120))
    monkeypatch.delenv(idx.VARIABLE, raising=False)
    return tmp_path


def test_mnist_has_the_usual_split_and_parts_never_mix(small_mnist: Path, monkeypatch) -> None:
    splits = sf.data.load("mnist", context="digit", data_dir=small_mnist, seed=5)
    assert [len(part.x) for part in (splits.train, splits.validation, splits.test)] == [100, 20, 40]
    assert splits.event_shape == (1, 28, 28) and splits.support == sf.Integers(256)
    raw = idx.read_idx(small_mnist / "t10k-images-idx3-ubyte.gz")
    assert np.array_equal(splits.test.x[:, 0].numpy(), raw)
    assert splits.test.context[:11, 0].tolist() == [*range(10), 0]
    rows = {tuple(x.flatten().tolist()) for x in splits.train.x}
    assert not rows & {tuple(x.flatten().tolist()) for x in [*splits.validation.x, *splits.test.x]}
    monkeypatch.setenv(idx.VARIABLE, str(small_mnist))
    assert torch.equal(sf.data.load("mnist").train.x, splits.train.x)


def test_mnist_that_is_missing_or_damaged(small_mnist: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(sf.FileError, match=r"holds no MNIST: expected train-images-idx3-ubyte.gz"):
        sf.data.load("mnist", data_dir=small_mnist / "nowhere")
    path = small_mnist / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(_idx(np.zeros(40, np.uint8))))
    with pytest.raises(sf.FileError, match="has another SHA-256"):
        sf.data.load("mnist", data_dir=small_mnist)
    with pytest.raises(sf.ConfigError, match="data_dir is for MNIST"):
        sf.data.load("digits", data_dir=small_mnist)

    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sklearn.datasets.fetch_openml", offline)
    with pytest.raises(sf.FileError, match=r"could not be downloaded.*--data-dir.*SURFLOW_DATA.*'digits'"):
        sf.data.load("mnist")


def test_what_is_downloaded_is_kept_and_checked(small_mnist: Path, tmp_path: Path, monkeypatch) -> None:
    images, labels = idx.mnist(small_mnist)
    whole = np.concatenate([np.zeros((0, 784)), images.reshape(len(images), -1)])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    calls = []

    def download(*args, **kwargs):
        calls.append(args)
        return whole, labels.astype(str)

    monkeypatch.setattr("sklearn.datasets.fetch_openml", download)
    # openml's table has the 60,000 training images first; this one has other ends, so that the digests do not fit.
    with pytest.raises(sf.FileError, match="SHA-256"):
        idx.mnist()
    assert len(calls) == 1


# -- folders -----------------------------------------------------------------------------------------------


def _picture(path: Path, size: tuple[int, int], mode: str, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 255)).save(path)


def test_folders_of_images_grey_and_colour(tmp_path: Path) -> None:
    for i in range(30):
        _picture(tmp_path / "grey" / f"{i:02}.png", (6, 4), "L", i)
        _picture(tmp_path / "colour" / ("a" if i % 2 else "b") / f"{i:02}.png", (6, 4), "RGB", i)
    grey = sf.data.load(tmp_path / "grey")
    assert grey.event_shape == (1, 4, 6) and grey.support == sf.Integers(256) and len(grey.train.x) == 21
    colour = sf.data.load(tmp_path / "colour", context="class")
    assert colour.event_shape == (3, 4, 6) and colour.context.columns[0].categories == ["a", "b"]
    assert (colour.train.x[:, 2] == 255).all() and (colour.train.x[:, 1] == 0).all()
    # Odd pictures are of class a.
    odd = colour.train.x[:, 0, 0, 0] % 2 == 1
    assert torch.equal(colour.train.context[:, 0] == 0, odd)


def test_folders_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(sf.FileError, match="without images"):
        sf.data.load(tmp_path)
    for i in range(20):
        _picture(tmp_path / f"{i}.png", (4, 4), "L", i)
    _picture(tmp_path / "z.png", (4, 5), "L", 0)
    with pytest.raises(sf.DataError, match=r"differ: .* has shape \(4, 4\), z.png \(5, 4\)"):
        sf.data.load(tmp_path)
    Image.fromarray(np.full((4, 4), 4096, np.uint16)).save(tmp_path / "z.png")
    with pytest.raises(sf.DataError, match=r"z.png has pixels of the kind 'I;16': expected 8 bits"):
        sf.data.load(tmp_path)
    (tmp_path / "z.png").write_bytes(b"no picture")
    with pytest.raises(sf.FileError, match=r"z.png cannot be read as an image"):
        sf.data.load(tmp_path)
    (tmp_path / "z.png").rename(tmp_path / "._z.png")  # as some systems leave them
    assert len(sf.data.load(tmp_path).train.x) == 14
    _picture(tmp_path / "class" / "0.png", (4, 4), "L", 0)
    with pytest.raises(sf.DataError, match="put every image into one"):
        sf.data.load(tmp_path)


# -- closed forms --------------------------------------------------------------------------------------------


def _images(n: int, shape: tuple[int, ...] = (1, 4, 4), levels: int = 256) -> torch.Tensor:
    return torch.randint(levels, (n, *shape)).float()


@pytest.mark.parametrize("dequantised", [False, True])
def test_a_uniform_model_has_exactly_eight_bits_per_dimension(dequantised: bool) -> None:
    layers = [sf.Dequantize(SHAPE, levels=LEVELS)] if dequantised else []
    base = sf.Uniform(SHAPE, low=0.0, high=float(LEVELS)) if dequantised else sf.Categorical(SHAPE, levels=LEVELS)
    flow = sf.Flow(layers, base=base).double()
    x = _images(10, SHAPE).double()
    bits = -flow.elbo(x) / (math.log(2) * math.prod(SHAPE))
    torch.testing.assert_close(bits, torch.full_like(bits, 8.0), rtol=1e-12, atol=0)


def test_a_histogram_of_every_pixel_scores_its_closed_form() -> None:
    x = (torch.rand(500, 1, 2, 2) ** 3 * 8).floor()
    counts = torch.stack([(x == v).double().sum(0) for v in range(8)]) + 1
    law = sf.Categorical((1, 2, 2), levels=8, learned=True).double()
    with torch.no_grad():
        law.raw.copy_(counts.log())
    p = counts / counts.sum(0)
    expected = -sum((x == v) * p[v].log() for v in range(8)).sum((1, 2, 3)).mean() / (4 * math.log(2))
    splits = sf.data.Splits(
        "x", *[sf.data.Part(part, None) for part in (x[:0], x[:0], x)], [], sf.Integers(8), None, ""
    )
    rows = {row["metric"]: row["value"] for row in evaluate(sf.Flow([], base=law), splits)}
    assert rows["bits_per_dim"] == pytest.approx(expected.item(), rel=1e-10)
    # The same through two layers of integers: what is sliced off and what is kept are histograms, too.
    kept, gone = sf.Categorical((1, 2, 1), levels=8, learned=True), sf.Categorical((1, 2, 1), levels=8, learned=True)
    with torch.no_grad():
        for part, columns in ((kept, slice(0, 1)), (gone, slice(1, 2))):
            part.double().raw.copy_(counts[..., columns].log())
    levels = sf.Integers(8)
    halves = [
        sf.PermuteAxes((1, 2, 2), axes=(2, 1, 0), support=levels),
        sf.Slice((2, 2, 1), keep=1, dropped=_moved(gone), support=levels),
    ]
    flow = sf.Flow(halves, base=_moved(kept))
    torch.testing.assert_close(flow.log_prob(x.double()), law.log_prob(x.double()), rtol=1e-10, atol=1e-10)


def _moved(law: sf.Categorical) -> sf.Flow:
    """A law of (1, 2, 1) as one of (1, 2, 1) with its axes as they are after PermuteAxes."""
    return sf.Flow([sf.PermuteAxes((1, 2, 1), axes=(2, 1, 0), support=law.support)], base=law)


@pytest.mark.parametrize("size", [0.3, 3.0, 30.0, 300.0])
def test_masses_of_levels_sum_to_one_however_wild(size: float) -> None:
    for levels in (2, 5, 256):
        law = sf.DiscretizedLogisticMixture(3, levels=levels, components=3, learned=True)
        with torch.no_grad():
            law.raw.copy_(size * torch.randn_like(law.raw))
        v = torch.arange(float(levels))[:, None].expand(-1, 3)
        mass = torch.stack([sf.distributions.levels.log_mass(v, law.raw[None], torch.full_like(v, levels - 1))])
        torch.testing.assert_close(mass.exp().sum((0, 1)), torch.ones(3), rtol=0, atol=2e-6)
        drawn = law.sample(500, seed=0)
        assert law.support.contains(drawn).all() and law.log_prob(drawn).isfinite().all()


def test_variational_dequantisation_starts_uniform_and_gains() -> None:
    """Its noise is uniform before training, given any image; a bound that is trained on more is no worse."""
    x = _images(400, (1, 4, 4)) // 64
    flow = presets.build("glow", (1, 4, 4), support=sf.Integers(4), width=8, steps=1, scales=1, variational=True)
    noise = flow.transforms[0].noise
    given = torch.randn(50, 1, 4, 4)
    torch.testing.assert_close(noise.log_prob(torch.rand(50, 1, 4, 4), given), torch.zeros(50), rtol=0, atol=1e-4)
    before = [p.clone() for p in noise.parameters()]
    sf.fit(flow, x, steps=20, lr=3e-3, progress=False)
    assert not all(torch.equal(p, q) for p, q in zip(noise.parameters(), before, strict=True))
    drawn = flow.sample(100, seed=0)
    assert flow.support == sf.Integers(4) and flow.support.contains(drawn).all()
    bounds = [-flow.log_prob(x, importance_samples=k).mean() for k in (1, 50)]
    assert bounds[1] < bounds[0]


def test_half_precision_draws_from_the_law_that_it_scores() -> None:
    flow = presets.build("max-pool", (1, 4, 4), support=sf.Integers(256), width=8, attention=8)
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.3)
    with torch.autocast("cpu", torch.bfloat16):
        x = flow.sample(200, seed=0)
        assert x.dtype == torch.float32 and flow.support.contains(x).all()
        low = flow.log_prob(x)
    full = flow.log_prob(x)
    assert low.dtype == torch.float32 and (low - full).abs().median() < 0.05 * full.abs().median()
    law = sf.DiscretizedLogisticMixture(1, levels=256, learned=True).to(torch.bfloat16)
    with torch.no_grad():
        law.raw.normal_()
    v = torch.arange(256.0)[:, None]
    # Integers up to 256 are exact in it; every mass is rounded to 8 bits when it is handed out.
    assert law.log_prob(v.to(torch.bfloat16)).float().exp().sum().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(("shape", "patch"), [((1, 4, 4), 2), ((2, 2, 4), 1), ((2, 2, 4), 2), ((16,), 1)])
def test_patches_one_after_the_other_have_mass_one_and_the_law_they_are_drawn_from(
    shape: tuple[int, ...], patch: int
) -> None:
    law = sf.AutoregressiveDiscretizedLogistic(shape, levels=2, patch=patch, width=8, layers=1)
    for p in law.parameters():
        torch.nn.init.normal_(p, std=0.5)
    x = ((torch.arange(2**16)[:, None] >> torch.arange(16)) & 1).float().reshape(-1, *shape)
    with torch.no_grad():
        log_prob = law.log_prob(x).double()
    assert log_prob.logsumexp(0).exp().item() == pytest.approx(1, abs=1e-5)
    drawn = law.sample(20_000, seed=0)
    # What every coordinate, and every pair of them, is in the mean: exactly, and over draws, five errors at most apart.
    p, flat = log_prob.exp(), x.flatten(1).double()
    pairs, found = (v.T @ v for v in (p.sqrt()[:, None] * flat, drawn.flatten(1).double()))
    assert (pairs - found / 20_000).abs().max() < 5 * 0.5 / math.sqrt(20_000)


def test_an_image_is_drawn_patch_by_patch() -> None:
    """Rising masses of the place within a patch end where they belong in the image."""
    law = sf.AutoregressiveDiscretizedLogistic((2, 4, 6), levels=256, patch=2, width=8, layers=1)
    with torch.no_grad():  # the j-th integer of a patch is at its highest or zero, and j decides
        law.net.bias[:, 0], law.net.bias[:, 1] = -100.0, -100.0
        law.net.bias[torch.arange(8), torch.tensor([0, 1, 1, 0, 1, 0, 0, 0])] = 100.0
    x = law.sample(3, seed=0)
    first, second = torch.tensor([[0.0, 1], [1, 0]]), torch.tensor([[1.0, 0], [0, 0]])
    assert torch.equal(x, 255 * torch.stack([part.tile(2, 3) for part in (first, second)]).expand(3, -1, -1, -1))
    assert sf.AutoregressiveDiscretizedLogistic((2, 3, 3), levels=4, width=8).sample(3, seed=0).is_contiguous()
    with pytest.raises(sf.ShapeError, match="patches of 4 x 4"):
        sf.AutoregressiveDiscretizedLogistic((1, 6, 8), levels=256, patch=4)
    with pytest.raises(sf.ShapeError, match="expects images"):
        sf.AutoregressiveDiscretizedLogistic(16, levels=256, patch=2)


def test_between_two_samples_lie_samples() -> None:
    law = sf.AutoregressiveDiscretizedLogistic((1, 2, 2), levels=5, context_shape=2, patch=2, width=8, layers=1)
    for p in law.parameters():
        torch.nn.init.normal_(p, std=0.5)
    context = torch.randn(1, 2).expand(20_000, 2)
    ends = law.sample((), context, seed=0), law.sample((), context, seed=1)
    way = between(law, ends, context, 3)
    assert torch.equal(way[0], ends[0]) and torch.equal(way[2], ends[1])
    x = torch.cartesian_prod(*[torch.arange(5.0)] * 4).reshape(-1, 1, 2, 2)
    with torch.no_grad():
        p = law.log_prob(x, context[: len(x)]).exp()
    number = torch.bincount((way[1].flatten(1) @ 5.0 ** torch.arange(3, -1, -1)).long(), minlength=len(x))
    assert (number / 20_000 - p).abs().max() < 5 * (p.max() / 20_000).sqrt()


def test_pixels_below_a_maximum_have_it_and_nothing_above() -> None:
    law = sf.BlockwiseDiscretizedLogistic((2, 3, 3), levels=256, positions=4, width=8)
    for p in law.parameters():
        torch.nn.init.normal_(p, std=0.3)
    z = _images(50, (2, 3, 3))
    z[:10] = 0
    drawn, log_prob = law.draw(50, z)
    assert torch.equal(drawn.unflatten(1, (4, 2)).amax(1), z)
    torch.testing.assert_close(law.log_prob(drawn, z), log_prob, rtol=1e-4, atol=1e-3)
    above = drawn.clone()
    above[:, 0] = z[:, 0] + 1
    assert (law.log_prob(above, z) == -math.inf).all()
    assert (law.log_prob(drawn[10:], z[10:] + 1)[z[10:].flatten(1).amax(1) < 255] == -math.inf).all()


def test_blocks_of_any_sides_are_pooled() -> None:
    layer = sf.IntegerMaxPool(
        (2, 4, 6),
        levels=9,
        kernel_size=(2, 3),
        pixels=sf.BlockwiseDiscretizedLogistic((2, 2, 2), levels=9, positions=6, width=8),
    )
    x = _images(5, (2, 4, 6), 9)
    z, V = layer(x)
    assert torch.equal(z, torch.nn.functional.max_pool2d(x, (2, 3)))
    back, again = layer.inverse(z)
    torch.testing.assert_close(layer(back)[1], again, rtol=1e-4, atol=1e-4)
    assert torch.equal(layer(back)[0], z) and V.shape == (5,)
    with pytest.raises(sf.ShapeError, match="tile the image"):
        sf.IntegerMaxPool((1, 5, 4), levels=9)
    with pytest.raises(sf.ShapeError, match="expects pixels of shape"):
        sf.IntegerMaxPool((1, 4, 4), levels=9, kernel_size=2, pixels=sf.Categorical((3, 2, 2), levels=9))


def _categorical_pool(levels: int, pixels: sf.Categorical, size: float = 1.0) -> sf.IntegerMaxPool:
    for p in pixels.parameters():
        torch.nn.init.normal_(p, std=size)
    return sf.IntegerMaxPool((1, 2, 2), levels=levels, pixels=pixels).double()


@pytest.mark.parametrize("size", [0.0, 1.0, 30.0])
def test_categorical_pixels_are_conditioned_on_their_maximum(size: float) -> None:
    """p(b | max b = z) = p(b) / p(z), so that with p(z) as the base the chain is p(b) again: the chain rule."""
    pixels = sf.Categorical((4, 1, 1), levels=3, learned=True)
    layer = _categorical_pool(3, pixels, size)
    x = torch.cartesian_prod(*[torch.arange(3.0)] * 4).reshape(-1, 1, 2, 2).double()
    free = pixels.log_prob(x.reshape(-1, 4, 1, 1))
    base = sf.Categorical((1, 1, 1), levels=3, learned=True).double()
    with torch.no_grad():
        maxima = x.flatten(1).amax(1)
        base.raw.copy_(torch.stack([free[maxima == v].logsumexp(0) for v in range(3)]).reshape(3, 1, 1, 1))
    flow = sf.Flow([layer], base=base)
    assert flow.exact
    torch.testing.assert_close(flow.log_prob(x), free, rtol=1e-9, atol=1e-9)
    drawn, log_prob = flow.sample_and_log_prob(20_000, seed=0)
    torch.testing.assert_close(flow.log_prob(drawn), log_prob)
    counts = torch.bincount((drawn.flatten(1) @ (3.0 ** torch.arange(3, -1, -1)).double()).long(), minlength=81)
    p = free.exp()
    assert ((counts / 20_000 - p).abs() < 5 * (p * (1 - p) / 20_000).sqrt() + 1e-9).all()


def test_categorical_pixels_given_their_maxima_and_a_context() -> None:
    pixels = sf.Categorical((4, 1, 1), levels=4, context_shape=(1 + 3, 1, 1))
    flow = sf.Flow([_categorical_pool(4, pixels)], base=sf.Categorical((1, 1, 1), levels=4)).double()
    assert flow.context_shape == (3,)
    x = torch.cartesian_prod(*[torch.arange(4.0)] * 4).reshape(-1, 1, 2, 2).double()
    for context in torch.randn(3, 3).double():
        mass = flow.log_prob(x, context.expand(len(x), -1)).logsumexp(0)
        assert mass.item() == pytest.approx(0, abs=1e-9)
    z = flow.base.sample(500)
    context = torch.randn(500, 3).double()
    assert torch.equal(flow.encode(flow.decode(z, context), context), z)
    flow.log_prob(x, torch.randn(len(x), 3).double()).sum().backward()
    assert all(p.grad.isfinite().all() for p in flow.parameters() if p.grad is not None)


@pytest.mark.parametrize(
    "pixels",
    [
        sf.DiscretizedLogisticMixture((4, 1, 1), levels=2),
        sf.AutoregressiveDiscretizedLogistic((4, 1, 1), levels=2, width=8),
        sf.Bernoulli((4, 1, 1)),
        sf.Mixture([sf.Categorical((4, 1, 1), levels=2)]),
        sf.Flow([], base=sf.BlockwiseDiscretizedLogistic((1, 1, 1), levels=2, width=8)),
        sf.BlockwiseDiscretizedLogistic((2, 1, 1), levels=2, positions=2, width=8),
    ],
    ids=lambda pixels: type(pixels).__name__,
)
def test_pixels_that_may_miss_their_maximum_are_refused(pixels: sf.Distribution) -> None:
    with pytest.raises(sf.ShapeError, match="the largest of every block is z"):
        sf.IntegerMaxPool((1, 2, 2), levels=2, pixels=pixels)


# -- presets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["max-pool", "slice"])
def test_pyramids_train_save_and_draw(name: str, tmp_path: Path) -> None:
    net = sf.ContextColumns([3])
    flow = presets.build(
        name, (2, 8, 4), support=sf.Integers(16), context_net=net, scales=2, width=8, attention=8, blocks=1
    )
    assert flow.exact and repr(flow.support) == "integers(16)"
    x, context = _images(64, (2, 8, 4), 16), torch.randint(3, (64, 1)).float()
    x[:, :, :4] = 0
    history = sf.fit(flow, (x, context), steps=30, batch_size=64, lr=1e-2, validate_every=30, progress=False)
    assert history.losses()[-1][1] < -math.log(1 / 16) * 64 * 0.7
    drawn = flow.sample((), context, seed=0)
    assert drawn.shape == x.shape and flow.support.contains(drawn).all()
    flow.save(tmp_path / "flow.safetensors")
    assert torch.equal(sf.load(tmp_path / "flow.safetensors").log_prob(x, context), flow.log_prob(x, context))
    z = flow.encode(x, context)
    assert z.shape == (64, 2, 2, 1)
    if name == "max-pool":
        assert torch.equal(z, torch.nn.functional.max_pool2d(x, 4))
    else:
        assert torch.equal(z, x[:, :, ::4, ::4])


def test_the_multi_scale_flow_trains_saves_and_draws(tmp_path: Path) -> None:
    net = sf.ContextColumns([3])
    flow = presets.build("glow", (2, 8, 4), support=sf.Integers(16), context_net=net, width=8, steps=2)
    x, context = _images(64, (2, 8, 4), 16), torch.randint(3, (64, 1)).float()
    x[:, :, :4] = 0
    history = sf.fit(flow, (x, context), steps=60, batch_size=64, lr=1e-2, validate_every=30, progress=False)
    assert not flow.exact and history.losses()[-1][1] < -math.log(1 / 16) * 64 * 0.8
    drawn = flow.sample((), context, seed=0)
    assert drawn.shape == x.shape and flow.support.contains(drawn).all()
    flow.save(tmp_path / "flow.safetensors")
    z, _ = sf.load(tmp_path / "flow.safetensors").transforms[3](torch.zeros(1, 2, 8, 4))
    assert z.shape == (1, 8, 4, 2) and flow.base.event_shape == (16, 2, 1)


@pytest.mark.parametrize(("shape", "scales"), [((1, 4, 4), 1), ((1, 4, 4), 2), ((2, 4, 2), 1)])
@pytest.mark.parametrize("name", ["max-pool", "slice"])
def test_all_images_there_are_have_mass_one(name: str, shape: tuple[int, ...], scales: int) -> None:
    net = sf.ContextColumns([3])
    # In training some of what the transformer adds is dropped: a law then, but another one for every event.
    flow = presets.build(
        name, shape, support=sf.Integers(2), context_net=net, width=8, attention=8, scales=scales
    ).eval()
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.3)
    x = ((torch.arange(2**16)[:, None] >> torch.arange(16)) & 1).float().reshape(-1, *shape)
    with torch.no_grad():
        log_prob = flow.log_prob(x, torch.ones(len(x), 1)).double()
    assert log_prob.logsumexp(0).exp().item() == pytest.approx(1, abs=1e-5)


def test_pyramids_refuse_what_they_cannot_halve() -> None:
    with pytest.raises(sf.ShapeError, match="that 4 divides"):
        presets.build("max-pool", (1, 6, 8), support=sf.Integers(256), scales=2)
    with pytest.raises(sf.SupportError, match=r"images of integers, got the support real: pass support="):
        presets.build("slice", (1, 8, 8))
    with pytest.raises(sf.ConfigError, match="option of the preset 'max-pool' 'widht'; did you mean 'width'"):
        presets.build("max-pool", (1, 8, 8), support=sf.Integers(256), widht=3)


def test_the_reports_chain_is_a_bound_that_round_trips() -> None:
    flow = study(pairs=1, hidden=(8,))
    x, context = _images(6, SHAPE), torch.randint(10, (6, 1)).float()
    flow.initialize(x, context)
    assert not flow.exact and flow.elbo(x, context).isfinite().all()
    drawn = flow.sample((), context, seed=0)
    assert drawn.shape == x.shape and flow.support.contains(drawn).all()


# -- figures of merit ---------------------------------------------------------------------------------------------


def test_the_frechet_distance_of_gaussians_has_its_closed_form() -> None:
    torch.manual_seed(0)
    x = torch.randn(200_000, 2).double() @ torch.diag(torch.tensor([1.0, 2.0]).double())
    y = torch.randn(200_000, 2).double() @ torch.diag(torch.tensor([3.0, 0.5]).double()) + 1
    # Commuting covariances: the squared difference of the means, and of the standard deviations.
    assert frechet_distance(x, y) == pytest.approx(2 + (3 - 1) ** 2 + (2 - 0.5) ** 2, abs=0.1)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    turn = torch.tensor([[0.6, 0.8], [-0.8, 0.6]]).double()
    assert frechet_distance(x @ turn, y @ turn) == pytest.approx(frechet_distance(x, y), rel=1e-6)


@pytest.mark.skipif(not os.environ.get(idx.VARIABLE), reason=f"{idx.VARIABLE} does not say where MNIST is")
@pytest.mark.e2e
def test_a_quick_run_over_mnist(tmp_path: Path) -> None:
    page = reproduce("images", tmp_path / "results", tmp_path / "cells", quick=True)
    found = {
        (row["model"], row["metric"]): row["value"] for row in read_results(tmp_path / "results/images.json")["rows"]
    }
    assert found["max-pool", "bits_per_dimension"] < 8
    text = html.unescape(page.read_text(encoding="utf-8"))
    assert "no figure here means anything" in text and text.count("data:image/png") >= 6
