"""Check a study's results: does every model clearly denoise?

    python benchmarks/check_study.py artifacts/quick/results.json

Exits with 1 unless each of the nine is better than the best median filter on the
same noisy test images, and the best of them is under a third of that filter's MSE.
"""

import sys
from pathlib import Path

from keras_dae.system.storage import read_json


def main(path: Path) -> int:
    """Print each model's MSE as a share of the best median filter's."""
    results = read_json(path)
    medians = [
        row["test"]["mse"]
        for row in results["floors"]
        if row["name"].startswith("median")
    ]
    best_median = min(medians)
    shares = {
        f"{row['name']} seed {row['seed']}": row["test"]["mse"] / best_median
        for row in results["models"]
    }
    print(f"best median filter: MSE {best_median:.5f}")
    for name, share in shares.items():
        print(f"{name}: {share:.3f} of it")
    names = {row["name"] for row in results["models"]}
    passed = (
        len(names) == 9 and max(shares.values()) < 1 and min(shares.values()) < 1 / 3
    )
    print("passed" if passed else "FAILED")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
