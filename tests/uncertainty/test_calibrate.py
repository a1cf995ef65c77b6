"""A whole calibration, on random images and a denoiser without weights."""

from dataclasses import replace

import numpy as np
import pytest

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.images.noise import Gaussian
from keras_dae.images.splits import Splits
from keras_dae.uncertainty.calibrate import answers_to, calibrate
from keras_dae.uncertainty.coverage import measure, unlike_share
from keras_dae.uncertainty.spread import Spread, build, fit_table

NOISE = Gaussian(0.2)


def images(count, seed):
    """Images of 12x12, half of one grey and half of any."""
    found = np.random.default_rng(seed).random((count, 12, 12), np.float32)
    found[:, :6] = 0.3
    return found


def halved(noisy):
    """Draw each pixel towards 0.1, as a denoiser of few pixels would."""
    return 0.5 * noisy + 0.05


class Untouchable:
    """Images that must not be looked at."""

    shape, dtype, size = (0, 12, 12, 1), np.dtype(np.float32), 0

    def __len__(self):
        raise AssertionError("test images were counted")

    def __getitem__(self, index):
        raise AssertionError("test images were read")

    __array__ = __iter__ = __getitem__


@pytest.fixture(scope="module")
def splits():
    return Splits.from_arrays(images(300, 0), images(1200, 1), images(500, 2))


@pytest.fixture(scope="module")
def found(splits):
    return calibrate(halved, replace(splits, test=Untouchable()), NOISE)


def test_test_images_are_covered_and_never_reach_the_calibration(found, splits):
    held = answers_to(halved, splits, "test", NOISE, 0, 500)
    spread = found.spread(held.noisy, held.answer)
    report = measure(held, found.interval(held.noisy, held.answer), spread)
    assert report["coverage"] == pytest.approx(0.9, abs=0.01)
    assert min(row["coverage"] for row in report["deciles"]) > 0.88
    assert max(row["coverage"] for row in report["deciles"]) < 0.92
    assert report["rank"] > 0.1


def test_a_calibration_that_reads_test_images_would_be_noticed(splits):
    with pytest.raises(AssertionError, match="test images were"):
        answers_to(halved, replace(splits, test=Untouchable()), "test", NOISE, 0, 5)


def test_intervals_come_from_validation_and_the_spread_from_training(found, splits):
    other = Splits.from_arrays(splits.train, 0.5 * images(1200, 9)[..., None])
    again = calibrate(halved, other, NOISE)
    assert again.spread.table.tolist() == found.spread.table.tolist()
    assert again.intervals.factors.tolist() != found.intervals.factors.tolist()


def test_images_of_another_noise_are_unlike(found, splits):
    for sigma, low, high in ((0.2, 0, 0.1), (0.05, 0.9, 1), (0.5, 0.9, 1)):
        held = answers_to(halved, splits, "test", Gaussian(sigma), 0, 100)
        assert low <= unlike_share(found, held.noisy) <= high
    told = found.unlike(np.zeros((12, 12, 1), np.float32))
    assert "estimated noise 0.000 (calibration " in told


def test_the_network_starts_at_the_table():
    rng = np.random.default_rng(0)
    answer = rng.random((5, 9, 7, 1), np.float32)
    error = np.abs(rng.standard_normal(answer.shape)) * answer
    spread = Spread(fit_table(answer, error, 0.9), build(1))
    assert spread(answer, answer) == pytest.approx(
        spread.by_table(answer).clip(1e-12, 1), rel=1e-6
    )
    # 0.9 of a half-normal lies below 1.645 of its sigma, here the answer itself; what
    # is read from 315 values is away from it by a tenth.
    middle = spread.by_table(np.array([0.5]))[0]
    assert middle == pytest.approx(1.645 * 0.5, rel=0.5)


def test_bands_of_a_large_image_are_as_one(found, monkeypatch):
    from keras_dae.uncertainty import spread as module

    image = images(1, 5)[..., None].repeat(5, axis=1)
    whole = found.spread(image, halved(image))
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 7 * 12)
    assert found.spread(image, halved(image)) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"level": 0.4}, "level must lie in"),
        ({"confidence": 1.0}, "confidence must lie in"),
        ({"train_images": 3}, "at least 20 train images"),
        ({"validation_images": 3}, "at least 20 validation images"),
    ],
)
def test_values_out_of_range(splits, options, said):
    with pytest.raises(UsageError, match=said):
        calibrate(halved, splits, NOISE, **options)


def test_too_few_images_and_bad_answers(splits):
    with pytest.raises(KerasDAEError, match="too few to certify"):
        calibrate(halved, splits, NOISE, validation_images=40)
    with pytest.raises(KerasDAEError, match="not finite"):
        calibrate(lambda noisy: noisy * np.nan, splits, NOISE)
    with pytest.raises(KerasDAEError, match="another shape"):
        calibrate(lambda noisy: noisy[:, 1:], splits, NOISE)
