import math

import numpy as np
import pytest
from skimage import metrics as reference

from keras_dae.errors import UsageError
from keras_dae.evaluation.metrics import METRICS, mse, psnr, psnr_of, ssim, summarise


@pytest.fixture
def images():
    rng = np.random.default_rng(1)
    return rng.random((2, 5, 13, 11, 3), dtype=np.float32)


def test_equal_to_scikit_image(images):
    clean, denoised = images
    wide = images.astype(np.float64)
    for index, (one, other) in enumerate(zip(*wide, strict=True)):
        error = reference.mean_squared_error(one, other)
        ratio = reference.peak_signal_noise_ratio(one, other, data_range=1.0)
        assert mse(clean, denoised)[index] == pytest.approx(error, rel=0, abs=1e-12)
        assert psnr(clean, denoised)[index] == pytest.approx(ratio, rel=0, abs=1e-12)


def test_by_hand():
    clean = np.array([[0, 0.5], [1, 1]], np.float32).reshape(1, 2, 2, 1)
    denoised = np.array([[0, 0], [1, 0.5]], np.float32).reshape(1, 2, 2, 1)
    assert mse(clean, denoised).tolist() == [0.125]  # (0.25 + 0.25) / 4
    assert psnr(clean, denoised)[0] == pytest.approx(9.0308998699)  # 10 log10 8
    assert psnr_of(0.01) == pytest.approx(20)


def test_exact_answers(images):
    clean = images[0]
    assert mse(clean, clean).tolist() == [0] * 5
    assert psnr(clean, clean).tolist() == [math.inf] * 5


@pytest.mark.parametrize(
    "metric", [row.measure for row in METRICS.values()], ids=METRICS
)
def test_every_metric(images, metric):
    before = images.copy()
    values = metric(*images)
    assert (values.shape, values.dtype) == ((5,), np.float64)
    for index in range(5):
        alone = metric(*images[:, index : index + 1])
        assert alone[0] == pytest.approx(values[index], rel=1e-12)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize(
    "metric", [row.measure for row in METRICS.values()], ids=METRICS
)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((2, 4, 4, 1), (2, 4, 4, 3)),
        ((2, 4, 4, 1), (1, 4, 4, 1)),
        ((2, 4, 4, 1), (2, 4, 4)),
        ((2, 4, 4), (2, 4, 4)),
        ((2, 12, 12, 1), (2, 12, 12, 3)),
        ((2, 12, 12, 3), (2, 12, 12, 1)),
    ],
)
def test_shapes_that_differ_are_refused(metric, one, other):
    with pytest.raises(UsageError, match="same shape") as refused:
        metric(np.zeros(one), np.zeros(other))
    assert str(one) in str(refused.value)
    assert str(other) in str(refused.value)


@pytest.mark.parametrize(
    ("metric", "shape", "says"),
    [
        (
            *(mse, (4, 4)),
            "clean and denoised must have the same shape (N, H, W, C). "
            "Received: clean=(4, 4), denoised=(4, 4).",
        ),
        (
            *(mse, (2, 4, 4, 1, 1)),
            "clean and denoised must have the same shape (N, H, W, C). "
            "Received: clean=(2, 4, 4, 1, 1), denoised=(2, 4, 4, 1, 1).",
        ),
        (
            *(ssim, (1, 11, 10, 12)),
            "clean and denoised must have the same shape (N, H, W, C), H and W at "
            "least 11. "
            "Received: clean=(1, 11, 10, 12), denoised=(1, 11, 10, 12).",
        ),
    ],
)
def test_what_is_said_of_a_shape(metric, shape, says):
    with pytest.raises(UsageError) as refused:
        metric(np.zeros(shape), np.zeros(shape))
    assert str(refused.value) == says


def test_ssim_of_the_smallest_images():
    """One window, in flat images: only the means count."""
    clean, denoised = np.full((2, 1, 11, 11, 1), [[[[[0.5]]]], [[[[0.7]]]]])
    c1 = 0.01**2
    by_hand = (2 * 0.35 + c1) / (0.25 + 0.49 + c1)
    assert ssim(clean, denoised) == pytest.approx(by_hand, abs=1e-12)


def test_summarise():
    row = summarise({"mse": np.array([0.005, 0.015])}, pixels=300)
    assert row["mse"] == pytest.approx(0.01)
    assert row["mse_sum"] == pytest.approx(3)
    assert row["psnr"] == pytest.approx(20)  # of the mean error, not the mean psnr


def test_summarise_similarities():
    row = summarise({"mse": np.array([0.01, 0.03]), "ssim": np.array([0.2, 0.6])}, 4)
    assert row["ssim"] == pytest.approx(0.4)
    assert row["mse_sum"] == pytest.approx(0.08)


def test_summarise_where_one_answer_is_exact():
    row = summarise({"mse": np.array([0, 0.02])}, 1)
    assert row["psnr"] == pytest.approx(20)
    assert row["psnr_mean_image"] is None


def test_summarise_exact_answers():
    assert summarise({"mse": np.zeros(3)}, 784) == {
        **{"mse": 0, "mse_sum": 0, "psnr": None, "psnr_mean_image": None},
        "ssim": None,
    }


def test_psnr_in_both_conventions_by_hand():
    row = summarise({"mse": np.array([0.01, 0.0001])}, pixels=1)
    assert row["psnr_mean_image"] == pytest.approx(30)  # the mean of 20 and 40 dB
    assert row["psnr"] == pytest.approx(-10 * np.log10(0.00505))


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_equals_scikit_images(channels):
    rng = np.random.default_rng(11)
    clean = rng.random((4, 16, 20, channels))
    denoised = np.clip(clean + 0.2 * rng.standard_normal(clean.shape), 0, 1)
    expected = [
        reference.structural_similarity(
            one,
            other,
            data_range=1.0,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for one, other in zip(clean, denoised, strict=True)
    ]
    np.testing.assert_allclose(ssim(clean, denoised), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ssim(clean, clean), 1, rtol=0, atol=1e-12)


def test_ssim_where_little_is_lit_equals_scikit_images():
    """Points on black: the variance is far above the square of the mean."""
    rng = np.random.default_rng(12)
    clean, denoised = (rng.random((2, 3, 20, 20, 1)) > 0.97) * 1.0
    expected = [
        reference.structural_similarity(
            *(one[..., 0], other[..., 0]),
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for one, other in zip(clean, denoised, strict=True)
    ]
    np.testing.assert_allclose(ssim(clean, denoised), expected, rtol=0, atol=1e-6)


def test_ssim_of_images_below_its_window_is_refused():
    with pytest.raises(UsageError, match="at least 11"):
        ssim(np.zeros((1, 10, 28, 1)), np.zeros((1, 10, 28, 1)))


@pytest.mark.parametrize("metric", [mse, psnr, ssim])
def test_integers_are_refused_since_the_range_is_that_of_floats(metric):
    images = np.zeros((2, 16, 16, 1), np.uint8)
    with pytest.raises(UsageError, match="floating-point arrays"):
        metric(images, images)
