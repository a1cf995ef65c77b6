"""The committed bits: what they must hold, and a file from elsewhere."""

import json
import shutil

import numpy as np
import pytest

from keras_dae.commands.bits import _check_setting
from keras_dae.commands.board import _setting
from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.models.architectures import paper_specs
from keras_dae.study.bits.section import FIGURES, _where, write
from keras_dae.study.bits.turns import error_at
from keras_dae.study.report.publish import write_report
from keras_dae.system.storage import read_json, write_json
from keras_dae.training.runs import RunFolder, find_runs
from tests.hostile.data import RESULTS


@pytest.fixture(scope="module")
def paper(request):
    return request.config.rootpath / "artifacts" / "paper"


@pytest.fixture(scope="module")
def results(paper):
    return read_json(paper / "bits" / "bits.json")


def test_the_nine_and_a_rate_are_there_of_the_study_s_images(paper, results):
    names = {row["name"] for row in results["rows"]}
    assert {spec.name for spec in paper_specs()} < names
    assert any("rate" in name for name in names)
    noise = read_json(paper / "results.json")["noise"]
    assert results["noise"]["test_sha256"] == noise["test_sha256"]
    for stem in FIGURES:
        assert (paper / "figures" / f"{stem}.png").stat().st_size > 10_000


def test_the_bytes_are_as_many_as_the_model_says(results):
    for row in results["rows"]:
        for point in (*row["points"], row["more"]):
            assert abs(point["bits"] - point["expected_bits"]) < 0.2


def test_one_percent_more_is_on_test_what_it_is_on_validation(results):
    for row in results["rows"]:
        assert row["more"]["mse"] / row["mse"] == pytest.approx(1.01, abs=0.005)
        assert row["more"]["bits"] < row["more"]["without_neighbours"]


def test_a_rate_reaches_an_error_of_0_0090_at_300_bits(results):
    (row,) = (row for row in results["rows"] if "rate" in row["name"])
    assert error_at(row["points"], np.array([300.0]))[0] <= 0.0090


def test_the_section_says_whether_the_first_claim_turns(results):
    texts = " ".join(write(results)[1])
    assert "Claim (*), that a smaller latent gives a higher loss, is reversed" in texts


def test_the_page_on_bits_has_these_figures(results, request):
    page = (request.config.rootpath / "docs" / "bits.md").read_text()
    for row in results["rows"]:
        more = row["more"]
        figures = [f"{row['mse']:.5f}", f"{more['bits']:,.0f}"]
        figures += [f"{more['bits'] / row['values']:.2f}"]
        figures += [f"{more['without_neighbours']:,.0f}"]
        line = " | ".join([row["name"], str(row["values"]), *figures])
        assert f"| {line} |" in page
    words = " ".join(page.split())
    for row in results["turns"]:
        if row["below"] is not None:
            whole = row["below"] > 0.98 * row["high"]
            assert f"{row['high'] if whole else row['below']:,.0f}" in words


def test_a_damaged_file_of_bits_is_named(tmp_path):
    shutil.copy(RESULTS, tmp_path / "results.json")
    (tmp_path / "bits").mkdir()
    (tmp_path / "bits" / "bits.json").write_text(json.dumps({"rows": ["<script>"]}))
    with pytest.raises(KerasDAEError, match=r"bits\.json"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("turned", "words"),
    [
        ([[50.5, 1000]], "at every number of bits up to 1000"),
        ([[50.5, 550]], "below 550 bits"),
        ([[258, 550]], "from 258 to 550 bits"),
        ([[50.5, 100], [258, 550]], "from 50 to 100 bits and from 258 to 550 bits"),
    ],
)
def test_where_a_claim_is_reversed(turned, words):
    assert _where({"low": 50, "high": 1000, "turned": turned}) == words


@pytest.mark.parametrize("given", [{"data_seed": 7}, {"sigma": 0.3}, {"data": "mnist"}])
def test_options_that_the_runs_decide_are_refused(request, given):
    golden = request.config.rootpath / "tests" / "golden" / "study" / "runs"
    folder = find_runs(golden)[0]
    _check_setting(folder, {"sigma": 0.5})  # as it was trained
    with pytest.raises(UsageError, match="on the data and noise of"):
        _check_setting(folder, given)


def test_sigma_is_refused_for_runs_of_another_noise(request, tmp_path):
    golden = request.config.rootpath / "tests" / "golden" / "study" / "runs"
    folder = RunFolder(tmp_path)
    record = find_runs(golden)[0].record()
    record["config"]["noise"] = "salt-pepper:0.2"
    write_json(folder.config_path, record)
    with pytest.raises(UsageError, match="sigma applies only to gaussian noise"):
        _check_setting(folder, {"sigma": 0.3})
    with pytest.raises(UsageError, match="sigma applies only to gaussian noise"):
        _setting([folder], {"sigma": 0.3})
