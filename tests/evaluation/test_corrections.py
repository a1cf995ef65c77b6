"""Corrections for clipping, beside scikit-learn's and beside hand-worked values."""

import numpy as np
import pytest
from scipy.optimize import brentq
from sklearn.isotonic import IsotonicRegression

from keras_dae.evaluation.corrections import (
    PLAIN,
    Curve,
    corrections,
    fit_curve,
    inverse_curve,
)
from keras_dae.evaluation.filters import FILTERS, Filter, tune_each
from keras_dae.images.clipping import clipped_mean
from keras_dae.images.noise import Gaussian, SaltPepper


def digits(count, seed):
    """Return images of bright squares on black, and the same under clipped noise."""
    rng = np.random.default_rng(seed)
    clean = np.zeros((count, 16, 16, 1), np.float32)
    for image in clean:
        top, left = rng.integers(1, 9, 2)
        image[top : top + 6, left : left + 6] = rng.uniform(0.6, 1)
    return Gaussian(0.5)(clean, rng), clean


def test_the_curve_is_scikit_learns_isotonic_regression():
    noisy, clean = digits(40, 0)
    answers = FILTERS["Gaussian"].denoiser({"sigma": 1.0})(noisy)
    curve = fit_curve(answers, clean)
    other = IsotonicRegression(out_of_bounds="clip")
    other.fit(answers.ravel().astype(float), clean.ravel().astype(float))
    noisy, clean = digits(40, 1)
    answers = FILTERS["Gaussian"].denoiser({"sigma": 1.0})(noisy)
    own = np.mean((curve(answers) - clean) ** 2)
    theirs = np.mean((other.predict(answers.ravel()) - clean.ravel()) ** 2)
    assert own == pytest.approx(theirs, rel=0.005)
    assert own < 0.6 * np.mean((answers - clean) ** 2)


def test_a_curve_never_falls():
    rng = np.random.default_rng(0)
    curve = fit_curve(rng.random(5000), rng.random(5000))
    assert (np.diff(curve.given) > 0).all()
    assert (np.diff(curve.made) >= 0).all()


def test_hand_worked_curve():
    # 0.1 falls below 0.4 after it rises: both take their mean, weighted 1 to 2.
    curve = fit_curve(np.array([0.1, 0.5, 0.5, 0.9]), np.array([0.4, 0.1, 0.1, 1]))
    np.testing.assert_allclose(curve(np.array([0.0, 0.3, 0.5])), 0.2, atol=1e-6)
    np.testing.assert_allclose(curve(np.array([0.7, 1.0])), [0.6, 1], atol=1e-6)


@pytest.mark.parametrize("sigma", [0.05, 0.5, 1.0])
def test_the_inverse_curve_is_the_inverse_of_the_mean(sigma):
    values = np.linspace(0, 1, 777)
    low, high = clipped_mean([0, 1], sigma)
    expected = [
        brentq(lambda x, mean=mean: clipped_mean(x, sigma) - mean, 0, 1)
        for mean in values.clip(low, high)
    ]
    np.testing.assert_allclose(inverse_curve(sigma)(values), expected, atol=2e-4)


def test_the_inverse_takes_the_offset_from_flat_images():
    flat = np.full((1, 200, 200, 1), 0.1, np.float32)
    noisy = Gaussian(0.5)(flat, np.random.default_rng(0))
    plain = FILTERS["mean"].denoiser({"size": 7})
    middle = np.median(plain(noisy))
    assert middle > 0.22  # clipping brightens dark images
    corrected = inverse_curve(0.5).after(plain)(noisy)
    assert np.median(corrected) == pytest.approx(0.1, abs=0.01)


def test_which_corrections_apply():
    assert list(corrections(Gaussian(0.5))) == [PLAIN, "inverse", "curve"]
    for noise in (Gaussian(0.5, clip=False), Gaussian(0.0), SaltPepper(0.1)):
        assert list(corrections(noise)) == [PLAIN, "curve"]


def test_each_correction_chooses_for_itself():
    """Answers at half their value are best under the curve, which doubles them."""
    clean = np.linspace(0, 1, 64).reshape(1, 8, 8, 1).astype(np.float32)

    def answer(noisy, half):
        return noisy / 2 if half else np.round(4 * noisy) / 4

    row = Filter(answer, {"half": (False, True)})
    found = tune_each(row, clean, clean, corrections(Gaussian(0.5, clip=False)))
    assert found[PLAIN].settings == {"half": False}
    assert found["curve"].settings == {"half": True}
    assert found["curve"].error < 1e-5 < found[PLAIN].error


def test_a_curve_after_a_denoiser_takes_its_answers():
    doubled = Curve((0.0, 0.5), (0.0, 1.0)).after(lambda noisy: noisy / 2)
    noisy = np.full((1, 2, 2, 1), 0.5, np.float32)
    assert (doubled(noisy) == 0.5).all()
