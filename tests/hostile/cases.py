"""Each hostile file with the command that a user would type to read it."""

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_dae.models.gate import CARD
from tests.hostile import data, models, more, pictures

DIGITS = data.GOLDEN.parent / "digits.npz"
MODEL = data.RUN / "model.keras"
IDX_NAMES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3")
REPORT = "report"  # no command of its own: each that adds to a study ends in it
# What reads a model's file.
READERS = (
    ["evaluate", "{path}"],
    ["denoise", "{image}", "--model", "{path}", "-o", "{out}"],
    ["compare", "--denoiser", "{path}", "--out", "{out}"],
    ["export", "{path}", "--format", "onnx", "-o", "{out}/model.onnx"],
    ["parity", "{path}"],
    ["robustness", "{path}", "--out", "{out}"],
)


def cases(folder: Path, more: bool = False) -> Iterator[dict[str, Any]]:
    """Write every hostile file below `folder`, and yield what is to be run on it.

    With `more` those of `more.py` alone, which may be done too.
    """
    image = folder / "good.png"
    image.write_bytes(pictures.encoded("PNG"))
    kinds = {
        "keras": _models,
        "run": _runs,
        "study": _studies,
        "card": _cards,
        "toml": _settings,
        "npz": _arrays,
        "idx": _idx,
        "image": _pictures,
        "onnx": _onnx,
    }
    for kind, make in ({"more": _more} if more else kinds).items():
        place = folder / kind
        place.mkdir()
        for name, path, command in make(place):
            words = {
                "{path}": str(path),
                "{image}": str(image),
                "{out}": str(folder / "out"),
            }
            for word, value in words.items():
                command = [part.replace(word, value) for part in command]
            may = {"may_be_done": True} if kind == "more" else {}
            yield {"file": f"{kind}/{name}", "command": command, **may}


Found = Iterator[tuple[str, Path, list[str]]]


def _models(folder: Path) -> Found:
    for number, (name, make) in enumerate(models.MODELS.items()):
        path = folder / f"{name}.keras"
        make(path)
        yield path.name, path, READERS[number % len(READERS)]


def _runs(folder: Path) -> Found:
    for file, makes in (
        ("config.json", data.RECORDS),
        ("history.json", data.HISTORIES),
    ):
        for number, (name, make) in enumerate(makes.items()):
            run = folder / f"{file}-{name}"
            shutil.copytree(data.RUN, run)
            make(run / file)
            yield run.name, run, [("evaluate", "plot")[number % 2], "{path}"]
    for name in ("lambda-layer", "weights-shape-bomb", "truncated-half"):
        run = folder / f"model-{name}"
        shutil.copytree(data.RUN, run)
        models.MODELS[name](run / "model.keras")
        yield run.name, run, ["evaluate", "{path}"]


def _studies(folder: Path) -> Found:
    for name, make in data.STUDIES.items():
        study = folder / name
        study.mkdir()
        make(study / "results.json")
        yield f"results-{name}.json", study, [REPORT, "{path}"]
    for other in ("board", "equal-macs/claims", "classification", "robustness"):
        study = folder / f"other-{other.replace('/', '-')}"
        (study / "equal-macs").mkdir(parents=True)
        shutil.copy(data.RESULTS, study / "results.json")
        noise = json.loads(data.RESULTS.read_text())["noise"]
        (study / f"{other}.json").write_text(
            json.dumps({"schema": 1, "rows": ["<script>"], "noise": noise})
        )
        yield f"{other}.json", study, [REPORT, "{path}"]


def _cards(folder: Path) -> Found:
    for name, make in data.CARDS.items():
        path = folder / f"{name}.keras"
        shutil.copy(MODEL, path)
        make(folder / "card.json")
        with zipfile.ZipFile(path, "a") as archive:
            archive.write(folder / "card.json", CARD)
        yield f"{name}.json", path, READERS[1]


def _settings(folder: Path) -> Found:
    for name, make in data.SETTINGS.items():
        path = folder / f"{name}.toml"
        make(path)
        yield path.name, path, ["train", "--config", "{path}", "--out", "{out}"]


def _arrays(folder: Path) -> Found:
    for name, make in data.ARRAYS.items():
        path = folder / f"{name}.npz"
        make(path)
        yield path.name, path, ["train", "--data", "npz:{path}", "--out", "{out}"]


def _idx(folder: Path) -> Found:
    good = {
        "train-images-idx3-ubyte.gz": data.idx((80, 12, 12), data.IMAGES.tobytes()),
        "train-labels-idx1-ubyte.gz": data.idx((80,), bytes(80)),
        "t10k-images-idx3-ubyte.gz": data.idx((80, 12, 12), data.IMAGES.tobytes()),
        "t10k-labels-idx1-ubyte.gz": data.idx((80,), bytes(80)),
    }
    command = ["train", "--data", "fashion-mnist", "--data-dir", "{path}"]
    for number, (name, make) in enumerate(data.IDX.items()):
        place = folder / name
        place.mkdir()
        for other, content in good.items():
            (place / other).write_bytes(content)
        make(place / list(good)[number % len(good)])
        yield f"{name}.gz", place, [*command, "--out", "{out}"]


def _pictures(folder: Path) -> Found:
    for number, (name, make) in enumerate(pictures.PICTURES.items()):
        place = folder / name.replace(".", "-")
        place.mkdir()
        make(place / name)
        if number % 4 == 3:
            yield name, place, ["train", "--data", "folder:{path}", "--out", "{out}"]
        else:
            yield name, place / name, ["denoise", "{path}", "-o", "{out}"]


def _onnx(folder: Path) -> Found:
    for name, make in pictures.ONNX.items():
        path = folder / f"{name}.onnx"
        make(path)
        data_set = f"npz:{DIGITS}"
        command = ["compare", "--denoiser", "{path}", "--data", data_set]
        yield path.name, path, [*command, "--out", "{out}"]


def _more(folder: Path) -> Found:
    """Files that are refused or done, whichever costs what it may."""
    for name, make in more.IMAGES_OF.items():
        make(folder / name)
        command = ["denoise", "{path}", "--strength", "0", "-o", "{out}/more"]
        yield f"image-{name}", folder / name, [*command, "--overwrite"]
    train = ["train", "--epochs", "1", "--out", "{out}", "--resume"]
    tables: dict[str, tuple[dict[str, Any], str, list[str]]] = {
        "npz": (more.ARRAYS, ".npz", [*train, "--data", "npz:{path}"]),
        "toml": (
            more.SETTINGS,
            ".toml",
            ["train", "--config", "{path}", "--out", "{out}"],
        ),
        "onnx": (more.ONNX, ".onnx", _compared("{path}")),
        "keras": (more.MODELS, ".keras", ["evaluate", "{path}"]),
    }
    for kind, (makes, suffix, command) in tables.items():
        for name, make in makes.items():
            path = folder / f"{kind}-{name}{suffix}"
            make(path)
            yield path.name, path, command


def _compared(path: str) -> list[str]:
    data_set = f"npz:{DIGITS}"
    return ["compare", "--denoiser", path, "--data", data_set, "--out", "{out}"]
