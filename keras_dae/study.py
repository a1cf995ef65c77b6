"""The study: the only module that joins the stages, from data to report."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.evaluation.claims import decide, paper_pairs
from keras_dae.evaluation.scored import Scored, best_runs, evaluate
from keras_dae.evaluation.scoring import model_denoiser
from keras_dae.images.datasets import Splits
from keras_dae.models.builders import decoder, encoder
from keras_dae.models.files import load as load_model
from keras_dae.models.files import save as save_model
from keras_dae.reporting import figures
from keras_dae.reporting.report import report_html, report_markdown
from keras_dae.storage import replacing, write_json, write_text
from keras_dae.training.config import RunConfig
from keras_dae.training.runs import RunFolder
from keras_dae.training.sweep import Job, last_line, sweep

SHOWN = 6


def reproduce(
    configs: list[RunConfig],
    out: Path,
    *,
    jobs: int | None = None,
    data_dir: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    executor: str = "processes",
    address: str | None = None,
    gpus_per_run: float | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Carry the whole study through and return its results; resumable.

    Trains what is missing in `out/runs`, scores all, decides the claims, and writes
    `results.json`, the best model of each kind, the figures and the report to `out`.
    Arguments before `say` are those of `training.sweep.sweep`.

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
        executor=executor,
        address=address,
        gpus_per_run=gpus_per_run,
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
