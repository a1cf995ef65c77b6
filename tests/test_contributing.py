"""The worked examples of docs/extend.md run as they stand there."""

import re
import sys
from types import ModuleType

import numpy as np
import pytest

from keras_dae.comparison import compare
from keras_dae.evaluation.baselines import BASELINES
from keras_dae.evaluation.filters import FILTERS
from keras_dae.evaluation.guard import guarded
from keras_dae.evaluation.metrics import METRICS, measure_all, summarise
from keras_dae.images.noise import NOISES
from keras_dae.models.ceiling_builders import build_ceiling
from keras_dae.models.ceilings import CEILINGS
from keras_dae.study.report.experiments import EXPERIMENTS
from keras_dae.study.report.publish import write_report
from keras_dae.system.storage import write_json
from keras_dae.training.config import make_config
from keras_dae.training.optimizer_table import OPTIMIZERS
from keras_dae.training.optimizers import make_optimizer


@pytest.fixture
def examples(request, monkeypatch):
    noises = dict(NOISES)
    for module in ("noise", "noise_words"):
        monkeypatch.setattr(f"keras_dae.images.{module}.NOISES", noises)
    monkeypatch.setattr("keras_dae.evaluation.filters.FILTERS", dict(FILTERS))
    text = (request.config.rootpath / "docs" / "extend.md").read_text()
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_a_noise_is_one_row(examples, monkeypatch):
    example = ModuleType("example")  # a dataclass looks its module up
    monkeypatch.setitem(sys.modules, "example", example)
    names = vars(example)
    exec(examples[0], names)
    noise = make_config({"noise": "row-dropout"}).make_noise()
    assert type(noise) is names["RowDropout"]


def test_a_filter_is_one_row(examples):
    names = {}
    exec(examples[1], names)
    row = names["FILTERS"]["rank"]
    ramp = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1) / 10
    # The centre's window is 0 to 0.8 in steps: three quarters of the way is 0.6.
    assert row.denoiser({"size": 3})(ramp)[0, 1, 1, 0] == pytest.approx(0.6)
    assert list(row.settings()) == [{"size": 3}, {"size": 5}]


def test_a_denoiser_is_a_function(examples):
    names = {}
    exec(examples[2], names)
    noisy = np.full((2, 3, 3, 1), 0.5, np.float32)
    assert guarded(names["halved"], "mine:halved")(noisy).tolist() == (
        np.full(noisy.shape, 0.25).tolist()
    )


def test_an_optimizer_is_one_row(examples, monkeypatch):
    monkeypatch.setitem(OPTIMIZERS, "sgd", None)  # put back afterwards
    exec(examples[3], {})
    config = make_config({"optimizer": "sgd", "depth": 1})
    assert config.learning_rate == 1.0
    assert type(make_optimizer(config, 10)).__name__ == "SGD"


def test_a_metric_is_one_row(examples, monkeypatch):
    monkeypatch.setitem(METRICS, "mae", None)  # put back afterwards
    exec(examples[4], {})
    clean, denoised = np.zeros((2, 1, 2, 2, 1), np.float32)
    denoised[0, 0, 0] = 0.5
    assert measure_all(clean, denoised)["mae"].tolist() == [0.125]
    row = summarise(measure_all(clean, denoised), 4)
    assert row["mae"] == 0.125
    assert METRICS["mae"].text([0.125]) == "0.12500"


def test_a_baseline_is_one_row(examples, monkeypatch):
    monkeypatch.setitem(BASELINES, "mid-grey", None)
    exec(examples[5], {})
    black = np.zeros((2, 12, 12), np.uint8)
    found = compare({}, black, noise="gaussian:0.1", baselines=["mid-grey"])
    assert found["mid-grey"]["mse"] == 0.25


def test_a_model_is_one_row(examples, monkeypatch):
    monkeypatch.setitem(CEILINGS, "shallow", None)
    exec(examples[6], {})
    spec = make_config({"model": "shallow"}).plan((28, 28, 1))
    # 25 weights and a bias for 8 maps, then 9 x 8 weights and a bias.
    assert spec.parameters == 8 * 26 + 73
    assert build_ceiling(spec).count_params() == spec.parameters


def test_an_experiment_is_one_row(examples, monkeypatch, request, tmp_path):
    monkeypatch.setitem(EXPERIMENTS, "brightness", None)
    exec(examples[7], {})
    study = request.config.rootpath / "tests/golden/study"
    (tmp_path / "results.json").write_bytes((study / "results.json").read_bytes())
    write_json(tmp_path / "brightness.json", {"mean": 0.25})
    write_report(tmp_path)
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text()
        assert "How bright" in text
        assert "The mean test pixel is 0.250." in text
