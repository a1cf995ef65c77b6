"""The study: the only module that joins the stages, from data to report."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae import backend
from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.evaluation.baselines import FLOORS, MEDIANS
from keras_dae.evaluation.claims import decide, paper_pairs
from keras_dae.evaluation.scoring import (
    TestBench,
    model_denoiser,
    score_baselines,
    score_model,
    score_run,
)
from keras_dae.images.datasets import Splits, load
from keras_dae.models.architectures import DAESpec, architecture_row
from keras_dae.models.builders import decoder, encoder
from keras_dae.models.files import load as load_model
from keras_dae.models.files import save as save_model
from keras_dae.reporting import figures
from keras_dae.reporting.report import report_html, report_markdown
from keras_dae.storage import read_json, replacing, write_json, write_text
from keras_dae.training.config import RunConfig
from keras_dae.training.runs import RunFolder
from keras_dae.training.sweep import Job, last_line, sweep

SHOWN = 6


@dataclass(frozen=True)
class Scored:
    """What an evaluation of runs gives: figures for people, errors for statistics.

    Attributes:
        results: what `results.json` holds, without the claims.
        errors: model name -> test errors, shape (seeds, images).
        specs: model name -> architecture.
        folders: the runs, in the order of `results["models"]`.
        bench: the frozen test images.
    """

    results: dict[str, Any]
    errors: dict[str, np.ndarray]
    specs: dict[str, DAESpec]
    folders: list[RunFolder]
    bench: TestBench


def evaluate(
    folders: Iterable[RunFolder],
    data_dir: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Scored]:
    """Score runs on the test images, one result for each data set and noise.

    Args:
        folders: runs; each is scored on the data set and noise it was made with.
        data_dir: folder of the data sets' files.
        say: told what is being done, a line at a time.
    """
    groups: dict[tuple[Any, ...], list[RunFolder]] = {}
    for folder in folders:
        config = folder.config()
        if not folder.model_path.exists():
            say(f"{folder.path} has no finished epoch yet; left out.")
            continue
        groups.setdefault(
            (_data_name(folder), config.make_noise(), config.data_seed), []
        ).append(folder)
    if not groups:
        raise KerasDAEError("None of the runs has finished an epoch.")
    scored = []
    for (data, noise, data_seed), members in groups.items():
        splits = load(data, data_dir, data_seed)
        bench = TestBench(splits, noise, data_seed)
        scored.append(_score(members, bench, say))
    return scored


def evaluate_files(
    paths: Iterable[Path],
    config: RunConfig,
    data_dir: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Score `.keras` files of any origin on the test images of a configuration.

    Args:
        paths: the files.
        config: names the data set and the noise; the rest of it is not used.
        data_dir: folder of the data sets' files.
        say: told what is being done, a line at a time.
    """
    splits = load(config.data, data_dir, config.data_seed)
    bench = TestBench(splits, config.make_noise(), config.data_seed)
    rows = []
    for path in paths:
        say(f"scoring {path}")
        row, _ = score_model(bench, path)
        rows.append({"name": path.stem, "file": str(path), **row})
    return _results(bench, rows)


def _results(bench: TestBench, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return `rows` with the floors, and with what they were measured on."""
    return {
        "dataset": bench.splits.describe(),
        "noise": bench.describe_noise(),
        "hardware": backend.hardware(),
        "backend": backend.versions(),
        "models": rows,
        "floors": score_baselines(bench, (*FLOORS, *MEDIANS)),
    }


def _data_name(folder: RunFolder) -> str:
    """Return the data set that the run really used, 'auto' resolved."""
    return str(folder.record()["dataset"]["name"])


def _score(
    folders: list[RunFolder], bench: TestBench, say: Callable[[str], None]
) -> Scored:
    rows: list[dict[str, Any]] = []
    errors: dict[str, list[np.ndarray]] = {}
    specs: dict[str, DAESpec] = {}
    for folder in folders:
        say(f"scoring {folder.path.name}")
        row, of_images = score_run(bench, folder)
        rows.append(row)
        errors.setdefault(row["name"], []).append(of_images)
        specs[row["name"]] = folder.config().plan(bench.splits.image_shape)
    results = _results(bench, rows)
    results["trained_with"] = _trained_with(folders)
    results["architectures"] = [architecture_row(spec) for spec in specs.values()]
    stacked = {name: np.stack(parts) for name, parts in errors.items()}
    return Scored(results, stacked, specs, folders, bench)


def _trained_with(folders: list[RunFolder]) -> list[dict[str, Any]]:
    """Return each different setting in which the runs were trained."""
    found = []
    for folder in folders:
        if not folder.environment_path.exists():
            continue
        record = read_json(folder.environment_path)
        setting = {
            key: record.get(key)
            for key in (
                "backend",
                "device",
                "threads",
                "hardware",
                "commit",
                "versions",
            )
        }
        if setting not in found:
            found.append(setting)
    return found


def reproduce(
    configs: list[RunConfig],
    out: Path,
    *,
    jobs: int | None = None,
    data_dir: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Carry the whole study through and return its results; resumable.

    Trains what is missing in `out/runs`, scores all, decides the claims, and writes
    `results.json`, the best model of each kind, the figures and the report to `out`.

    Raises:
        KerasDAEError: a run failed; says which, and why.
    """
    done = sweep(
        configs,
        out / "runs",
        jobs=jobs,
        data_dir=data_dir,
        device=device,
        threads=threads,
    )
    failed = [job for job in done if job.state == "failed"]
    if failed:
        raise KerasDAEError(_failures(failed))
    (scored,) = evaluate([job.folder for job in done], data_dir, say)
    results = dict(scored.results)
    results["claims"] = decide(
        paper_pairs(list(scored.specs.values())), scored.errors, scored.specs
    )
    results["command"] = " ".join(["keras-dae", *sys.argv[1:]])
    write_json(out / "results.json", results)
    say("drawing the figures")
    best = best_runs(scored)
    for name, folder in best.items():
        save_model(load_model(folder.model_path), out / "models" / f"{name}.keras")
    drawn = draw(scored, best)
    _write_figures(drawn, out / "figures")
    write_text(out / "report.md", report_markdown(results, drawn))
    write_text(out / "report.html", report_html(results, drawn))
    return results


def _failures(failed: list[Job]) -> str:
    reasons = "; ".join(f"{job.name} ({last_line(job)})" for job in failed)
    return f"{len(failed)} runs failed, the others are kept: {reasons}"


def best_runs(scored: Scored) -> dict[str, RunFolder]:
    """Return each model's run with the lowest final validation loss."""
    best: dict[str, tuple[float, RunFolder]] = {}
    for row, folder in zip(scored.results["models"], scored.folders, strict=True):
        candidate = (row["val_loss"], folder)
        if row["name"] not in best or candidate[0] < best[row["name"]][0]:
            best[row["name"]] = candidate
    return {name: folder for name, (_, folder) in best.items()}


def stages(model: Any, clean: np.ndarray, noisy: np.ndarray) -> figures.Stages:
    """Return one image at each stage of `model`: clean, noisy, latent, denoised."""
    latent = encoder(model).predict(noisy[np.newaxis], verbose=0)
    denoised = decoder(model).predict(latent, verbose=0)
    return figures.Stages(clean, noisy, np.asarray(latent)[0], np.asarray(denoised)[0])


def shown_images(splits: Splits, count: int = SHOWN) -> np.ndarray:
    """Return the test images that figures show: the first of different classes."""
    labels = splits.labels.get("test")
    if labels is None:
        return np.arange(min(count, len(splits.test)))
    firsts = [int(np.argmax(labels == label)) for label in np.unique(labels)]
    return np.array(firsts[:count])


def draw(scored: Scored, best: dict[str, RunFolder]) -> dict[str, tuple[str, bytes]]:
    """Return figures 1 to 7 of the paper: file name -> (caption, PNG bytes).

    Args:
        scored: an evaluation of runs of one data set.
        best: each model's run to show, of `best_runs`.
    """
    rows = scored.results["models"]
    noisy, clean = scored.bench.pairs
    shown = shown_images(scored.bench.splits)
    lowest = min(rows, key=lambda row: row["val_loss"])["name"]
    models = {name: load_model(folder.model_path) for name, folder in best.items()}
    denoised = {
        name: model_denoiser(model)(noisy[shown]) for name, model in models.items()
    }
    spec = scored.specs[lowest]
    parts = stages(models[lowest], clean[shown[-1]], noisy[shown[-1]])
    runs = [
        {**row, "history": folder.history()}
        for row, folder in zip(rows, scored.folders, strict=True)
    ]
    floors = scored.results["floors"]
    several = shown_images(scored.bench.splits, 10)
    drawn = {
        "figure1-scheme": figures.scheme(spec, parts),
        "figure2-pipeline": figures.pipeline(spec, parts),
        "figure3-samples": figures.samples(clean[several], noisy[several]),
        "figure4-reconstruction": figures.reconstruction(
            clean[shown], noisy[shown], denoised[lowest], lowest
        ),
        "figure5-losses": figures.losses(runs),
        "figure6-test-loss": figures.test_loss(rows, floors),
        "figure7-all-models": figures.all_models(clean[shown], noisy[shown], denoised),
    }
    return {
        f"{name}.png": (
            FIGURE_CAPTIONS[name].format(name=lowest),
            figures.png_bytes(one),
        )
        for name, one in drawn.items()
    }


FIGURE_CAPTIONS = {
    "figure1-scheme": "Figure 1. The autoencoder {name}, layer by layer, with a test "
    "image on its way through.",
    "figure2-pipeline": "Figure 2. The denoising pipeline of {name}: what is added, "
    "what is kept in the latent maps, what comes out.",
    "figure3-samples": "Figure 3. Test images before and after the noise.",
    "figure4-reconstruction": "Figure 4. Truth, noisy input, answer of {name}, and "
    "its error.",
    "figure5-losses": "Figure 5. Training and validation loss, one panel a depth.",
    "figure6-test-loss": "Figure 6. Test loss of every model beside the floors.",
    "figure7-all-models": "Figure 7. The same noisy test images denoised by every "
    "model.",
}


def plot(
    folders: Iterable[RunFolder],
    out: Path,
    data_dir: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Draw figures 1 to 7 from saved runs into `out` and return the files' paths.

    Raises:
        UsageError: the runs are of several data sets or noises.
    """
    scored = evaluate(folders, data_dir, say)
    if len(scored) > 1:
        names = ", ".join(sorted({one.results["dataset"]["name"] for one in scored}))
        raise UsageError(
            "Figures compare runs of one data set and one noise; name the runs to "
            f"draw. Received: {len(scored)} kinds, on {names}."
        )
    drawn = draw(scored[0], best_runs(scored[0]))
    _write_figures(drawn, out)
    return [out / name for name in drawn]


def _write_figures(drawn: dict[str, tuple[str, bytes]], out: Path) -> None:
    for name, (_, png) in drawn.items():
        with replacing(out / name) as temporary:
            temporary.write_bytes(png)
