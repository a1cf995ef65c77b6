import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from keras_dae.errors import UsageError
from keras_dae.images.noise import (
    NOISES,
    Blur,
    Camera,
    Chain,
    Gaussian,
    Poisson,
    Ranged,
    SaltPepper,
    Speckle,
    make_noise,
)
from keras_dae.images.noise_words import (
    describe_noise,
    noise_label,
    parse_noise,
    short_label,
)

# kind -> its strength: name, default, lowest and highest that is accepted
STRENGTHS = {
    "gaussian": ("sigma", 0.5, 0, 1e6),
    "salt-pepper": ("amount", 0.3, 0, 1),
    "poisson": ("peak", 4.0, 0.001, 1e6),
    "speckle": ("sigma", 0.5, 0, 1e6),
    "uniform": ("width", 0.5, 0, 1e6),
    "blur": ("sigma", 1.0, 0, 1000),
    "masking": ("amount", 0.5, 0, 1),
    "camera": ("sigma", 0.1, 0, 1e6),
}


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


@pytest.mark.parametrize(
    ("kind", "parameters", "says"),
    [
        (
            *("gausian", {}),
            "noise must be one of gaussian, salt-pepper, poisson, speckle, uniform, "
            "blur, masking, camera. Received: noise='gausian'.",
        ),
        (
            *("gaussian", {"width": 1, "alpha": 2, "sigma": 0.5}),
            "The noise gaussian takes sigma, clip. Received: alpha, width.",
        ),
        (
            *("gaussian", {"sigma": True}),
            "sigma must be a number from 0 to 1e+06. Received: sigma=True.",
        ),
        (
            *("gaussian", {"sigma": "1"}),
            "sigma must be a number from 0 to 1e+06. Received: sigma='1'.",
        ),
        (
            *("gaussian", {"sigma": (0.1, 0.2, 0.3)}),
            "A range must have two ends. Received: sigma=(0.1, 0.2, 0.3).",
        ),
        (
            *("gaussian", {"sigma": [0.5, 0.5]}),
            "The lower bound must be smaller than the upper bound. Received: "
            "range='0.5..0.5'.",
        ),
    ],
)
def test_what_is_said_of_a_bad_value(kind, parameters, says):
    with pytest.raises(UsageError) as refused:
        make_noise(kind, **parameters)
    assert str(refused.value) == says


@pytest.mark.parametrize("kind", NOISES)
def test_the_strength_of_each_row(kind):
    name, default, low, high = STRENGTHS[kind]
    assert describe_noise(make_noise(kind)) == {
        **{"kind": kind, name: default, "clip": True}
    }
    with pytest.raises(FrozenInstanceError):
        setattr(make_noise(kind), name, low)
    for end in (low, high):
        assert describe_noise(make_noise(kind, **{name: end}))[name] == end
    for beyond in (low - 1e-9, high * (1 + 1e-9)):
        with pytest.raises(UsageError, match=f"{name} must be a number from {low:g} "):
            make_noise(kind, **{name: beyond})


def test_make_and_describe_are_inverse():
    noise = make_noise("gaussian", sigma=0.25, clip=False)
    assert noise == Gaussian(0.25, clip=False)
    described = describe_noise(noise)
    assert described == {"kind": "gaussian", "sigma": 0.25, "clip": False}
    assert make_noise(**described) == noise


class Draws:
    """A generator whose draws are written down, so that answers can be worked out."""

    def __init__(self, values):
        self.values = np.array(values, np.float32)

    def standard_normal(self, shape, dtype):
        return self.values.astype(dtype).reshape(shape)

    def random(self, shape, dtype):
        return self.values.astype(dtype).reshape(shape)

    def poisson(self, rates):
        self.rates = rates.ravel().tolist()
        return self.values.reshape(rates.shape)


# (noise, clean values, what is drawn, the answer by hand)
BY_HAND = [
    ("gaussian:0.5", [0.2, 0.8], [1, -2], [0.7, -0.2]),
    ("speckle:0.5", [0.2, 0.8], [1, -4], [0.3, -0.8]),
    ("uniform:0.5", [0.2, 0.8], [0.25, 1], [-0.05, 1.3]),
    ("poisson:4", [0.2, 0.8], [1, 6], [0.25, 1.5]),
    ("salt-pepper:0.4", [0.5, 0.6, 0.7], [0.1, 0.3, 0.5], [0, 1, 0.7]),
    ("salt-pepper:0.4", [0.5, 0.6], [0.19, 0.21], [0, 1]),  # evenly
    ("salt-pepper:0.5", [0.4, 0.6, 0.7], [0.25, 0.5, 0], [1, 0.6, 0]),  # at the edges
    ("masking:0.4", [0.5, 0.6, 0.7], [0.1, 0.4, 0.5], [0, 0.6, 0.7]),
]


@pytest.mark.parametrize(("text", "clean", "drawn", "answer"), BY_HAND)
def test_each_noise_by_hand(text, clean, drawn, answer):
    clean = np.array(clean, np.float32).reshape(1, 1, -1, 1)
    noisy = parse_noise(text, clip=False)(clean, Draws(drawn))
    np.testing.assert_allclose(noisy.ravel(), answer, rtol=0, atol=1e-6)
    clipped = parse_noise(text)(clean, Draws(drawn))
    np.testing.assert_allclose(clipped.ravel(), np.clip(answer, 0, 1), atol=1e-6)


def test_photons_are_drawn_at_the_rate_of_the_image():
    draws = Draws([1, 0, 3])
    clean = np.array([0.25, -0.5, 1], np.float32)
    assert Poisson(4)(clean, draws).tolist() == [0.25, 0, 0.75]
    assert draws.rates == [1, 0, 4]  # none from what is below 0


def test_without_clipping_what_came_in_stays():
    clean = np.array([-0.5, 1.5], np.float32)
    kept = Draws([0.9, 0.9])
    assert SaltPepper(0.4, clip=False)(clean, kept).tolist() == [-0.5, 1.5]
    assert SaltPepper(0.4)(clean, kept).tolist() == [0, 1]


def test_blur_of_a_point_is_the_kernel_and_keeps_the_sum():
    point = np.zeros((1, 31, 31, 1), np.float32)
    point[0, 15, 15] = 1
    blurred = Blur(1.0)(point, None)[0, :, :, 0]
    # exp(-1/2): the kernel a pixel from its centre, by its centre
    assert blurred[15, 16] / blurred[15, 15] == pytest.approx(math.exp(-0.5), abs=1e-5)
    assert blurred.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("kind", NOISES)
def test_each_row_has_the_form_of_a_noise(kind, clean):
    noise, before = make_noise(kind), clean.copy()
    noisy = noise(clean, np.random.default_rng(0))
    assert (noisy.dtype, noisy.shape) == (np.float32, clean.shape)
    assert 0 <= noisy.min() <= noisy.max() <= 1
    np.testing.assert_array_equal(clean, before)
    assert not np.array_equal(noisy, clean)
    np.testing.assert_array_equal(noisy, noise(clean, np.random.default_rng(0)))
    assert make_noise(**describe_noise(noise)) == noise
    assert parse_noise(kind) == noise


@pytest.mark.parametrize("axis", [0, 3])
def test_blur_keeps_images_and_channels_apart(axis):
    images = np.zeros((3, 8, 8, 3), np.float32)
    images[(slice(None),) * axis + (1,)] = 1
    np.testing.assert_allclose(Blur(2.0)(images, None), images, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "label", "short"),
    [
        ("gaussian:0.25", "gaussian, sigma 0.25, clipped", "gaussian-0.25"),
        ("poisson:4", "poisson, peak 4, clipped", "poisson-4"),
        (
            *("uniform:0.1..0.9", "uniform, width 0.1 to 0.9, clipped"),
            "uniform-0.1-to-0.9",
        ),
        (
            "blur:1+speckle:0.3..0.5",
            "blur, sigma 1 then speckle, sigma 0.3 to 0.5, clipped",
            "blur-1+speckle-0.3-to-0.5",
        ),
    ],
)
def test_labels_by_hand(text, label, short):
    noise = parse_noise(text)
    assert noise_label(describe_noise(noise)) == label
    assert short_label(noise) == short
    unclipped = describe_noise(parse_noise(text, clip=False))
    assert noise_label(unclipped) == label.removesuffix(", clipped")
    # Of frozen noise a record says the hash too, which is no strength.
    assert noise_label({**unclipped, "test_sha256": "ab"}) == noise_label(unclipped)


@pytest.mark.parametrize("text", ["blur:1+gaussian:0.3", "blur:1..2+gaussian:0.3"])
def test_a_chain_describes_its_parts(text):
    described = describe_noise(parse_noise(text))
    assert (described["kind"], described["clip"]) == ("blur+gaussian", True)
    assert described["parts"] == [
        {"kind": "blur", "sigma": 1 if ".." not in text else [1, 2], "clip": False},
        {"kind": "gaussian", "sigma": 0.3, "clip": False},
    ]


def test_a_chain_applies_its_parts_in_order_and_clips_at_the_end(clean):
    chain = parse_noise("blur:1.5+gaussian:0.3")
    rng = np.random.default_rng(4)
    blurred = Blur(1.5, clip=False)(clean, rng)
    expected = Gaussian(0.3)(blurred, rng)
    noisy = chain(clean, np.random.default_rng(4))
    np.testing.assert_array_equal(noisy, expected)
    assert noise_label(describe_noise(chain)) == (
        "blur, sigma 1.5 then gaussian, sigma 0.3, clipped"
    )


def test_a_range_and_a_chain_are_rows_like_the_others():
    ranged = Ranged(Gaussian(0.1), Gaussian(0.9))
    chain = Chain((Blur(1), ranged))
    assert chain.clip is True
    assert ranged.clip is True
    assert Ranged(Gaussian(0.1, False), Gaussian(0.9, False)).clip is False
    for noise, field in ((ranged, "weak"), (chain, "parts")):
        with pytest.raises(FrozenInstanceError):
            setattr(noise, field, None)


@pytest.mark.parametrize("ends", [[], [0.1], [0.1, 0.2, 0.3]])
def test_a_range_has_two_ends(ends):
    with pytest.raises(UsageError, match="two ends") as refused:
        make_noise("gaussian", sigma=ends)
    assert f"sigma={ends}" in str(refused.value)


def test_sigma_is_for_gaussian_without_a_strength():
    assert parse_noise("gaussian", sigma=0.2) == Gaussian(0.2)
    assert parse_noise("gaussian:0.3", sigma=0.2) == Gaussian(0.3)
    assert parse_noise("blur:1+gaussian", sigma=0.2, clip=False) == Chain(
        (Blur(1.0, clip=False), Gaussian(0.2, clip=False)), clip=False
    )


@pytest.mark.parametrize(
    "text",
    [
        *("", "+", "gaussian+", "gaussian:", "gausian:0.5", "gaussian:much"),
        *("gaussian:nan", "gaussian:-1", "salt-pepper:1.5", "poisson:0"),
        *("blur:1+", "gaussian:0.5:0.3", "chain"),
    ],
)
def test_a_noise_that_does_not_parse_is_named(text):
    with pytest.raises(UsageError, match="Received: ") as caught:
        parse_noise(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", NOISES)
def test_a_range_draws_a_strength_for_each_image(kind, clean):
    low, high = {"poisson": (2, 8), "blur": (0.5, 2)}.get(kind, (0.2, 0.8))
    noise = parse_noise(f"{kind}:{low}..{high}")
    noisy = noise(clean, np.random.default_rng(4))
    rng = np.random.default_rng(4)
    expected = [
        make_noise(kind, **{noise.strength: strength})(clean[i : i + 1], rng)[0]
        for i, strength in enumerate(rng.uniform(low, high, len(clean)))
    ]
    np.testing.assert_array_equal(noisy, np.stack(expected))
    assert noisy.dtype == np.float32
    assert make_noise(**describe_noise(noise)) == noise
    assert f"{noise.strength} {low:g} to {high:g}" in noise_label(describe_noise(noise))


def test_the_strengths_of_a_range_are_even():
    grey = np.full((4000, 20, 20, 1), 0.5, np.float32)
    noise = parse_noise("gaussian:0.1..0.9", clip=False)
    spread = noise(grey, np.random.default_rng(1)).std(axis=(1, 2, 3))
    # Of U(0.1, 0.9): the mean 0.5, the standard deviation 0.8 / sqrt(12); the error of
    # 400 pixels' own deviation adds at most 1 % to the latter.
    assert spread.mean() == pytest.approx(0.5, abs=4 * 0.231 / math.sqrt(4000))
    assert spread.std() == pytest.approx(0.8 / math.sqrt(12), rel=0.05)
    assert 0.08 < spread.min() < 0.13
    assert 0.87 < spread.max() < 1.05


def test_a_range_in_a_chain(clean):
    chain = parse_noise("blur:1+gaussian:0.1..0.9")
    assert chain.parts[1] == parse_noise("gaussian:0.1..0.9", clip=False)
    noisy = chain(clean, np.random.default_rng(0))
    assert 0 <= noisy.min() <= noisy.max() <= 1
    assert noise_label(describe_noise(chain)) == (
        "blur, sigma 1 then gaussian, sigma 0.1 to 0.9, clipped"
    )


@pytest.mark.parametrize(
    "text",
    [
        *("gaussian:0.9..0.1", "gaussian:0.5..0.5", "gaussian:-1..1", "gaussian:..1"),
        *("gaussian:0.1..", "gaussian:0.1..much", "gaussian:0.1..nan"),
        "salt-pepper:0..2",
    ],
)
def test_a_bad_range_is_named(text):
    with pytest.raises(UsageError, match="Received: ") as caught:
        parse_noise(text)
    assert "\n" not in str(caught.value)


def test_camera_noise_is_rounded_clean_or_grows_with_the_light():
    count, sigma = 4000, 0.02
    clean = np.full((count, 1, 16, 1), 0.4, np.float32)
    clean[:, :, 8:] = 0.6  # mean 0.5: variances of 0.8 and 1.2 at a share of 1
    noisy = Camera(sigma, clip=False)(clean, np.random.default_rng(0))
    levels = noisy * 255
    rounded = np.abs(levels - np.rint(levels)).max(axis=(1, 2, 3)) < 1e-3
    still = np.abs(noisy - clean).max(axis=(1, 2, 3)) <= 0.5 / 255
    for found, share in ((rounded, 0.5), (still, 0.04)):
        assert abs(found.mean() - share) < 4 * math.sqrt(share * (1 - share) / count)
    added = (noisy - clean)[~still & ~rounded]
    dark, light = (added[:, :, half].var() for half in (slice(8), slice(8, 16)))
    # 30 % of the images have a share of 0.5 on average: 1 -+ 0.3 * 0.5 * 0.2
    errors = 4 * math.sqrt(2 / added[:, :, :8].size)
    assert dark / sigma**2 == pytest.approx(0.97, abs=errors)
    assert light / sigma**2 == pytest.approx(1.03, abs=errors)


def test_numbers_of_numpy_are_numbers():
    noise = Gaussian(np.float32(0.5))
    assert describe_noise(noise) == {"kind": "gaussian", "sigma": 0.5, "clip": True}
    assert type(describe_noise(noise)["sigma"]) is float
    assert Gaussian(np.int64(1)).sigma == 1
    with pytest.raises(UsageError, match="sigma must be a number"):
        Gaussian(np.bool_(True))


def test_a_chain_is_clipped_once_or_not_at_all():
    clean = np.full((1, 8, 8, 1), 0.5, np.float32)
    chain = Chain((Gaussian(5.0), Ranged(Gaussian(1.0), Gaussian(2.0))), clip=False)
    assert not any(part.clip for part in chain.parts)
    assert chain(clean, np.random.default_rng(0)).min() < 0
    both = Chain((Gaussian(5.0), Gaussian(0.1)))
    unclipped = Chain((Gaussian(5.0, clip=False), Gaussian(0.1, clip=False)))
    assert both == unclipped


@pytest.mark.parametrize(
    "strong", [Speckle(0.5), Poisson(3), Gaussian(0.5, clip=False)]
)
def test_the_ends_of_a_range_are_one_noise(strong):
    with pytest.raises(UsageError, match="the same noise, except for the strength"):
        Ranged(Gaussian(0.1), strong)
