"""Find models by name, file or run folder, with their cards.

A card is a JSON object that describes the training of a model: `data`, `noise`, `input`
(statistics of its noisy training images), measured `figures`, `limits` and the
`licence` of the data. The cards of pretrained models are in `presets/cards.json`. Other
`.keras` files may contain a card.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_dae.denoising.advice import usual
from keras_dae.errors import LONGEST, check
from keras_dae.images.io.pictures import RANGES
from keras_dae.images.noise_words import noise_label
from keras_dae.images.ranges import check_values, same_share
from keras_dae.models.gate import read_card
from keras_dae.system.own import PRESETS
from keras_dae.system.storage import content_errors, read_json
from keras_dae.training.runs import RunFolder, find_model_file

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Trained:
    """The file of a model, and its card.

    Attributes:
        name: the name of the model.
        path: its `.keras` file.
        card: the card of the model; empty if it has none.
    """

    name: str
    path: Path
    card: dict[str, Any]


def pretrained_cards() -> dict[str, dict[str, Any]]:
    """Return the cards of the pretrained models, by name."""
    models: dict[str, dict[str, Any]] = read_json(PRESETS.resolve() / "cards.json")[
        "models"
    ]
    return models


def list_presets() -> dict[str, str]:
    """Return the pretrained models: name -> data and noise.

    Example:
        >>> list_presets()["DAE_5_13"]
        'mnist, gaussian, sigma 0.5, clipped'
    """
    return {
        name: f"{card['data']}, {noise_label(card['noise'])}"
        for name, card in pretrained_cards().items()
    }


def find_model(named: str | Path) -> Trained:
    """Find the model that `named` refers to.

    Args:
        named: a pretrained model (`DAE_5_13`), a `.keras` file or a run folder.

    Raises:
        UsageError: there is no such model, or the folder contains several runs.
    """
    check(
        isinstance(named, str | Path),
        "A model is given by its name or path.",
        model=named,
    )
    path, run = find_model_file(named)
    if run is not None:
        return Trained(run.path.name, path, run_card(run))
    card = pretrained_cards().get(str(named))
    return Trained(path.stem, path, _card_of(path) if card is None else card)


def load(named: str | Path) -> "keras.Model":
    """Load a pretrained model by name, a `.keras` file or the model of a run folder.

    `load_model` takes only files. `Denoiser.from_preset` also loads the card.

    Raises:
        UsageError: there is no model of this name.
        KerasDAEError: the file is damaged or must not be loaded.

    Example:
        >>> load("DAE_5_13").output_shape
        (None, 28, 28, 1)
    """
    from keras_dae.models.files import load as load_file

    return load_file(find_model(named).path)


def card_range(
    card: dict[str, Any], dtype: np.dtype[Any]
) -> tuple[float, float] | None:
    """Return the values of `dtype` that were scaled to 0 and 1 in training.

    None if the card does not say, or if it is the range of the data type.
    """
    if not (known := card.get("values")):
        return None
    name, low, high = str(known["dtype"]), float(known["low"]), float(known["high"])
    if RANGES.get(name) == (low, high):
        return None
    return same_share((name, low, high), dtype)


def run_card(run: RunFolder) -> dict[str, Any]:
    """Return the card of the model in a run folder."""
    record = run.record()
    wanted = ("image_shape", "input", "values", "targets")
    known = {key: record[key] for key in wanted if record.get(key)}
    seed = run.config().data_seed
    known |= {"data_seed": seed} if seed else {}
    card = {"data": run.data, "noise": record["noise"], **known}
    with content_errors(run.config_path):
        _check_card(card)
    if run.uncertainty_path.is_file():
        card["uncertainty"] = read_json(run.uncertainty_path)
    return card


def _card_of(path: Path) -> dict[str, Any]:
    """Return the card in a file or of its run; else an empty one."""
    card = read_card(path)
    if card is not None:
        with content_errors(path):
            _check_card(card)
            if "noise" in card or "input" in card:
                noise_label(card["noise"])
        return card
    if (path.parent / "config.json").is_file():
        return run_card(RunFolder(path.parent))
    return {}


def _check_card(card: dict[str, Any]) -> None:
    """Use what a card says; an exception says that it cannot be used."""
    usual(card)
    if known := card.get("values"):
        check_values(known)
    if len(str(card.get("data", ""))) > LONGEST:
        raise ValueError(f"a name of data of more than {LONGEST} characters")
