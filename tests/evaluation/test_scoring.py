import numpy as np
import pytest

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.evaluation import scoring
from keras_dae.evaluation.baselines import BASELINES
from keras_dae.evaluation.engines import model_denoiser
from keras_dae.evaluation.scoring import (
    TestBench,
    load_for,
    score_baselines,
    score_denoiser,
    score_model,
)
from keras_dae.images.noise import Gaussian
from keras_dae.models.architectures import Conv, DAESpec, plan
from keras_dae.models.builders import build
from keras_dae.models.files import save


@pytest.fixture
def bench(tiny):
    return TestBench(tiny, Gaussian())


@pytest.fixture(scope="module")
def model():
    return build(DAESpec(8, 1, (Conv(2, 4, 2),)), seed=1)


def test_the_bench_is_frozen(tiny, bench):
    again, other = TestBench(tiny, Gaussian()), TestBench(tiny, Gaussian(), seed=1)
    assert bench.describe_noise() == again.describe_noise()
    assert bench.describe_noise() != other.describe_noise()
    assert bench.describe_noise().keys() == {"kind", "sigma", "clip", "test_sha256"}
    noisy, clean = bench.pairs
    np.testing.assert_array_equal(clean, tiny.test / np.float32(255))
    assert not np.array_equal(noisy, clean)
    assert bench.pixels == 64


def test_errors_by_hand(bench):
    noisy, clean = bench.pairs
    assert bench.errors(lambda noisy: clean).tolist() == [0] * 7
    expected = ((noisy.astype(float) - clean) ** 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(bench.errors(lambda noisy: noisy), expected, rtol=1e-12)


def spoiled(value):
    def denoise(noisy):
        answer = noisy.copy()
        answer[-1, 3, 4] = value
        return answer

    return denoise


@pytest.mark.parametrize(
    ("denoise", "says"),
    [
        (lambda noisy: noisy[..., 0], r"shape \(7, 8, 8\).*\(7, 8, 8, 1\)"),
        (lambda noisy: noisy[:-1], r"shape \(6, 8, 8, 1\)"),
        (lambda noisy: noisy.mean(), r"shape \(\)"),
        (spoiled(np.nan), "not finite"),
        (spoiled(np.inf), "not finite"),
    ],
)
def test_errors_refuses(bench, denoise, says):
    with pytest.raises(KerasDAEError, match=says):
        bench.errors(denoise)


@pytest.mark.parametrize("batch", [1, 2, 7, 100])
def test_errors_do_not_depend_on_the_batch_size(bench, model, monkeypatch, batch):
    whole = bench.errors(model_denoiser(model))
    monkeypatch.setattr(scoring, "BATCH", batch)
    # A convolution may add in another order for another batch.
    parts = bench.errors(model_denoiser(model))
    np.testing.assert_allclose(parts, whole, rtol=1e-6)
    median = BASELINES["median 3x3"](bench.splits)
    alone = [bench.errors(median) for scoring.BATCH in (batch, 500)]
    np.testing.assert_array_equal(*alone)


def test_score_model(bench, model):
    row, of_images = score_model(bench, model)
    errors = of_images["mse"]
    np.testing.assert_array_equal(errors, bench.errors(model_denoiser(model)))
    assert row["parameters"] == (4 * 4 * 2 + 2) + (4 * 4 * 2 + 1) == 67
    assert row["test"]["mse"] == pytest.approx(errors.mean())
    assert row["test"]["mse_sum"] == pytest.approx(64 * errors.mean())


def test_a_model_for_images_of_another_shape_is_refused(bench, tmp_path):
    path = tmp_path / "model.keras"
    save(build(plan(1, 13)), path)
    with pytest.raises(KerasDAEError, match=r"\(28, 28, 1\).*tiny.*\(8, 8, 1\)"):
        load_for(bench.splits, path)


def test_no_model_file(bench, tmp_path):
    with pytest.raises(UsageError, match="no model file"):
        load_for(bench.splits, tmp_path / "model.keras")


def test_score_baselines(bench):
    rows = {row["name"]: row["test"] for row in score_baselines(bench)}
    assert list(rows) == list(BASELINES)
    black = np.square(bench.pairs[1], dtype=float).mean()
    assert rows["all black"]["mse"] == pytest.approx(black, rel=1e-12)


def test_figures_are_means_over_draws_of_the_noise(tiny):
    """Five draws are those of five benches, of which each is frozen by its seed."""
    five = TestBench(tiny, Gaussian(), seed=3, draws=5)
    alone = [TestBench(tiny, Gaussian(), seed=3 + number) for number in range(5)]
    expected = np.mean([bench.errors(np.zeros_like) for bench in alone], axis=0)
    np.testing.assert_allclose(five.errors(np.zeros_like), expected, rtol=1e-12)
    noisy = [mse_of(*bench.pairs) for bench in alone]
    assert len({float(errors.mean()) for errors in noisy}) == 5
    np.testing.assert_allclose(
        five.measure_images(lambda noisy: noisy)["mse"], np.mean(noisy, axis=0)
    )
    row = score_denoiser(five, lambda noisy: noisy)
    assert row["test_draws"] == pytest.approx([errors.mean() for errors in noisy])
    assert row["test"]["mse"] == pytest.approx(np.mean(row["test_draws"]))
    assert "test_draws" not in score_denoiser(alone[0], lambda noisy: noisy)


def mse_of(noisy, clean):
    return ((noisy.astype(float) - clean) ** 2).mean(axis=(1, 2, 3))
