"""The study: the only module that joins the stages, from data to report."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import UsageError
from keras_dae.evaluation.board import board as make_board
from keras_dae.evaluation.board import measure_all
from keras_dae.evaluation.claims import decide, paper_pairs
from keras_dae.evaluation.entries import brought, filters, floors
from keras_dae.evaluation.entries import runs as run_entries
from keras_dae.evaluation.scored import (
    Scored,
    best_runs,
    data_name,
    evaluate,
    table_order,
)
from keras_dae.evaluation.scoring import TestBench, model_denoiser
from keras_dae.images.datasets import Splits
from keras_dae.images.datasets import load as load_data
from keras_dae.models.builders import decoder, encoder
from keras_dae.models.files import load as load_model
from keras_dae.models.files import save as save_model
from keras_dae.reporting import figures, future
from keras_dae.reporting.board import (
    board_figure,
    board_table,
    notes,
    thumbnails,
)
from keras_dae.reporting.intervals import comparisons
from keras_dae.reporting.report import report_html, report_markdown
from keras_dae.storage import read_json, replacing, write_json, write_text
from keras_dae.training.config import RunConfig, make_config
from keras_dae.training.jobs import check_done
from keras_dae.training.runs import RunFolder
from keras_dae.training.sweep import sweep

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
    check_done(done)
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
    drawn.update(_decided(scored, results["claims"], out))
    _write_figures(drawn, out / "figures")
    _write_report(out, results, drawn)
    return results


def _write_report(
    out: Path, results: dict[str, Any], drawn: dict[str, tuple[str, bytes]]
) -> None:
    """Write the report, with the board where there is one of the same test images."""
    path = out / "board.json"
    board = read_json(path) if path.is_file() else None
    if board and board["noise"] == results["noise"]:
        results = {**results, "board": (notes(board), board_table(board))}
        drawn = {**drawn, **_read_figures(out, BOARD_CAPTIONS)}
    further = future.sections(*further_results(out))
    write_text(out / "report.md", report_markdown(results, drawn, sections=further))
    write_text(out / "report.html", report_html(results, drawn, sections=further))


def _read_figures(out: Path, captions: dict[str, str]) -> dict[str, tuple[str, bytes]]:
    """Return the figures that a study's folder holds: file name -> (caption, PNG)."""
    paths = {name: out / "figures" / f"{name}.png" for name in captions}
    return {
        path.name: (captions[name], path.read_bytes())
        for name, path in paths.items()
        if path.is_file()
    }


def _decided(
    scored: Scored, claims: list[dict[str, Any]], out: Path
) -> dict[str, tuple[str, bytes]]:
    """Write `claims.json`; return the figure of the claims, if there are any."""
    kept = ("dataset", "noise", "hardware", "backend", "architectures")
    seeds = sorted({row["seed"] for row in scored.results["models"]})
    record = {key: scored.results[key] for key in kept}
    write_json(out / "claims.json", {**record, "seeds": seeds, "claims": claims})
    if not claims:
        return {}
    drawn = figures.png_bytes(comparisons(claims))
    return {"claims.png": (CLAIMS_CAPTION, drawn)}


def further_results(out: Path) -> tuple[dict[str, dict[str, Any]], dict[str, bytes]]:
    """Return the results and figures that later experiments have left in a study."""
    found = {
        stem: read_json(out / f"{stem}.json")
        for stem in future.WRITERS
        if (out / f"{stem}.json").is_file()
    }
    names = [f"{name}.png" for stem in found for name in future.CAPTIONS[stem]]
    paths = {name: out / "figures" / name for name in names}
    return found, {n: path.read_bytes() for n, path in paths.items() if path.is_file()}


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
    shown = shown_images(scored.bench.splits)
    noisy, clean = scored.bench.take(shown)
    lowest = min(rows, key=lambda row: row["val_loss"])["name"]
    models = {name: load_model(folder.model_path) for name, folder in best.items()}
    denoised = {name: model_denoiser(model)(noisy) for name, model in models.items()}
    spec = scored.specs[lowest]
    parts = stages(models[lowest], clean[-1], noisy[-1])
    runs = [
        {**row, "history": folder.history()}
        for row, folder in zip(rows, scored.folders, strict=True)
    ]
    floors = scored.results["floors"]
    samples = scored.bench.take(shown_images(scored.bench.splits, 10))
    drawn = {
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
    return {
        f"{name}.png": (
            FIGURE_CAPTIONS[name].format(name=lowest),
            figures.png_bytes(one),
        )
        for name, one in drawn.items()
    }


CLAIMS_CAPTION = (
    "The claims, comparison by comparison: the difference that a claim says is above "
    "0, with its 95 % interval over seeds and test images."
)
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


BOARD_CAPTIONS = {
    "board": "The board. Test error of every denoiser on the same noisy images; the "
    "lines are standard deviations over seeds.",
    "board-images": "The same noisy test images answered by every denoiser of the "
    "board, the lowest test error first.",
}


def compare(
    folders: Iterable[RunFolder],
    denoisers: Iterable[str],
    out: Path,
    config: RunConfig | None = None,
    *,
    data_dir: Path | None = None,
    fresh: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measure floors, filters, runs and a user's denoisers; return the board.

    Writes `board.json` and its two figures to `out`, and the report anew where the
    folder holds a study of the same test images. Each measurement is kept in
    `out/board-kept` as soon as it is made, and is made once.

    Args:
        folders: runs; those of other data or noise are left out.
        denoisers: `.keras` and `.onnx` files, and callables as MODULE:FUNCTION.
        out: the study's folder.
        config: names data set and noise; None takes those of the first run.
        data_dir: folder of the data sets' files.
        fresh: measure again what is there.
        say: told what is left out, a line at a time.

    Raises:
        KerasDAEError: a denoiser cannot be read, or misbehaves; says which.
    """
    folders = sorted(folders, key=table_order)
    bench, folders = _bench(folders, config, data_dir, say)
    entries = [
        *brought(bench, denoisers),
        *run_entries(bench, folders),
        *floors(bench),
        *filters(bench, say),
    ]
    shown = shown_images(bench.splits)
    measured = measure_all(bench, entries, out / "board-kept", shown, fresh=fresh)
    board = make_board(bench, measured, say)
    board["command"] = " ".join(["keras-dae", *sys.argv[1:]])
    write_json(out / "board.json", board)
    noisy, clean = (part[shown] for part in bench.pairs)
    answers = {(one.entry.kind, one.entry.name): one.answers for one in measured}
    lines = [
        (row["name"], row["kind"], answers[row["kind"], row["name"]] / np.float32(255))
        for row in board["rows"]
    ]
    drawn = {
        "board": board_figure(board),
        "board-images": thumbnails(clean, noisy, lines),
    }
    for name, figure in drawn.items():
        figures.save_png(figure, out / "figures" / f"{name}.png")
    _renew_report(out, say)
    return board


def _bench(
    folders: list[RunFolder],
    config: RunConfig | None,
    data_dir: Path | None,
    say: Callable[[str], None],
) -> tuple[TestBench, list[RunFolder]]:
    """Return the test images to compare on, and the runs that were made for them."""
    if config is None and folders:
        first = folders[0]
        config = first.config().model_copy(update={"data": data_name(first)})
    config = config or make_config()
    splits = load_data(config.data, data_dir, config.data_seed)
    bench = TestBench(splits, config.make_noise(), config.data_seed)
    wanted = (splits.name, bench.noise, bench.seed)
    kept = []
    for folder in folders:
        own = folder.config()
        if (data_name(folder), own.make_noise(), own.data_seed) != wanted:
            say(f"{folder.path} was made for other data or noise; left out.")
        elif not folder.model_path.exists():
            say(f"{folder.path} has no finished epoch yet; left out.")
        else:
            kept.append(folder)
    return bench, kept


def _renew_report(out: Path, say: Callable[[str], None]) -> None:
    """Write the report of a study anew, so that the board stands in it."""
    if not (out / "results.json").is_file():
        return
    results = read_json(out / "results.json")
    lowest = min(results["models"], key=lambda row: row["val_loss"])["name"]
    captions = {
        name: caption.format(name=lowest) for name, caption in FIGURE_CAPTIONS.items()
    }
    if read_json(out / "board.json")["noise"] != results["noise"]:
        say(f"{out / 'results.json'} is of other test images; its report stays.")
        return
    _write_report(out, results, _read_figures(out, captions))


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
    daes = [folder for folder in folders if folder.config().model == "dae"]
    scored = evaluate(daes, data_dir, say)
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
