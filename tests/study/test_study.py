"""The whole study in small, and the committed results of the full one."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from keras_dae.cli import main
from keras_dae.models.architectures import paper_specs
from keras_dae.models.files import load
from keras_dae.study.nine import claims
from keras_dae.study.nine.run import plot
from keras_dae.system.locks import LOCK
from keras_dae.system.storage import read_json
from keras_dae.training.runs import RunFolder

MODEL_KEYS = {
    *("name", "depth", "latent", "seed", "parameters", "epochs", "test", "seconds"),
}
# The highest mean test MSE over seeds that the study may report, by model.
CEILINGS = {
    **{"DAE_1_13": 0.0157, "DAE_1_8": 0.0165, "DAE_1_5": 0.0228},
    **{"DAE_3_13": 0.0103, "DAE_3_8": 0.0103, "DAE_3_5": 0.0115},
    **{"DAE_5_13": 0.0090, "DAE_5_8": 0.0090, "DAE_5_5": 0.0097},
}


def check_schema(results):
    assert results["schema"] == 1
    assert set(results["dataset"]) == {"name", "sha256", "train", "validation", "test"}
    assert {"kind", "sigma", "clip", "test_sha256"} <= set(results["noise"])
    assert results["hardware"]
    for row in results["models"]:
        assert set(row) >= MODEL_KEYS
        assert {"mse", "mse_sum", "psnr"} <= set(row["test"])
        assert row["test"]["mse_sum"] == pytest.approx(784 * row["test"]["mse"])
    for row in results["claims"]:
        assert row["verdict"] in set(claims.VERDICTS)


@pytest.fixture(scope="module")
def small_study(tmp_path_factory):
    out = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    np.savez(
        out / "images.npz",
        x_train=rng.integers(0, 256, (60, 28, 28), dtype=np.uint8),
        x_test=rng.integers(0, 256, (20, 28, 28), dtype=np.uint8),
    )
    options = ["--data", f"npz:{out / 'images.npz'}", "--depths", "1,2", "--latents"]
    options += ["13,8", "--seeds", "2", "--epochs", "1", "--jobs", "2"]
    command = ["reproduce", *options, "--out", str(out / "study")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    return out / "study", command, result


def test_reproduce_leaves_results_models_figures_and_report(small_study):
    out, _, result = small_study
    results = read_json(out / "results.json")
    check_schema(results)
    assert len(results["models"]) == 8
    assert all(len(row["live_maps"]) == 4 for row in results["models"])
    # Four pairs and one pair of increases; two seeds decide none.
    assert len(results["claims"]) == 5
    assert {row["verdict"] for row in results["claims"]} == {"NOT DECIDED"}
    assert {path.name for path in out.iterdir()} == {
        *("results.json", "errors.npz", "claims.json", "report.md", "report.html"),
        *("figures", "models", "runs"),
    }
    assert len(list((out / "figures").glob("figure*.png"))) == 7
    assert (out / "figures" / "claims.png").stat().st_size > 10_000
    with np.load(out / "errors.npz") as errors:
        assert {len(of_images) for of_images in errors.values()} == {20}
        found = {name: of_images.mean() for name, of_images in errors.items()}
    for row in results["models"]:
        name = f"npz-images-{row['name']}-seed{row['seed']}"
        assert found[name] == pytest.approx(row["test"]["mse"], rel=1e-6)
    decided = read_json(out / "claims.json")
    assert decided["claims"] == results["claims"]
    assert decided["seeds"] == [0, 1]
    assert decided["dataset"] == results["dataset"]
    assert load(out / "models" / "DAE_2_13.keras").input_shape == (None, 28, 28, 1)
    assert "DAE_2_13" in result.stdout


def test_reproduce_again_trains_nothing_and_says_the_same(small_study):
    out, command, _ = small_study
    before = {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*.keras")}
    first = read_json(out / "results.json")
    assert CliRunner().invoke(main, [*command, "--json"]).exit_code == 0
    after = {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*.keras")}
    assert before == after
    again = read_json(out / "results.json")
    for key in ("dataset", "noise", "models", "floors", "claims"):
        assert again[key] == first[key]


def test_only_close_models_get_more_seeds(small_study, monkeypatch):
    out, command, _ = small_study
    # After one epoch, all four are within 3 %.
    monkeypatch.setattr(claims, "CLOSE", 0.01)
    results = read_json(out / "results.json")
    losses = {}
    for row in results["models"]:
        losses.setdefault((row["depth"], row["latent"]), []).append(row["val_loss"])
    expected = claims.close_models(
        {key: np.mean(found) for key, found in losses.items()}
    )
    assert 0 < len(expected) < len(losses)
    done = CliRunner().invoke(main, [*command, "--close-seeds", "3"])
    assert done.exit_code == 0, done.output
    again = read_json(out / "results.json")
    third = {(r["depth"], r["latent"]) for r in again["models"] if r["seed"] == 2}
    assert third == expected
    said = f"{len(expected)} more runs, because validation losses are close: DAE_2_13,"
    assert said in done.output
    if not Path("/dev/nvidiactl").exists():
        assert f"\n{len(expected)} runs take about " in done.output
    few = CliRunner().invoke(main, [*command, "--close-seeds", "2"])
    assert few.exit_code == 2
    assert "close_seeds must be larger than seeds, 2. Received: close_seeds=2" in (
        few.output
    )


def test_plot_waits_for_another_process_at_its_figures(small_study, tmp_path, other):
    run = next((small_study[0] / "runs").iterdir())
    holder = other(tmp_path)
    told = []

    def say(line):
        told.append(line)
        if "waiting" in line:
            assert [path.name for path in tmp_path.iterdir()] == [LOCK]
            holder.stdin.close()

    written = plot([RunFolder(run)], tmp_path, say=say)
    assert f"in use by another process (number {holder.pid}); waiting" in told[-1]
    assert sorted(tmp_path.iterdir()) == sorted(written)


@pytest.fixture
def paper(request):
    return request.config.rootpath / "artifacts" / "paper"


def test_the_committed_study_is_the_papers(paper):
    results = read_json(paper / "results.json")
    check_schema(results)
    counts = [results["dataset"][key] for key in ("train", "validation", "test")]
    assert counts == [48_000, 12_000, 10_000]
    assert results["noise"]["kind"] == "gaussian"
    assert (results["noise"]["sigma"], results["noise"]["clip"]) == (0.5, True)
    assert {row["epochs"] for row in results["models"]} == {15}
    seeds = {
        spec.name: {
            row["seed"] for row in results["models"] if row["name"] == spec.name
        }
        for spec in paper_specs()
    }
    assert len(seeds) == 9
    assert min(len(of_model) for of_model in seeds.values()) >= 5


@pytest.mark.parametrize("name", CEILINGS)
def test_the_committed_means_are_below_their_ceilings(paper, name):
    rows = read_json(paper / "results.json")["models"]
    errors = [row["test"]["mse"] for row in rows if row["name"] == name]
    assert np.mean(errors) <= CEILINGS[name]


def test_no_model_falls_onto_the_black_plateau(paper):
    """After the first epoch each run is far below the error of an all-black answer."""
    histories = [read_json(path) for path in paper.glob("runs/*/history.json")]
    assert len(histories) >= 27
    assert max(history["val_loss"][0] for history in histories) < 0.06


def test_the_committed_models_are_small_and_of_the_architectures_today(request):
    """The best models of the study are the presets."""
    folder = request.config.rootpath / "keras_dae" / "presets"
    for spec in paper_specs():
        path = folder / f"{spec.name}.keras"
        assert path.stat().st_size < 4 * spec.parameters + 150_000
        model = load(path)
        assert model.count_params() == spec.parameters
        assert getattr(model, "optimizer", None) is None
