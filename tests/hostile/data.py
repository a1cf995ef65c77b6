"""Data, images, settings and records that must not be read, each kind its own way.

A function takes the path of a file and writes it. What a name begins with is its kind.
"""

import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Make = Callable[[Path], None]
GOLDEN = Path(__file__).parents[1] / "golden" / "study"
RUN = GOLDEN / "runs" / "npz-digits-DAE_1_5-seed0"
IMAGES = np.arange(80 * 144, dtype=np.int64).reshape(80, 12, 12).astype(np.uint8)


def content(data: bytes | str) -> Make:
    """Return what writes these bytes, or this text."""
    return lambda path: _write(path, data)


def _write(path: Path, data: bytes | str) -> None:
    path.write_bytes(data.encode() if isinstance(data, str) else data)


# JSON: a golden file with something else in it.


def changed(source: Path, **values: Any) -> Make:
    """Return what writes a golden JSON file with other values; '__' leads inwards."""

    def make(path: Path) -> None:
        found = json.loads(source.read_text())
        for key, value in values.items():
            *outer, last = key.split("__")
            place = found
            for part in outer:
                place = place[int(part) if part.isdigit() else part]
            place[last] = value
        path.write_text(json.dumps(found))

    return make


DEEP = "[" * 100_000
CLOSED = '{"schema": 1, "a": ' * 500 + "1" + "}" * 500
# Whatever the file is for.
DAMAGED_JSON: dict[str, Make] = {
    "empty": content(""),
    "deep": content(DEEP),
    "deep-closed": content(CLOSED),
    "truncated": content('{"schema": 1, "config": {"da'),
    "utf-16": content('{"schema": 1}'.encode("utf-16")),
    "latin-1": content(b'{"schema": 1, "name": "\xe9"}'),
    "nan": content('{"schema": 1, "config": {"sigma": NaN}}'),
    "overflow": content('{"schema": 1, "config": {"sigma": 1e999}}'),
    "huge-number": content('{"schema": 1, "config": ' + "9" * 10_000 + "}"),
    "beyond-64-bits": content('{"schema": 1, "config": {"seed": 1' + "0" * 30 + "}}"),
    "half-a-pair": content('{"schema": 1, "config": {"data": "\\ud800"}}'),
    "large": content('{"schema": 1, "a": [' + "[]," * 3_000_000 + "0]}"),
    "a-list": content("[1, 2]"),
    "no-schema": content("{}"),
    "older-schema": content('{"schema": 0}'),
    "newer-schema": content('{"schema": 2}'),
    "schema-of-a-list": content('{"schema": [1]}'),
    "schema-true": content('{"schema": true}'),
}
CONFIG = RUN / "config.json"
RECORDS: dict[str, Make] = {
    **DAMAGED_JSON,
    "config-a-list": changed(CONFIG, config=[1]),
    "unknown-key": changed(CONFIG, config__code="import os"),
    "depth-of-text": changed(CONFIG, config__depth="x"),
    "depth-of-a-list": changed(CONFIG, config__depth=[5]),
    "depth-absurd": changed(CONFIG, config__depth=10**9),
    "latent-absurd": changed(CONFIG, config__latent=10**9),
    "filters-absurd": changed(CONFIG, config__filters=10**9),
    "noise-of-code": changed(CONFIG, config__noise="__import__('os')"),
    "noise-long": changed(CONFIG, config__noise="blur+" * 100_000),
    "model-of-a-path": changed(CONFIG, config__model="../../escaped"),
    "data-a-list": changed(CONFIG, config__data=["mnist"]),
    "dataset-missing": changed(CONFIG, dataset=None),
    "dataset-name-a-list": changed(CONFIG, dataset__name=["x"]),
    "data-elsewhere": changed(CONFIG, dataset__name="npz:/nowhere/../x\0.npz"),
    "parameters-of-text": changed(CONFIG, parameters="many"),
    "noise-missing": changed(CONFIG, noise={}),
    "noise-of-lists": changed(CONFIG, noise={"kind": ["a"], "clip": 1, "sigma": {}}),
    "shape-of-text": changed(CONFIG, image_shape="12x12"),
}
HISTORY = RUN / "history.json"
HISTORIES: dict[str, Make] = {
    **{key: DAMAGED_JSON[key] for key in ("deep", "large", "overflow", "newer-schema")},
    "columns-missing": content('{"schema": 1}'),
    "lengths": changed(HISTORY, loss=[0.1]),
    "of-text": changed(HISTORY, val_loss=["0.1", "0.2"]),
    "of-nothing": changed(HISTORY, val_loss=[None, None]),
    "of-booleans": changed(HISTORY, seconds=[True, False]),
    "of-lists": changed(HISTORY, loss=[[1], [2]]),
    "a-dict": changed(HISTORY, loss={"0": 1}),
}
RESULTS = GOLDEN / "results.json"
STUDIES: dict[str, Make] = {
    **{key: DAMAGED_JSON[key] for key in ("deep", "large", "nan", "older-schema")},
    "models-missing": changed(RESULTS, models=[]),
    "models-of-text": changed(RESULTS, models="abc"),
    "test-missing": changed(RESULTS, models__0__test={}),
    "mse-of-text": changed(RESULTS, models__0__test__mse="<script>"),
    "name-a-list": changed(RESULTS, models__0__name=[1]),
    "latent-zero": changed(RESULTS, architectures__0__latent_ratio=0),
    "claims-of-text": changed(RESULTS, claims=["holds"]),
    "floors-absurd": changed(RESULTS, floors__0__test__mse=None),
    "dataset-missing": changed(RESULTS, dataset={}),
}
CARDS: dict[str, Make] = {
    **{key: DAMAGED_JSON[key] for key in ("deep", "large", "nan", "newer-schema")},
    "input-of-text": content('{"schema": 1, "input": "x"}'),
    "input-of-lists": content(
        '{"schema": 1, "input": {"sigma": [[], []]}, "noise": 1}'
    ),
    "noise-unknown": content('{"schema": 1, "noise": {"kind": "evil", "clip": true}}'),
    "noise-of-code": content('{"schema": 1, "noise": {"kind": "gaussian", "x": 1}}'),
    "noise-a-list": content('{"schema": 1, "noise": [1]}'),
}
# TOML

SETTINGS: dict[str, Make] = {
    "not-toml": content("depth 5"),
    "deep": content("a = " + DEEP),
    "deep-tables": content("[" + "a." * 30_000 + "a]\nx = 1"),
    "large": content("# " + "x" * (1 << 20)),
    "utf-16": content("depth = 5".encode("utf-16")),
    "huge-number": content("seed = 1" + "0" * 5000),
    "seed-beyond-64-bits": content("seed = 1" + "0" * 30),
    "nan": content("sigma = nan"),
    "infinite": content("learning_rate = inf"),
    "overflow": content("sigma = 1e999"),
    "epochs-absurd": content("epochs = 1" + "0" * 15),
    "batch-absurd": content("batch_size = 1" + "0" * 15),
    "depth-absurd": content("depth = 1" + "0" * 15),
    "latent-absurd": content("latent = 1" + "0" * 15),
    "filters-absurd": content("filters = 1" + "0" * 15),
    "patches-absurd": content('data = "folder:x"\npatches = 1' + "0" * 15),
    "depth-a-list": content("depth = [5]"),
    "noise-a-list": content('noise = ["gaussian"]'),
    "noise-a-date": content("noise = 1979-05-27"),
    "unknown-key": content('code = "import os"'),
    "twice": content("depth = 1\ndepth = 3"),
    "model-of-a-path": content('model = "../x"'),
    "data-of-nul": content('data = "npz:a\\u0000b"'),
    "data-unknown": content('data = "http://127.0.0.1/x"'),
    "noise-long": content(f'noise = "{"blur+" * 40_000}"'),
}

# npz and IDX


def npy(descr: str, shape: str, data: bytes = b"", version: int = 1) -> bytes:
    """Return an NPY file with a header of its own."""
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"
    size = struct.pack("<H" if version == 1 else "<I", len(head))
    return b"\x93NUMPY" + bytes([version, 0]) + size + head.encode() + data


def archived(method: int = zipfile.ZIP_STORED, **arrays: bytes) -> Make:
    """Return what writes an npz file of these members."""

    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, data in arrays.items():
                archive.writestr(name + ".npy", data)

    return make


def saved(**arrays: Any) -> Make:
    """Return what writes arrays as numpy does, objects too."""
    whole = {"x_train": IMAGES, "x_test": IMAGES[:9], **arrays}
    return lambda path: np.savez(path, allow_pickle=True, **whole)


def _npy_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


PLAIN = _npy_bytes(IMAGES)


class Trap:
    """An object whose unpickling would leave a mark."""

    def __reduce__(self) -> Any:
        return open, ("/tmp/hostile-mark", "w")


def _bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x_train.npy", "w") as member:
            member.write(npy("'|u1'", "(400000, 28, 28)"))
            for _ in range(400):
                member.write(bytes(28 * 28 * 1000))
        archive.writestr("x_test.npy", PLAIN)


def _cut(path: Path) -> None:
    saved()(path)
    path.write_bytes(path.read_bytes()[:3000])


ARRAYS: dict[str, Make] = {
    "empty": content(b""),
    "text": content("x_train"),
    "truncated": _cut,
    "pickled": saved(x_train=np.array([Trap(), Trap()], object)),
    "pickled-labels": saved(y_train=np.array([Trap()] * 80, object)),
    "structured": saved(x_train=np.zeros((4, 4, 4), [("a", "f4"), ("b", "f4")])),
    "of-text": saved(x_train=np.full((4, 4, 4), "ab")),
    "complex": saved(x_train=np.zeros((4, 4, 4), complex)),
    "nan": saved(x_train=np.full((9, 4, 4), np.nan), x_test=np.zeros((9, 4, 4))),
    "infinite": saved(x_train=np.full((9, 4, 4), np.inf), x_test=np.zeros((9, 4, 4))),
    "no-image": saved(x_train=np.zeros((0, 12, 12), np.uint8)),
    "five-axes": saved(x_train=np.zeros((3, 2, 2, 2, 2), np.uint8)),
    "lying-shape": archived(x_train=npy("'|u1'", "(10**0, 28, 28)"), x_test=PLAIN),
    "absurd-shape": archived(
        x_train=npy("'<f8'", "(1000000, 1000, 1000)"), x_test=PLAIN
    ),
    "beyond-64-bits": archived(x_train=npy("'|u1'", f"({10**30}, 1, 1)"), x_test=PLAIN),
    "negative-shape": archived(
        x_train=npy("'|u1'", "(-4, 4, 4)", bytes(64)), x_test=PLAIN
    ),
    "negative-product": archived(
        x_train=npy("'|u1'", "(-4, -4, 4)", bytes(64)), x_test=PLAIN
    ),
    "header-of-code": archived(
        x_train=npy("'|u1'", "__import__('os').getcwd()"), x_test=PLAIN
    ),
    "header-unclosed": archived(
        x_train=npy("'|u1'", "((((4, 4, 4)", bytes(64)), x_test=PLAIN
    ),
    "header-deep": archived(
        x_train=npy("'|u1'", "(" * 3000 + ")" * 3000), x_test=PLAIN
    ),
    "header-of-4-gb": archived(
        x_train=b"\x93NUMPY\2\0\xff\xff\xff\xff{}", x_test=PLAIN
    ),
    "another-version": archived(x_train=b"\x93NUMPY\x09\0" + PLAIN[8:], x_test=PLAIN),
    "no-array": archived(x_train=b"#!/bin/sh\n", x_test=PLAIN),
    "bomb": _bomb,
    "labels-short": saved(y_train=np.zeros(3, int), y_test=np.zeros(9, int)),
    "test-missing": archived(x_train=PLAIN),
    "one-array": content(PLAIN),
}


def idx(shape: tuple[int, ...], data: bytes, kind: int = 8) -> bytes:
    """Return a gzipped IDX file."""
    head = bytes([0, 0, kind, len(shape)]) + np.array(shape, ">u4").tobytes()
    return gzip.compress(head + data, 1)


def _idx_bomb(path: Path) -> None:
    with gzip.open(path, "wb", 9) as file:
        file.write(bytes([0, 0, 8, 3]) + np.array((10**6, 40, 40), ">u4").tobytes())
        for _ in range(1600):
            file.write(bytes(10**6))


IDX: dict[str, Make] = {
    "empty": content(b""),
    "not-gzip": content(b"\0\0\x08\3"),
    "truncated": content(idx((9, 4, 4), bytes(144))[:-9]),
    "count-too-high": content(idx((2**32 - 1, 28, 28), bytes(784))),
    "count-too-low": content(idx((1, 28, 28), bytes(7840))),
    "all-absurd": content(idx((2**32 - 1,) * 3, bytes(784))),
    "none-of-absurd-size": content(idx((0, 2**32 - 1, 2**32 - 1), b"")),
    "axes-255": content(gzip.compress(b"\0\0\x08\xff" + bytes(99))),
    "of-floats": content(idx((1, 4, 4), bytes(64), 13)),
    "no-axes": content(gzip.compress(b"\0\0\x08\0")),
    "bomb": _idx_bomb,
    "bomb-behind": lambda path: _write(
        path, idx((1, 4, 4), bytes(16)) + gzip.compress(bytes(1 << 28), 9)
    ),
}
