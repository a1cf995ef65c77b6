"""Whether the verdicts on the paper's claims turn on what the paper leaves open.

    python -m benchmarks.verdicts artifacts/paper --data-dir DIR

Decides each comparison of `claims.json` again: on test images with other noise drawn,
and by the validation loss after the last and after the best epoch. Validation noise
itself, frozen or redrawn, has no part in a test error after the last epoch; it could
only choose another best epoch. Writes `verdicts.json` and `verdicts.md` to the study.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae import backend
from keras_dae.evaluation.claims import count_verdicts, decide, paper_pairs
from keras_dae.evaluation.scoring import TestBench, model_denoiser
from keras_dae.images.datasets import load
from keras_dae.models.architectures import DAESpec
from keras_dae.storage import read_json, write_json, write_text
from keras_dae.training.runs import RunFolder, find_runs, model_name

REDRAWN = (1, 2)  # seeds of the test noise; the study's own is 0
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
    text = markdown(record)
    write_text(given.study / "verdicts.md", text)
    print(text)


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


def markdown(record: dict[str, Any]) -> str:
    """Return how many comparisons hold, by claim, and which ones turn."""
    found = record["verdicts"]
    own = {key(row): row["verdict"] for row in next(iter(found.values()))}
    lines = [
        "# Do the verdicts turn on what the paper leaves open?",
        "",
        f"Made by `python -m benchmarks.verdicts` from {record['runs']} runs on "
        f"{record['dataset']['name']}, seeds {record['seeds']}. In "
        f"{record['best_epoch_is_last']} of them the last epoch is the best by "
        "validation loss; the best one is nowhere lower by more than "
        f"{record['largest_gain_of_best_epoch']:.6f}. Cells: comparisons that hold, "
        "fail, are unclear.",
        "",
    ]
    claims = [claim for claim, _ in count_verdicts(next(iter(found.values())))]
    lines += ["| decided by | " + " | ".join(claims) + " | turned |"]
    lines += ["|---|" + "---|" * (len(claims) + 1)]
    for how, rows in found.items():
        counts = dict(count_verdicts(rows))
        cells = [", ".join(str(n) for n in counts[claim].values()) for claim in claims]
        turned = [
            f"{row['worse']} against {row['better']} {row['verdict']}"
            for row in rows
            if row["verdict"] != own[key(row)]
        ]
        lines += [f"| {how} | {' | '.join(cells)} | {'; '.join(turned) or 'none'} |"]
    return "\n".join(lines).replace("(*)", r"(\*)").replace("(**)", r"(\*\*)") + "\n"


def key(row: dict[str, Any]) -> tuple[str, str, str]:
    """Return what a comparison is of."""
    return row["claim"], row["worse"], row["better"]


if __name__ == "__main__":
    main()
