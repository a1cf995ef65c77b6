"""Measure the floors of a study again: filters, corrected, and affine maps.

    python -m benchmarks.floors artifacts/paper --data-dir DIR

Floors need no trained model. Rewrites `floors` in the study's `results.json`, draws
figure 6 anew and writes the report; refuses where the noisy test images are others.
"""

import argparse
from pathlib import Path

from keras_dae.evaluation.scoring import TestBench
from keras_dae.images.datasets import load
from keras_dae.images.noise_words import as_noise
from keras_dae.study.nine import figures
from keras_dae.study.nine.references import references
from keras_dae.study.nine.run import write_figures
from keras_dae.study.report.publish import write_report
from keras_dae.system import backend
from keras_dae.system.storage import read_json, write_json


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("--data-dir", type=Path)
    given = parser.parse_args()
    backend.select("cpu", None)
    path = given.study / "results.json"
    results = read_json(path)
    splits = load(results["dataset"]["name"], given.data_dir, 0)
    draws = results.get("test_draws", 1)  # as many as the models were scored on
    bench = TestBench(splits, as_noise(results["noise"]), draws=draws)
    if bench.describe_noise()["test_sha256"] != results["noise"]["test_sha256"]:
        raise SystemExit(f"{path} is of other noisy test images.")
    results["floors"] = references(bench, affine=True)
    write_json(path, results)
    drawn = figures.test_loss(results["models"], results["floors"])
    write_figures({"figure6-test-loss": drawn}, given.study / "figures")
    write_report(given.study)
    for row in results["floors"]:
        print(f"{row['name']}: {row['test']['mse']:.5f}")


if __name__ == "__main__":
    main()
