import math

import numpy as np
import pytest

from keras_dae.errors import UsageError
from keras_dae.images.noise import Gaussian, describe_noise, make_noise


@pytest.fixture
def clean():
    return np.random.default_rng(3).random((4, 6, 5, 2), dtype=np.float32)


def test_same_seed_same_bytes(clean):
    one, again, other = (Gaussian()(clean, np.random.default_rng(s)) for s in (1, 1, 2))
    assert one.tobytes() == again.tobytes()
    assert one.tobytes() != other.tobytes()


@pytest.mark.parametrize("clip", [True, False])
def test_sigma_0_is_the_identity(clean, clip):
    noisy = Gaussian(sigma=0, clip=clip)(clean, np.random.default_rng(0))
    np.testing.assert_array_equal(noisy, clean)


def test_golden_numbers():
    # python -c "import numpy as np
    # rng = np.random.default_rng(2028)
    # print(np.float32([0, .25, .5, 1])
    #       + np.float32(.5) * rng.standard_normal(4, dtype=np.float32))"
    clean = np.array([0, 0.25, 0.5, 1], np.float32)
    golden = np.array([-0.7206874, 0.08861692, 0.7825391, 1.2615019])
    noisy = Gaussian(0.5, clip=False)(clean, np.random.default_rng(2028))
    np.testing.assert_allclose(noisy, golden, rtol=0, atol=1e-7)
    clipped = Gaussian(0.5)(clean, np.random.default_rng(2028))
    np.testing.assert_allclose(clipped, np.clip(golden, 0, 1), rtol=0, atol=1e-7)


@pytest.mark.parametrize("clip", [True, False])
def test_form_of_the_answer(clean, clip):
    before = clean.copy()
    noisy = Gaussian(0.5, clip)(clean, np.random.default_rng(0))
    assert (noisy.dtype, noisy.shape) == (np.float32, clean.shape)
    np.testing.assert_array_equal(clean, before)
    assert (noisy.min() < 0) != clip
    assert (noisy.max() > 1) != clip


@pytest.mark.parametrize("sigma", [0.05, 0.5, 2.0])
def test_moments_unclipped(sigma):
    count = 1_000_000
    clean = np.full(count, 0.5, np.float32)
    added = Gaussian(sigma, clip=False)(clean, np.random.default_rng(7)) - 0.5
    # Standard errors of a mean, and of a standard deviation, of normal values.
    assert abs(added.mean(dtype=float)) < 4 * sigma / math.sqrt(count)
    assert abs(added.std(dtype=float) - sigma) < 4 * sigma / math.sqrt(2 * count)


def test_mean_of_clipped_black():
    count, sigma = 1_000_000, 0.1  # ten sigma from 1, where nothing is clipped
    noisy = Gaussian(sigma)(np.zeros(count, np.float32), np.random.default_rng(8))
    # E max(0, x) = sigma / sqrt(2 pi), E max(0, x)**2 = sigma**2 / 2
    mean = sigma / math.sqrt(2 * math.pi)
    error = math.sqrt((sigma**2 / 2 - mean**2) / count)
    assert abs(noisy.mean(dtype=float) - mean) < 4 * error


@pytest.mark.parametrize(
    ("kind", "parameters", "received"),
    [
        ("gausian", {}, "gausian"),
        ("", {}, "noise=''"),
        ("gaussian", {"sigma": -1}, "sigma=-1"),
        ("gaussian", {"sigma": math.nan}, "sigma=nan"),
        ("gaussian", {"sigma": math.inf}, "sigma=inf"),
        ("gaussian", {"alpha": 0.5}, "alpha"),
    ],
)
def test_refused(kind, parameters, received):
    with pytest.raises(UsageError, match=f"Received: .*{received}"):
        make_noise(kind, **parameters)


def test_make_and_describe_are_inverse():
    noise = make_noise("gaussian", sigma=0.25, clip=False)
    assert noise == Gaussian(0.25, clip=False)
    described = describe_noise(noise)
    assert described == {"kind": "gaussian", "sigma": 0.25, "clip": False}
    assert make_noise(**described) == noise
