"""Quality for time: what a recipe reaches, and what it costs, beside the paper's.

    python -m benchmarks.quality --study artifacts/fast --peer artifacts/paper

Takes test errors and histories from both studies (`cli.py reproduce`), of the seeds
that both hold. Core-seconds of an epoch, validation included, are measured here: one of
each recipe at depth 1, a tenth of one at others, in turn, one thread, each in a process
of its own; those of a run are as many epochs. Writes `quality.json` and `quality.md`
into the study.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.alternate import compare
from benchmarks.training import digits
from keras_dae.evaluation.scoring import first_draw
from keras_dae.models.architectures import paper_specs
from keras_dae.system import backend
from keras_dae.system.storage import read_json, write_json, write_text
from keras_dae.training.config import RunConfig
from keras_dae.training.runs import RunFolder, find_runs

TRAIN, VALIDATION, PART = 48_000, 12_000, 10
NEAR = 1.05  # of the peer's last validation loss
PAGE = """# Quality for time

By `python -m benchmarks.quality --study {study} --peer {peer}`: the recipe of the study
beside the peer's, seeds {seeds} of each, one thread of {hardware}, {versions}. Test
MSE: 10,000 images, sigma 0.5 clipped, mean over seeds. Core-seconds: those of an epoch,
validation included, of both recipes in turn, times the epochs; their ratio is the
median of three rounds. To within {near} %: until the validation MSE is first within
{near} % of the peer's last one, median over seeds.

{rows}
"""


def epoch(config: RunConfig, **others: RunConfig) -> Callable[[], float]:
    """Return a call that does a part of an epoch: core-seconds of a whole one."""
    from keras_dae.images.pairs import NoisyCleanPairs
    from keras_dae.models.builders import build
    from keras_dae.training.loop import (
        AT_ONCE,
        VALIDATION_BATCH,
        batches_at_once,
        use_fast_steps,
    )
    from keras_dae.training.optimizers import make_optimizer

    # What a call of `fit` does once would count ten times beside steps of 2 ms.
    part = 1 if config.depth == 1 else PART
    images = digits(TRAIN // part)
    validated = config.validation_images or VALIDATION
    held_out = (digits(validated // part).astype("float32") / 255,) * 2
    pairs = NoisyCleanPairs(
        images,
        config.make_noise(),
        batch_size=config.batch_size,
        seed=config.seed,
        prefetch=True,
    )
    spec = config.plan((28, 28, 1))
    model = build(spec, seed=config.seed)
    model.compile(make_optimizer(config, pairs.batches), loss="mse")
    lean = use_fast_steps(model, config.precision, config.batch_size)
    pairs.at_once = batches_at_once(spec.macs * config.batch_size, lean)

    def run() -> float:
        began = time.process_time()
        model.fit(
            pairs,
            validation_data=held_out,
            validation_batch_size=VALIDATION_BATCH * (AT_ONCE if lean else 1),
            shuffle=False,
            verbose=0,
        )
        return part * (time.process_time() - began)

    return run


def peer_epoch(config: RunConfig, peer: RunConfig) -> Callable[[], float]:
    """Return the same of the other recipe."""
    return epoch(peer)


def epochs_to(history: dict[str, list[float]], loss: float) -> int | None:
    """Return the epochs until the validation loss is first at most `loss`."""
    reached = (n for n, value in enumerate(history["val_loss"], 1) if value <= loss)
    return next(reached, None)


def quality(name: str, ours: list[RunFolder], peer: list[RunFolder]) -> dict[str, Any]:
    """Compare the training time of both recipes for one model, over common seeds."""
    one, other = ours[0].config(), peer[0].config()
    cost = compare(
        *("quality", name, epoch, peer_epoch),
        arguments={"config": one, "peer": other},
        threads=1,
        rounds=3,
    )
    near = []
    for fast, slow in zip(ours, peer, strict=True):
        loss = NEAR * slow.history()["val_loss"][-1]
        near.append((epochs_to(fast.history(), loss), epochs_to(slow.history(), loss)))
    scale = one.epochs / other.epochs
    return {
        "model": name,
        "seeds": [run.config().seed for run in ours],
        "epochs": [one.epochs, other.epochs],
        "core_seconds": [cost["ours"] * one.epochs, cost["peer"] * other.epochs],
        "ratio": cost["ratio"] * scale,
        "low": cost["low"] * scale,
        "high": cost["high"] * scale,
        "core_seconds_an_epoch": [cost["ours"], cost["peer"]],
        "epochs_to_near": near,
    }


def runs_of(study: Path) -> dict[tuple[str, int], RunFolder]:
    """Return (model, seed) -> run."""
    runs = find_runs(study / "runs")
    return {(run.record()["model"], run.config().seed): run for run in runs}


def errors_of(study: Path) -> dict[tuple[str, int], float]:
    """Return (model, seed) -> mean test MSE on the first draw of the test noise."""
    rows = read_json(study / "results.json")["models"]
    return {(row["name"], row["seed"]): first_draw(row) for row in rows}


HEADS = (
    *("model", "test MSE", "peer's", "epochs", "peer's", "core-s", "peer's", "ratio"),
    *("quartiles", "core-s to within 5 %", "peer's"),
)


def cells(row: dict[str, Any]) -> list[str]:
    """Return what a table says of one model, in the order of `HEADS`."""
    mse, other = row["test_mse"]
    seconds, others = row["core_seconds"]
    near = [
        f"{statistics.median(epochs) * cost:.0f}" if all(epochs) else "not reached"
        for epochs, cost in zip(
            zip(*row["epochs_to_near"], strict=True),
            row["core_seconds_an_epoch"],
            strict=True,
        )
    ]
    return [
        *(row["model"], f"{mse:.5f}", f"{other:.5f}", *map(str, row["epochs"])),
        *(f"{seconds:.0f}", f"{others:.0f}", f"{row['ratio']:.3f}"),
        *(f"{row['low']:.3f} to {row['high']:.3f}", *near),
    ]


def table(rows: list[dict[str, Any]]) -> Table:
    """Return the rows as a table."""
    shown = Table(title="quality for time: the study's recipe, the peer's")
    for head in HEADS:
        shown.add_column(head, justify="left" if head == "model" else "right")
    for row in rows:
        shown.add_row(*cells(row))
    return shown


def page(found: dict[str, Any], study: Path, peer: Path) -> str:
    """Return what was measured as a Markdown page."""
    lines = [HEADS, ["---"] + ["---:"] * (len(HEADS) - 1), *map(cells, found["rows"])]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    seeds = sorted({seed for row in found["rows"] for seed in row["seeds"]})
    return PAGE.format(
        study=study,
        peer=peer,
        rows=rows,
        near=round(100 * (NEAR - 1)),
        hardware=found["hardware"],
        versions=found["versions"],
        seeds=", ".join(map(str, seeds)),
    )


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", type=Path, default=Path("artifacts/fast"))
    parser.add_argument("--peer", type=Path, default=Path("artifacts/paper"))
    options = parser.parse_args()
    backend.set_default_backend()
    ours, peers = runs_of(options.study), runs_of(options.peer)
    errors, peer_errors = errors_of(options.study), errors_of(options.peer)
    rows = []
    for spec in paper_specs():
        keys = sorted(key for key in ours if key[0] == spec.name and key in peers)
        if not keys:
            print(f"{spec.name}: no seed that both studies hold", flush=True)
            continue
        row = quality(spec.name, [ours[k] for k in keys], [peers[k] for k in keys])
        row["test_mse"] = [
            statistics.mean(found[key] for key in keys)
            for found in (errors, peer_errors)
        ]
        rows.append(row)
        print(f"{spec.name}: {row['ratio']:.3f} of the core-seconds", flush=True)
    Console().print(table(rows))
    about = {"hardware": backend.hardware(), "versions": backend.versions()}
    found = {"schema": 1, **about, "rows": rows}
    write_json(options.study / "quality.json", found)
    said = page(found, options.study, options.peer)
    write_text(options.study / "quality.md", said)


if __name__ == "__main__":
    main()
