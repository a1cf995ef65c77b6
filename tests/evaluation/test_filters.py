"""Each filter is its library's call, and is chosen on what it is given alone."""

import numpy as np
import pytest
from scipy import ndimage, signal
from skimage import restoration

from keras_dae.evaluation import filters
from keras_dae.evaluation.filters import FILTERS, Filter, tune

NOISY = np.random.default_rng(0).random((2, 16, 16, 3), dtype=np.float32)
PLANE = NOISY[1, :, :, 2].astype(float)
WAVELET = {"wavelet": "db2", "method": "BayesShrink", "mode": "soft", "sigma": 0.2}
NLM = {"h": 0.2, "patch_size": 3, "patch_distance": 5}
CALLS = {
    "mean": ({"size": 3}, lambda x: ndimage.uniform_filter(x, 3)),
    "median": ({"size": 5}, lambda x: ndimage.median_filter(x, 5)),
    "Gaussian": ({"sigma": 0.8}, lambda x: ndimage.gaussian_filter(x, 0.8)),
    "Wiener": ({"size": 3, "noise": 0.1}, lambda x: signal.wiener(x, 3, 0.1)),
    "total variation": (
        {"weight": 0.2},
        lambda x: restoration.denoise_tv_chambolle(x, weight=0.2),
    ),
    "wavelets": (
        {**WAVELET, "wavelet_levels": 2},
        lambda x: restoration.denoise_wavelet(x, **WAVELET, wavelet_levels=2),
    ),
    "non-local means": (NLM, lambda x: restoration.denoise_nl_means(x, **NLM)),
}


@pytest.mark.parametrize("name", CALLS)
def test_each_is_the_librarys_call(name):
    settings, call = CALLS[name]
    before = NOISY.copy()
    answer = FILTERS[name].denoiser(settings)(NOISY)
    assert (answer.shape, answer.dtype) == (NOISY.shape, np.float32)
    expected = np.clip(call(PLANE), 0, 1)
    np.testing.assert_allclose(answer[1, :, :, 2], expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(NOISY, before)


def test_bm3d_is_the_packages_call():
    bm3d = pytest.importorskip("bm3d")
    answer = FILTERS["BM3D"].denoiser({"sigma_psd": 0.2})(NOISY[:1, :, :, :1])
    expected = np.clip(bm3d.bm3d(NOISY[0, :, :, 0].astype(float), 0.2), 0, 1)
    np.testing.assert_allclose(answer[0, :, :, 0], expected, rtol=0, atol=1e-6)


def test_every_row_is_called_above():
    assert {*CALLS, "BM3D"} == set(FILTERS)
    for name, (settings, _) in CALLS.items():
        assert set(settings) == set(FILTERS[name].grid)


@pytest.mark.parametrize("noise", [None, 0.1])
def test_wiener_takes_flat_images(noise):
    black = np.zeros((1, 8, 8, 1), np.float32)
    assert not FILTERS["Wiener"].denoiser({"size": 3, "noise": noise})(black).any()


def test_tuning_takes_the_lowest_error():
    clean = np.full((2, 4, 4, 1), 0.5, np.float32)
    row = Filter(lambda noisy, add: noisy + add, {"add": (0.5, 0.1, 0.3, -0.1)})
    seen = []
    settings, error = tune(row, clean - 0.25, clean, lambda: seen.append(1))
    assert settings == {"add": 0.3}
    assert error == pytest.approx(0.05**2)
    assert len(seen) == 4


def test_the_first_of_equals_is_taken():
    clean = np.zeros((1, 4, 4, 1), np.float32)
    row = Filter(lambda noisy, add: noisy + add, {"add": (-1, -2)})
    assert tune(row, clean, clean)[0] == {"add": -1}


def test_settings_are_all_combinations():
    row = Filter(lambda noisy: noisy, {"a": (1, 2), "b": ("x", "y")})
    assert [tuple(one.values()) for one in row.settings()] == [
        *((1, "x"), (1, "y"), (2, "x"), (2, "y")),
    ]


def test_a_package_that_is_absent_is_named(monkeypatch):
    monkeypatch.setattr(
        filters.importlib.util, "find_spec", lambda name: None if name == "pywt" else 1
    )
    assert FILTERS["wavelets"].missing == "PyWavelets"
    assert FILTERS["total variation"].missing is None
