"""The whole study, from data to report."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from keras_dae.errors import UsageError, check
from keras_dae.evaluation.engines import halves, model_denoiser
from keras_dae.evaluation.scoring import TestBench, finished_epochs, saved_loss
from keras_dae.evaluation.walled import open_model
from keras_dae.images.datasets import Splits, load
from keras_dae.images.noise import Gaussian
from keras_dae.models.files import load as load_model
from keras_dae.models.files import save as save_model
from keras_dae.study.nine import figures
from keras_dae.study.nine.claims import close_models, decide, paper_pairs
from keras_dae.study.nine.intervals import comparisons
from keras_dae.study.nine.measure import (
    Scored,
    best_runs,
    evaluate,
    setting_of,
    write_errors,
)
from keras_dae.study.report.publish import command, remove_figures, write_report
from keras_dae.system.inside import named
from keras_dae.system.locks import held
from keras_dae.system.storage import write_json
from keras_dae.training.config import RunConfig
from keras_dae.training.duration import duration_words
from keras_dae.training.jobs import Job, check_done
from keras_dae.training.runs import RunFolder, model_name
from keras_dae.training.sweep import sweep

SHOWN = 6


def reproduce(
    configs: list[RunConfig],
    out: Path,
    *,
    close_seeds: int | None = None,
    data_dir: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
    **machine: Any,
) -> dict[str, Any]:
    """Run the whole study and return its results; it can be resumed.

    Trains what is missing in `out/runs`, scores all runs, decides the claims, and
    writes `results.json`, `errors.npz`, the best model of each kind, the figures and
    the report to `out`.

    Args:
        configs: the runs; for each model, the seeds are counted from 0.
        out: folder of the study.
        close_seeds: number of seeds for models whose mean validation losses are close
            to each other (`claims.close_models`); None for no more than `configs` has.
        data_dir: folder with the files of the data set.
        say: called with a line about the current step.
        **machine: the other arguments of `training.sweep.sweep`.

    Raises:
        KerasDAEError: a run failed, or another process works on this study.
    """
    _check_loss(configs)
    _check_alike([setting_of(config, config.data) for config in configs])

    def trained(configs: list[RunConfig]) -> list[Job]:
        jobs = sweep(configs, out / "runs", data_dir=data_dir, **machine)
        check_done(jobs)
        return jobs

    with held(out, "The study"):
        done = trained(configs)
        if close_seeds and (more := _more_seeds(done, close_seeds)):
            names = ", ".join(dict.fromkeys(model_name(config) for config in more))
            say(f"{len(more)} more runs, because validation losses are close: {names}")
            one = more[0]
            splits = load(one.data, data_dir, one.data_seed, cut=one.make_cut())
            if words := duration_words(more, splits, out / "runs", machine.get("jobs")):
                say(words)
            done += trained(more)
        (scored,) = evaluate([job.folder for job in done], data_dir, say, affine=True)
        return _conclude(scored, out, say)


def _more_seeds(done: list[Job], seeds: int) -> list[RunConfig]:
    """Return the configurations of models with close losses up to this many seeds."""
    losses: dict[tuple[int, int], list[float]] = {}
    for job in done:
        key = job.config.depth, job.config.latent
        losses.setdefault(key, []).append(
            saved_loss(job.config, finished_epochs(job.folder))
        )
    close = close_models({key: mean(found) for key, found in losses.items()})
    return [
        job.config.model_copy(update={"seed": seed})
        for seed in range(seeds)
        for job in done
        if (key := (job.config.depth, job.config.latent)) in close
        and job.config.seed == 0
        and seed >= len(losses[key])
    ]


def _conclude(scored: Scored, out: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Decide the claims; write results, models, figures, report; return results."""
    results = dict(scored.results)
    results["claims"] = decide(
        paper_pairs(list(scored.specs.values())), scored.errors, scored.specs
    )
    results["command"] = command()
    write_json(out / "results.json", results)
    write_errors(out / "errors.npz", [scored])
    say("drawing the figures")
    best = best_runs(scored)
    for name, folder in best.items():
        save_model(load_model(folder.model_path), out / "models" / f"{name}.keras")
    drawn = draw(scored, best)
    if results["claims"]:
        drawn["claims"] = comparisons(results["claims"])
    remove_figures(out, {"claims"} - drawn.keys())
    write_figures(drawn, out / "figures")
    _write_claims(scored, results["claims"], out)
    write_report(out)
    return results


def _write_claims(scored: Scored, claims: list[dict[str, Any]], out: Path) -> None:
    """Write `claims.json`: the verdicts and their setting."""
    kept = ("dataset", "noise", "test_draws", "hardware", "backend", "architectures")
    rows = scored.results["models"]
    record = {key: scored.results[key] for key in kept}
    record["seeds"] = sorted({row["seed"] for row in rows})
    record["epochs"] = max(row["epochs"] for row in rows)
    write_json(out / "claims.json", {**record, "claims": claims})


def stages(
    model: Any,
    clean: np.ndarray,
    noisy: np.ndarray,
    unclipped: np.ndarray | None = None,
) -> figures.Stages:
    """Return one image at each stage of `model`: clean, noisy, latent, denoised."""
    encode, decode = halves(model)
    latent = encode(noisy[np.newaxis])
    return figures.Stages(clean, noisy, latent[0], decode(latent)[0], unclipped)


def unclipped_image(bench: TestBench, index: int) -> np.ndarray | None:
    """Return a noisy test image before it is clipped, None if it is not clipped."""
    if not isinstance(bench.noise, Gaussian) or not bench.noise.clip:
        return None
    drawn = replace(bench, noise=replace(bench.noise, clip=False))
    noisy, _ = drawn.take(np.array([index]))
    return np.asarray(noisy[0])


def shown_images(splits: Splits, count: int = SHOWN) -> np.ndarray:
    """Return the test images for figures: the first ones of different classes."""
    labels = splits.labels.get("test")
    if labels is None:
        return np.arange(min(count, len(splits.test)))
    firsts = [int(np.argmax(labels == label)) for label in np.unique(labels)]
    return np.array(firsts[:count])


def draw(scored: Scored, best: dict[str, RunFolder]) -> dict[str, Figure]:
    """Return figures 1 to 7 of the paper, by file name.

    Args:
        scored: an evaluation of runs with the same data set.
        best: the run to show for each model, from `best_runs`.
    """
    rows = scored.results["models"]
    shown = shown_images(scored.bench.splits)
    noisy, clean = scored.bench.take(shown)
    lowest = min(rows, key=lambda row: row["val_loss"])["name"]
    models = {name: open_model(folder.model_path) for name, folder in best.items()}
    denoised = {name: model_denoiser(model)(noisy) for name, model in models.items()}
    spec = scored.specs[lowest]
    before = unclipped_image(scored.bench, int(shown[-1]))
    parts = stages(models[lowest], clean[-1], noisy[-1], before)
    runs = [
        {**row, "history": folder.history()}
        for row, folder in zip(rows, scored.folders, strict=True)
    ]
    floors = scored.results["floors"]
    samples = scored.bench.take(shown_images(scored.bench.splits, 10))
    return {
        "figure1-scheme": figures.scheme(spec, parts),
        "figure2-pipeline": figures.pipeline(spec, parts),
        "figure3-samples": figures.samples(samples[1], samples[0]),
        "figure4-reconstruction": figures.reconstruction(
            clean, noisy, denoised[lowest], lowest
        ),
        "figure5-losses": figures.losses(runs),
        "figure6-test-loss": figures.test_loss(rows, floors),
        "figure7-all-models": figures.all_models(clean, noisy, denoised),
    }


def _check_loss(configs: Iterable[RunConfig]) -> None:
    """Refuse losses in decibels, since the figures compare losses as MSE."""
    for config in configs:
        check(
            config.loss == "mse",
            "The figures and claims compare models of --loss mse.",
            loss=config.loss,
        )


def _check_alike(settings: Iterable[dict[str, Any]]) -> None:
    """Refuse runs that cannot be compared, since their settings differ."""
    first, *others = settings
    for key, value in first.items():
        different = [other[key] for other in others if other[key] != value]
        check(
            not different,
            f"A study compares runs with the same {key.replace('_', ' ')}.",
            **{key: [value, *different[:1]]},
        )


def plot(
    folders: Iterable[RunFolder],
    out: Path,
    data_dir: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Draw figures 1 to 7 from saved runs to `out` and return the paths of the files.

    Raises:
        UsageError: the runs differ in data set or noise.
    """
    named(out)
    folders = list(folders)
    daes = []
    for folder in folders:
        if folder.config().model == "dae":
            daes.append(folder)
        else:
            say(f"{folder.path} is not of --model dae; skipped.")
    if not daes:
        raise UsageError("The figures show runs of --model dae, and there is none.")
    _check_loss(folder.config() for folder in daes)
    _check_alike([setting_of(folder.config(), folder.data) for folder in daes])
    scored = evaluate(daes, data_dir, say, affine=True)
    models = {(row["depth"], row["latent"]) for row in scored[0].results["models"]}
    if len(models) < len(scored[0].specs):
        raise UsageError(
            "Figures show one configuration of each model. Give the runs to draw. "
            f"Received: {', '.join(scored[0].specs)}."
        )
    with held(out, "The folder of figures", wait=float("inf"), tell=say):
        return write_figures(draw(scored[0], best_runs(scored[0])), out)


def write_figures(drawn: dict[str, Figure], out: Path) -> list[Path]:
    """Save figures as PNG files and return their paths."""
    paths = [out / f"{name}.png" for name in drawn]
    for path, figure in zip(paths, drawn.values(), strict=True):
        figures.save_png(figure, path)
    return paths
