"""Whether the verdicts on the paper's claims turn on what the paper leaves open.

    python -m benchmarks.verdicts artifacts/paper --data-dir DIR

Decides each comparison of `claims.json` again: on test images with other noise drawn,
and by the validation loss after the last and after the best epoch. Validation noise
itself, frozen or redrawn, has no part in a test error after the last epoch; it could
only choose another best epoch. Writes `verdicts.json` to the study, and its report.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.evaluation.engines import model_denoiser
from keras_dae.evaluation.scoring import TEST_DRAWS, TestBench
from keras_dae.images.datasets import load
from keras_dae.models.architectures import DAESpec
from keras_dae.study.nine.claims import decide, paper_pairs
from keras_dae.study.nine.intervals import turned
from keras_dae.study.report.publish import write_report
from keras_dae.study.report.report import markdown_table
from keras_dae.system import backend
from keras_dae.system.storage import read_json, write_json
from keras_dae.training.runs import RunFolder, find_runs, model_name

# Seeds of the test noise; the study's own are those from 0 to TEST_DRAWS - 1.
REDRAWN = (TEST_DRAWS, TEST_DRAWS + 1)
Errors = dict[str, np.ndarray]


def main() -> None:
    """Decide, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--data-dir", type=Path)
    given = parser.parse_args()
    backend.select("cpu", None)
    folders = find_runs(given.study / "runs")
    committed = read_json(given.study / "claims.json")
    found: dict[str, list[dict[str, Any]]] = {"test, as drawn": committed["claims"]}
    specs: dict[str, DAESpec] = {}
    for folder in folders:
        spec = folder.config().plan((28, 28, 1))
        if isinstance(spec, DAESpec):
            specs[spec.name] = spec
    for seed in REDRAWN:
        errors = on_test(folders, seed, given.data_dir)
        found[f"test, noise drawn from seed {seed}"] = verdicts(errors, specs)
    losses = {
        name: [f.history()["val_loss"] for f in of] for name, of in groups(folders)
    }
    last = {name: np.array([[run[-1]] for run in of]) for name, of in losses.items()}
    best = {name: np.array([[min(run)] for run in of]) for name, of in losses.items()}
    found["validation loss, last epoch"] = verdicts(last, specs)
    found["validation loss, best epoch"] = verdicts(best, specs)
    record = {
        "dataset": committed["dataset"],
        "seeds": committed["seeds"],
        "hardware": backend.hardware(),
        "backend": backend.versions(),
        "best_epoch_is_last": sum(
            min(r) == r[-1] for of in losses.values() for r in of
        ),
        "runs": len(folders),
        "largest_gain_of_best_epoch": max(
            r[-1] - min(r) for of in losses.values() for r in of
        ),
        "verdicts": found,
    }
    write_json(given.study / "verdicts.json", record)
    write_report(given.study)
    _, texts, (table,) = turned(record)
    print("\n".join([*texts, markdown_table(table)]))


def groups(folders: list[RunFolder]) -> list[tuple[str, list[RunFolder]]]:
    """Return each model's name with its runs, one a seed."""
    names = list(dict.fromkeys(model_name(folder.config()) for folder in folders))
    return [
        (name, [f for f in folders if model_name(f.config()) == name]) for name in names
    ]


def on_test(folders: list[RunFolder], seed: int, data_dir: Path | None) -> Errors:
    """Return test errors (seeds, images) by model, with the noise drawn from `seed`."""
    from keras_dae.models.files import load as load_model

    config = folders[0].config()
    splits = load("mnist", data_dir, config.data_seed)
    bench = TestBench(splits, config.make_noise(), seed)
    return {
        name: np.stack(
            [bench.errors(model_denoiser(load_model(run.model_path))) for run in of]
        )
        for name, of in groups(folders)
    }


def verdicts(errors: Errors, specs: dict[str, DAESpec]) -> list[dict[str, Any]]:
    """Return a row for each comparison, as `claims.json` holds them."""
    return decide(paper_pairs(list(specs.values())), errors, specs)


if __name__ == "__main__":
    main()
