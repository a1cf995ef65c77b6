"""What is fuzzed: each parser of bytes from strangers, with inputs to start from.

A target takes bytes and a folder to write them to. It returns nothing, or raises
`KerasDAEError`; anything else that comes out of it is a finding.
"""

import gzip
import io
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from keras_dae.denoising.advice import advise, usual
from keras_dae.denoising.trained import find_model, run_card
from keras_dae.images.io.arrays import open_idx, open_npz
from keras_dae.images.io.formats import encoded, read_picture
from keras_dae.images.noise_words import (
    describe_noise,
    noise_label,
    parse_noise,
    short_label,
)
from keras_dae.models.gate import CARD, LAYERS, look_into
from keras_dae.study.report.publish import write_report
from keras_dae.training.config import (
    RunConfig,
    make_config,
    option_arguments,
    read_toml,
)
from keras_dae.training.runs import RunFolder

MEGAPIXELS = 4.0  # so that an honest image stays far below the bound on memory
STUDY = Path(__file__).parents[1] / "golden" / "study"
MODEL = "runs/npz-digits-DAE_1_5-seed0/model.keras"
CONFIGS = Path(__file__).parents[2] / "configs"


@dataclass(frozen=True)
class Target:
    """One parser.

    Attributes:
        run: (bytes, folder) -> nothing; raises `KerasDAEError` to refuse.
        seeds: the inputs that fuzzing starts from.
        words: what the parser looks for, to be put in as a whole.
    """

    run: Callable[[bytes, Path], None]
    seeds: Callable[[], list[bytes]]
    words: tuple[bytes, ...] = ()


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def noise(data: bytes, folder: Path) -> None:
    text = data.decode("utf-8", errors="surrogateescape")
    found = parse_noise(text)
    noise_label(describe_noise(found))
    short_label(found)
    if len(data) < 200:
        with np.errstate(all="ignore"):
            found(np.ones((2, 4, 4, 1), np.float32), np.random.default_rng(0))


def noise_seeds() -> list[bytes]:
    kinds = ("salt-pepper:0.2", "poisson", "speckle", "uniform", "blur", "masking:0.1")
    return [
        *(kind.encode() for kind in kinds),
        b"blur:1+gaussian:0.3",
        b"gaussian:0.1..0.9",
        b"poisson:1e-3..2+uniform",
    ]


def config(data: bytes, folder: Path) -> None:
    made = make_config(read_toml(written(folder, "config.toml", data)))
    option_arguments(made)
    made.plan((28, 28, 1))


def config_seeds() -> list[bytes]:
    return [path.read_bytes() for path in sorted(CONFIGS.glob("*.toml"))]


def npz(data: bytes, folder: Path) -> None:
    open_npz(str(written(folder, "data.npz", data)))


def npz_seeds() -> list[bytes]:
    images = np.arange(32, dtype=np.uint8).reshape(2, 4, 4)
    found = []
    for save in (np.savez, np.savez_compressed):
        for kind in (np.uint8, np.float32):
            buffer = io.BytesIO()
            x = (images / np.float32(32)).astype(kind)
            save(buffer, x_train=x, x_test=x, y_train=[0, 1], y_test=[1, 2])
            found.append(buffer.getvalue())
    return found


def idx(data: bytes, folder: Path) -> None:
    """The first byte says whether the rest is a file, or what a gzip file holds."""
    content = data[1:] if data[:1] != b"\x01" else gzip.compress(data[1:], 1, mtime=0)
    open_idx(str(written(folder, "images.gz", content)))


def idx_seeds() -> list[bytes]:
    images = b"\0\0\x08\3" + np.array([2, 2, 3], ">u4").tobytes() + bytes(range(12))
    labels = b"\0\0\x08\1" + np.array([4], ">u4").tobytes() + bytes(4)
    return [
        b"\x01" + images,
        b"\x01" + labels,
        b"\x00" + gzip.compress(images, mtime=0),
    ]


def image(data: bytes, folder: Path) -> None:
    picture = read_picture(io.BytesIO(data), None, MEGAPIXELS)
    assert picture.pages
    encoded(picture)


def image_seeds() -> list[bytes]:
    import tifffile
    from PIL import Image

    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    colour = np.stack([grey, 2 * grey, 3 * grey], axis=2)
    found = []
    for kind in ("PNG", "JPEG", "WEBP", "BMP"):
        for array in (grey, colour):
            buffer = io.BytesIO()
            Image.fromarray(array).save(buffer, kind)
            found.append(buffer.getvalue())
    buffer = io.BytesIO()
    Image.fromarray(grey.astype(np.uint16)).save(buffer, "PNG")
    found.append(buffer.getvalue())
    for array, options in (
        (grey, {}),
        (np.stack([grey, grey]), {"compression": "zlib"}),
        (colour.astype(np.uint16), {"compression": "lzw", "photometric": "rgb"}),
    ):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, array, metadata=None, **options)
        found.append(buffer.getvalue())
    for array in (grey, colour / 256, np.stack([grey] * 5)):
        buffer = io.BytesIO()
        np.save(buffer, array)
        found.append(buffer.getvalue())
    return found


@cache
def study_files() -> list[str]:
    """Names of the golden study's JSON files, in a fixed order."""
    found = sorted(path.relative_to(STUDY) for path in STUDY.rglob("*.json"))
    return [path.as_posix() for path in found]


def records(data: bytes, folder: Path) -> None:
    """One of the golden study's files is replaced: the first byte says which."""
    names = study_files()
    name = names[data[0] % len(names)] if data else names[0]
    if not (folder / name).exists():
        shutil.copytree(STUDY, folder, dirs_exist_ok=True)
    (folder / name).write_bytes(data[1:])
    try:
        _read_record(name, folder)
    finally:
        shutil.copyfile(STUDY / name, folder / name)


def _read_record(name: str, folder: Path) -> None:
    run = RunFolder((folder / name).parent)
    if name.endswith("config.json"):
        card = run_card(run)
        usual(card)
        run.config().plan((12, 12, 1))
    elif name.endswith("history.json"):
        run.history()
    elif name == "cards.json":
        model = shutil.copyfile(STUDY / MODEL, folder / "cards.keras")
        with zipfile.ZipFile(model, "a") as archive:
            archive.write(folder / name, CARD)
        card = find_model(model).card
        advise({"sigma": 9.0, "mean": 9.0, "std": 9.0}, usual(card), card)
    else:
        write_report(folder)


def records_seeds() -> list[bytes]:
    return [
        bytes([number]) + (STUDY / name).read_bytes()
        for number, name in enumerate(study_files())
    ]


def keras_file(data: bytes, folder: Path) -> None:
    """The first byte: all is the file; or the configuration; or the weights."""
    if data[:1] not in (b"\x01", b"\x02"):
        look_into(str(written(folder, "model.keras", data[1:])), False)
        return
    with zipfile.ZipFile(STUDY / MODEL) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["config.json" if data[:1] == b"\x01" else "model.weights.h5"] = data[1:]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    look_into(str(written(folder, "model.keras", buffer.getvalue())), False)


def keras_seeds() -> list[bytes]:
    model = STUDY / MODEL
    with zipfile.ZipFile(model) as archive:
        config, weights = (
            archive.read(name) for name in ("config.json", "model.weights.h5")
        )
    return [b"\0" + model.read_bytes(), b"\x01" + config, b"\x02" + weights]


def words(text: str, *others: bytes) -> tuple[bytes, ...]:
    return (*(word.encode() for word in text.split()), *others)


TARGETS: dict[str, Target] = {
    "noise": Target(
        noise,
        noise_seeds,
        words(
            "gaussian salt-pepper poisson speckle uniform blur masking .. + : 1e-3 nan "
            "inf _ 1e400"
        ),
    ),
    "config": Target(
        config,
        config_seeds,
        words(
            " ".join(f"{key}=" for key in RunConfig.model_fields)
            + """ "dae" "unet" "dncnn" "best" "equal-macs" "muon" "linear" "folder:x"
            "npz:x" "0.1..0.9" nan inf true 1979-05-27T07:32:00Z [a] [[a]] \"\"\" 0x
            1e400 by_model 5_13 {a=1}"""
        ),
    ),
    "npz": Target(
        npz,
        npz_seeds,
        words("x_train.npy y_test.npy 'descr' '|u1' '|O' 'shape'", b"\x93NUMPY"),
    ),
    "idx": Target(
        idx, idx_seeds, (b"\x1f\x8b\x08", b"\0\0\x08\3", b"\xff\xff\xff\xff")
    ),
    "image": Target(
        image,
        image_seeds,
        words(
            "IHDR IDAT IEND tRNS PLTE acTL eXIf iCCP zTXt RIFF WEBP VP8L VP8X ANIM BM",
            *(b"\xff\xd8\xff", b"\xff\xda", b"\xff\xe1", b"\x93NUMPY"),
            *(b"II*\0", b"MM\0*", b"II+\0"),
        ),
    ),
    "json": Target(
        records,
        records_seeds,
        words(
            'null true [] {} "" 0 -1 1e308 1e999 NaN "schema":1 "models" "rows" '
            '"noise" "kind" "test"'
        ),
    ),
    "keras": Target(
        keras_file,
        keras_seeds,
        words(
            "config.json model.weights.h5 class_name module registered_name null "
            "Functional SNOD TREE HEAP 1000000000 [-1] " + " ".join(LAYERS),
            *(b"PK\1\2", b"PK\3\4", b"\x89HDF\r\n\x1a\n"),
        ),
    ),
}
