"""Fill keras_dae/presets from a study: its nine models, and a card for each.

    python -m benchmarks.pack_pretrained artifacts/paper

A card says what a model was trained on, what it was measured to do and where it ends.
Its figures on mnist5k come from the packed file itself, so that anyone can measure
them again without a network.
"""

import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import keras_dae
from keras_dae.evaluation.scoring import TestBench, load_for, score_model
from keras_dae.images.estimates import measure_ranges
from keras_dae.images.noise_words import parse_noise
from keras_dae.system.own import PRESETS
from keras_dae.system.storage import read_json, replacing, write_json

MAX_BYTES = 3_000_000
LICENCE = (
    "Model: MIT. Trained on MNIST by Y. LeCun and C. Cortes, CC BY-SA 3.0: "
    "handwritten digits."
)
LIMITS = (
    "Sees 28x28 pixels, white digits on black, one channel. On anything else, "
    "photographs above all, it draws strokes where it finds edges."
)
# What estimates are taken of: as many noisy images as give steady percentiles.
LOOKED_AT = 500

# All 1,000 digits are of MNIST's training set; 788 were trained on and 212 validated
# on, by the split of data seed 0. They check the file and do not judge the model.
FAMILIAR = "mnist5k, 788 of 1,000 digits trained on"


def main(study: Path) -> int:
    """Pack each model of `study`; print a line for each and the size of all."""
    results = read_json(study / "results.json")
    bench = TestBench(keras_dae.load_data("mnist5k"), _noise(results), 0)
    ranges = measure_ranges(bench.pairs[0][:LOOKED_AT])
    cards = {}
    for path in sorted((study / "models").glob("*.keras")):
        packed = PRESETS / path.name
        pack(path, packed)
        cards[path.stem] = card(packed, results, bench, ranges)
        figures = cards[path.stem]["figures"]
        print(path.stem, *(f"{k}: MSE {v['mse']:.5f}" for k, v in figures.items()))
    held = read_json(PRESETS / "cards.json")["models"]
    write_json(PRESETS / "cards.json", {"models": {**held, **cards}})
    total = sum((PRESETS / f"{name}.keras").stat().st_size for name in cards)
    print(f"{len(cards)} models, {total:,} bytes of {MAX_BYTES:,} allowed")
    return 0 if cards and total < MAX_BYTES else 1


def pack(source: Path, target: Path) -> None:
    """Copy a `.keras` file, compressed; the same bytes whenever it is done."""
    with (
        zipfile.ZipFile(source) as given,
        replacing(target) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made,
    ):
        for name in given.namelist():
            made.writestr(
                zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)),
                given.read(name),
                zipfile.ZIP_DEFLATED,
                9,
            )


def _noise(results: dict[str, Any]) -> Any:
    noise = results["noise"]
    return parse_noise(noise["kind"], sigma=noise["sigma"], clip=noise["clip"])


def card(
    path: Path, results: dict[str, Any], bench: TestBench, ranges: dict[str, Any]
) -> dict[str, Any]:
    """Return what is to be known of a packed model."""
    rows = [row for row in results["models"] if row["name"] == path.stem]
    # The study keeps each model's run of the lowest validation error.
    row = min(rows, key=lambda row: row["val_loss"])
    scored, _ = score_model(bench, load_for(bench.splits, path))
    data = results["dataset"]
    noisy_mse = float(np.mean(np.square(bench.pairs[0] - bench.pairs[1]), dtype=float))
    return {
        "data": data["name"],
        "data_sha256": data["sha256"],
        "images": {"train": data["train"], "validation": data["validation"]},
        "image_shape": list(bench.splits.image_shape),
        "noise": {k: v for k, v in results["noise"].items() if k != "test_sha256"},
        "epochs": row["epochs"],
        "seed": row["seed"],
        "backend": results["backend"],
        "parameters": scored["parameters"],
        "input": ranges,
        "figures": {
            f"{data['name']} test": {"images": data["test"], **_test(row["test"])},
            FAMILIAR: {
                "images": len(bench.splits.test),
                "noisy_mse": noisy_mse,
                **_test(scored["test"]),
            },
        },
        "limits": LIMITS,
        "licence": LICENCE,
    }


def _test(test: dict[str, Any]) -> dict[str, float]:
    return {key: test[key] for key in ("mse", "psnr", "ssim")}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
