"""Draw the test errors of the three families of models, at depths 3 and 5.

    python -m benchmarks.draw_families artifacts/paper

Reads `results.json` of the study and of its folders equal-parameters and equal-macs.
Writes `figures/families.png` and the report of the study.
"""

import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from keras_dae.study.nine.figures import families, save_png
from keras_dae.study.report.publish import write_report
from keras_dae.system.storage import read_json

STUDIES = {
    "the nine models": ".",
    "equal parameters": "equal-parameters",
    "equal multiply-adds": "equal-macs",
}


def draw(paper: Path) -> Figure:
    """Return the figure of a study with both balanced families."""
    return families({title: _rows(paper / name) for title, name in STUDIES.items()})


def _rows(folder: Path) -> list[dict[str, Any]]:
    rows = read_json(folder / "results.json")["models"]
    return [row for row in rows if row["depth"] > 1]


def main() -> None:
    """Write the figure and the report."""
    paper = Path(sys.argv[1])
    save_png(draw(paper), paper / "figures" / "families.png")
    write_report(paper)


if __name__ == "__main__":
    main()
