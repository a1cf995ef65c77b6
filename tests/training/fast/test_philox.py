"""Random numbers on a device: the words of Philox, and what is made of them."""

import numpy as np
import pytest

from tests.devices import DEVICES, ON_TORCH

if not ON_TORCH:
    pytest.skip("the numbers are torch's", allow_module_level=True)

import torch

from keras_dae.errors import UsageError
from keras_dae.images.noise import Gaussian, Masking, SaltPepper, Speckle, Uniform
from keras_dae.images.noise_words import parse_noise
from keras_dae.training.fast.noise import ROWS, add_noise, check_noise
from keras_dae.training.fast.philox import Draw, philox

CPU = torch.device("cpu")
ONES = 0xFFFFFFFF
# Counter and key -> words: the known answers that the generator's authors publish.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (ONES, ONES, ONES, ONES),
        (ONES, ONES),
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def draw(
    seed=0, epoch=0, batches=range(40), shape=(16, 8, 9, 1), device=CPU
):  # 46,080 values
    return Draw(seed, epoch, batches, shape, torch.device(device))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("counter", "key", "wanted"), KNOWN)
def test_the_words_are_those_that_its_authors_publish(counter, key, wanted, device):
    counters = tuple(torch.tensor([word], device=device) for word in counter)
    assert tuple(int(word) for word in philox(counters, key)) == wanted


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", ["normals", "uniforms", "by_image"])
def test_devices_draw_the_same(kind, device):
    """Uniform numbers to the bit; logarithm and cosine round differently."""
    here, there = (getattr(draw(device=one), kind)(0) for one in ("cpu", device))
    apart = float((here - there.cpu()).abs().max())
    assert apart <= (2e-6 if kind == "normals" else 0)


def test_normals_have_the_moments_of_a_standard_normal():
    """Within four standard errors of each moment's own estimate."""
    values = draw(batches=range(400)).normals(0).double().flatten()
    count = len(values)
    assert count == 460_800
    # Moment -> its value, and the variance of one sample of it.
    for power, wanted, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        found = float((values**power).mean())
        assert abs(found - wanted) < 4 * (variance / count) ** 0.5, power
    below = np.mean(values.numpy() < -1.6448536)
    assert abs(below - 0.05) < 4 * (0.05 * 0.95 / count) ** 0.5


def test_uniforms_fill_the_unit_interval_evenly():
    values = draw(batches=range(400)).uniforms(0).flatten()
    assert float(values.min()) >= 0 and float(values.max()) < 1
    counts = torch.histc(values, 100, 0, 1).double()
    expected = len(values) / 100
    # Chi squared of 99 degrees of freedom: four standard deviations above its mean.
    assert float(((counts - expected) ** 2 / expected).sum()) < 99 + 4 * (2 * 99) ** 0.5


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"seed": 1 << 32},
        {"seed": (1 << 63) - 1},
        {"epoch": 1},
        {"batches": range(40, 80)},
    ],
    ids=str,
)
def test_other_integers_draw_independent_numbers(other):
    one, two = (draw(**given).normals(0).double().flatten() for given in ({}, other))
    assert abs(float((one * two).mean())) < 4 / len(one) ** 0.5


def test_parts_and_neighbours_are_independent():
    one, two = (draw().normals(part).double().flatten() for part in (0, 1))
    bound = 4 / len(one) ** 0.5
    assert abs(float((one * two).mean())) < bound
    for lag in (1, 2, 3, 4, 72, 16 * 72):
        assert abs(float((one[lag:] * one[:-lag]).mean())) < bound, lag


@pytest.mark.parametrize("kind", ["normals", "uniforms", "by_image"])
def test_a_batch_does_not_depend_on_those_that_are_drawn_with_it(kind, monkeypatch):
    """Nor on how many images it holds, nor on how many values are made at a time."""
    whole = getattr(draw(seed=7, epoch=3), kind)(0)
    alone = getattr(draw(seed=7, epoch=3, batches=range(11, 12)), kind)(0)
    torch.testing.assert_close(alone, whole[11 * 16 : 12 * 16], rtol=0, atol=0)
    few = draw(seed=7, epoch=3, batches=range(11, 12), shape=(5, 8, 9, 1))
    torch.testing.assert_close(getattr(few, kind)(0), alone[:5], rtol=0, atol=0)
    monkeypatch.setattr("keras_dae.training.fast.philox._MOST_VALUES", 3000)
    torch.testing.assert_close(
        getattr(draw(seed=7, epoch=3), kind)(0), whole, rtol=0, atol=0
    )


def test_an_image_that_no_block_fills():
    values = draw(shape=(3, 5, 5, 1)).normals(0)
    assert values.shape == (120, 5, 5, 1)
    assert len(torch.unique(values)) == values.numel()


def test_a_batch_of_too_many_values_is_refused():
    with pytest.raises(UsageError, match=r"fewer than 2\*\*34 values"):
        draw(shape=(1 << 20, 256, 256, 1))


@pytest.mark.parametrize(
    "noise",
    [
        *(row(0.3, clip=False) for row in ROWS),
        parse_noise("gaussian:0.1..0.6", clip=False),
        parse_noise("speckle:0.4+uniform:0.2", clip=False),
        parse_noise("masking:0.2..0.8", clip=False),
    ],
    ids=str,
)
@pytest.mark.parametrize("level", [0.25, 0.8])
def test_noise_has_the_moments_of_the_same_noise_by_numpy(noise, level):
    """Of one grey level: mean and variance over images differ by chance alone."""
    shape = (640, 8, 9, 1)
    clean = np.full(shape, level, np.float32)
    host = noise(clean, np.random.default_rng(0)).astype(float)
    device = add_noise(noise, torch.from_numpy(clean), draw()).double().numpy()
    for measure in (np.mean, np.var):
        by_image = [measure(found, axis=(1, 2, 3)) for found in (host, device)]
        apart = by_image[0].mean() - by_image[1].mean()
        spread = sum(found.var() / len(found) for found in by_image) ** 0.5
        assert spread > 0
        assert abs(apart) < 4 * spread


def test_a_range_draws_a_strength_for_each_image():
    noise = parse_noise("gaussian:0.1..0.9", clip=False)
    clean = torch.full((640, 8, 9, 1), 0.5)
    found = add_noise(noise, clean, draw()).sub(0.5).flatten(1).std(1)
    assert 0.05 < float(found.min()) < 0.2 and 0.8 < float(found.max()) < 1.2
    assert abs(float(found.mean()) - 0.5) < 4 * (0.8**2 / 12 / 640) ** 0.5


def test_clipping_and_no_noise():
    clean = torch.rand((640, 8, 9, 1), generator=torch.Generator().manual_seed(0))
    noisy = add_noise(Gaussian(2.0), clean, draw())
    assert float(noisy.min()) == 0 and float(noisy.max()) == 1
    chain = parse_noise("speckle:1+gaussian:2")
    noisy = add_noise(chain, clean, draw())
    assert float(noisy.min()) == 0 and float(noisy.max()) == 1
    for row in (Gaussian, Speckle, Uniform, SaltPepper, Masking):
        kept = clean.clone()
        same = add_noise(row(0), clean, draw())
        torch.testing.assert_close(same, kept, rtol=0, atol=1e-7)
        torch.testing.assert_close(clean, kept, rtol=0, atol=0)


@pytest.mark.parametrize("words", ["poisson:4", "blur:1", "gaussian:0.1+blur:1"])
def test_a_noise_that_no_device_draws_is_refused(words):
    with pytest.raises(UsageError, match="noise_on must be host for others"):
        check_noise(parse_noise(words))
