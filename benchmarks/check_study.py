"""Check a study's results: does every model clearly denoise?

    python benchmarks/check_study.py artifacts/quick/results.json

Exits with 1 unless each of the nine is better than the best filter on the same noisy
test images, corrected for clipping, and the best of them is under 0.6 of its MSE.
"""

import sys
from pathlib import Path

from keras_dae.study.report.report import best_filter
from keras_dae.system.storage import read_json

SHARE = 0.6


def main(path: Path) -> int:
    """Print each model's MSE as a share of the best corrected filter's."""
    results = read_json(path)
    best = best_filter([row for row in results["floors"] if "correction" in row])
    if best is None:
        print("FAILED: there is no filter that is corrected for clipping")
        return 1
    height = best["test"]["mse"]
    shares = {
        f"{row['name']} seed {row['seed']}": row["test"]["mse"] / height
        for row in results["models"]
    }
    print(f"{best['name']}: MSE {height:.5f}")
    for name, share in shares.items():
        print(f"{name}: {share:.3f} of it")
    names = {row["name"] for row in results["models"]}
    passed = (
        len(names) == 9 and max(shares.values()) < 1 and min(shares.values()) < SHARE
    )
    print("passed" if passed else "FAILED")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
