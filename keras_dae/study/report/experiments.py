"""EXPERIMENTS: the experiments besides the nine models, one row each.

A row names the file of results in the folder of a study, the figures, and the function
that writes the section of the report. A new experiment is a folder and a row here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from keras_dae.study.bits import section as bits
from keras_dae.study.classification import section as classification
from keras_dae.study.depth_limit import section as depth_limit
from keras_dae.study.nine.intervals import family_claims, turned
from keras_dae.study.report.report import Section, Written
from keras_dae.study.robustness import section as robustness
from keras_dae.study.uncertainty import section as uncertainty
from keras_dae.study.without_clean import section as without_clean


@dataclass(frozen=True)
class Experiment:
    """One row of `EXPERIMENTS`.

    Attributes:
        file: name of the file of results in the folder of a study.
        write: content of the file -> title, sentences and tables of the section.
        figures: file name without extension -> caption, in the order of the report.
    """

    file: str
    write: Callable[[dict[str, Any]], Written]
    figures: Mapping[str, str] = field(default_factory=dict)


# In the order of the report.
EXPERIMENTS = {
    "verdicts": Experiment("verdicts.json", turned),
    "equal-parameters": Experiment(
        "equal-parameters/claims.json", partial(family_claims, equal="parameters")
    ),
    "equal-macs": Experiment(
        "equal-macs/claims.json",
        partial(family_claims, equal="multiply-adds"),
        {
            "families": "Test error at depths 3 and 5 in the three families: dots are "
            "seeds, lines connect means.",
        },
    ),
    "classification": Experiment(
        "classification.json", classification.write, classification.FIGURES
    ),
    "robustness": Experiment("robustness.json", robustness.write, robustness.FIGURES),
    "depth_limit": Experiment(
        "depth_limit.json", depth_limit.write, depth_limit.FIGURES
    ),
    "bits": Experiment("bits/bits.json", bits.write, bits.FIGURES),
    "uncertainty": Experiment(
        "uncertainty/uncertainty.json", uncertainty.write, uncertainty.FIGURES
    ),
    "without_clean": Experiment(
        "without-clean/without_clean.json", without_clean.write, without_clean.FIGURES
    ),
}


def section(name: str, found: dict[str, Any], images: Mapping[str, bytes]) -> Section:
    """Return the section of one experiment.

    Args:
        name: a row of `EXPERIMENTS`.
        found: content of its file; for claims of a family, with the claims of the study
            itself as `study`.
        images: file name -> WebP bytes, for existing figures.
    """
    row = EXPERIMENTS[name]
    title, texts, tables = row.write(found)
    figures = {
        f"{stem}.png": (caption, images[f"{stem}.png"])
        for stem, caption in row.figures.items()
        if f"{stem}.png" in images
    }
    return Section(title, texts, tables, figures)
