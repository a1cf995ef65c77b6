"""`.keras` files that must not be loaded, each made from a good one."""

import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

GOOD = (
    Path(__file__).parents[1] / "golden/study/runs/npz-digits-DAE_1_5-seed0/model.keras"
)
CONFIG, WEIGHTS = "config.json", "model.weights.h5"
Make = Callable[[Path], None]
MODELS: dict[str, Make] = {}


def parts() -> dict[str, bytes]:
    with zipfile.ZipFile(GOOD) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(path: Path, members: list[tuple[str, bytes]], method: int = 0) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")  # of names that stand there twice
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            archive.writestr(info, content)


def file(name: str) -> Callable[[Make], Make]:
    """Add a function that writes a file."""

    def add(make: Make) -> Make:
        MODELS[name] = make
        return make

    return add


def raw(name: str, change: Callable[[bytes], bytes]) -> None:
    MODELS[name] = lambda path: _write(path, change(GOOD.read_bytes()))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def configured(name: str, change: Callable[[Any], Any]) -> None:
    """Add a good file whose configuration is changed; text is taken as it is."""

    def make(path: Path) -> None:
        members = parts()
        changed = change(json.loads(members[CONFIG]))
        if not isinstance(changed, bytes):
            changed = json.dumps(changed).encode()
        pack(path, [*{**members, CONFIG: changed}.items()])

    MODELS[name] = make


def in_layer(name: str, **changed: Any) -> None:
    def change(config: Any) -> Any:
        config["config"]["layers"][1].update(changed)
        return config

    configured(name, change)


def in_conv(name: str, **changed: Any) -> None:
    def change(config: Any) -> Any:
        config["config"]["layers"][1]["config"].update(changed)
        return config

    configured(name, change)


def layer(kind: str, number: int, *origins: str, **config: Any) -> dict[str, Any]:
    """Return a layer that takes the tensors of those named."""
    tensors = [
        {"class_name": "__keras_tensor__", "config": {"keras_history": [one, 0, 0]}}
        for one in origins
    ]
    node = {"args": [tensors if len(tensors) > 1 else tensors[0]], "kwargs": {}}
    return {
        "module": "keras.layers",
        "class_name": kind,
        "name": f"{kind}{number}",
        "config": {"name": f"{kind}{number}", **config},
        "registered_name": None,
        "inbound_nodes": [node],
    }


def grown(name: str, *layers: dict[str, Any]) -> None:
    """Add a good file with these layers between its input and its answer."""

    def change(config: Any) -> Any:
        config["config"]["layers"] += layers
        config["config"]["output_layers"] = [layers[-1]["name"], 0, 0]
        return config

    configured(name, change)


def weighted(name: str, write: Callable[[h5py.File], None]) -> None:
    """Add a good file with something more among its weights."""

    def make(path: Path) -> None:
        members = parts()
        buffer = io.BytesIO(members[WEIGHTS])
        with h5py.File(buffer, "r+") as weights:
            write(weights)
        pack(path, [*{**members, WEIGHTS: buffer.getvalue()}.items()])

    MODELS[name] = make


def members(name: str, *more: tuple[str, bytes]) -> None:
    MODELS[name] = lambda path: pack(path, [*parts().items(), *more])


def without(name: str, missing: str) -> None:
    MODELS[name] = lambda path: pack(
        path, [pair for pair in parts().items() if pair[0] != missing]
    )


raw("empty", lambda content: b"")
raw("text", lambda content: b"a text, renamed\n")
raw("truncated-half", lambda content: content[: len(content) // 2])
raw("truncated-end", lambda content: content[:-3])
raw("flipped", lambda content: content[:900] + b"\xff" + content[901:])
raw("html", lambda content: b"<!DOCTYPE html><html>404</html>")


@file("bomb-configuration")
def _(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CONFIG, b" " * (256 << 20))
        archive.writestr(WEIGHTS, parts()[WEIGHTS])


@file("bomb-weights")
def _(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(CONFIG, parts()[CONFIG])
        with archive.open(WEIGHTS, "w") as member:
            for _ in range(64):
                member.write(bytes(16 << 20))


@file("bomb-of-another-method")
def _(path: Path) -> None:
    content = {**parts(), WEIGHTS: parts()[WEIGHTS] + bytes(128 << 20)}
    pack(path, [*content.items()], zipfile.ZIP_LZMA)


@file("encrypted")
def _(path: Path) -> None:
    content = bytearray(GOOD.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)


@file("lying-size")
def _(path: Path) -> None:
    """The directory says that the configuration takes 4 GB."""
    content = bytearray(GOOD.read_bytes())
    place = content.index(b"config.json", content.index(b"PK\1\2")) - 46
    content[place + 24 : place + 28] = struct.pack("<I", 0xFFFFFFF0)
    path.write_bytes(content)


@file("unknown-compression")
def _(path: Path) -> None:
    content = bytearray(GOOD.read_bytes())
    for mark, offset in ((b"PK\1\2", 10), (b"PK\3\4", 8)):
        place = content.index(mark)
        content[place + offset : place + offset + 2] = b"\x63\x00"
    path.write_bytes(content)


@file("many-members")
def _(path: Path) -> None:
    pack(path, [*parts().items(), *((f"a/{n}", b"") for n in range(5000))])


@file("symlink-member")
def _(path: Path) -> None:
    content = parts()
    with zipfile.ZipFile(path, "w") as archive:
        for name in (CONFIG, "metadata.json"):
            archive.writestr(name, content[name])
        link = zipfile.ZipInfo("assets")
        link.external_attr = 0xA1FF << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr(WEIGHTS, content[WEIGHTS])


members("escaping-member", ("../../escaped.txt", b"out"))
members("absolute-member", ("/tmp/escaped.txt", b"out"))
members("windows-member", ("..\\..\\escaped.txt", b"out"))
members("assets", ("assets/vocabulary.txt", b"words"))
members("twice-configuration", (CONFIG, b"{}"))
members("twice-weights", (WEIGHTS, b"\x89HDF"))
without("no-configuration", CONFIG)
without("no-weights", WEIGHTS)

configured("deep-json", lambda config: b"[" * 100_000)
configured("deep-json-closed", lambda config: b'{"a":' * 900 + b"1" + b"}" * 900)
configured("utf-16", lambda config: json.dumps(config).encode("utf-16"))
configured("huge-number", lambda config: b'{"class_name": ' + b"9" * 10_000 + b"}")
configured("a-list", lambda config: [config])
configured("no-layers", lambda config: {**config, "config": {"layers": 5}})
configured("a-string", lambda config: "Functional")
configured("class-of-a-list", lambda config: {**config, "class_name": ["Functional"]})
# Inside the model: the loss and optimizer of the whole file are not read here.
configured(
    "loss-of-code",
    lambda config: {
        **config,
        "config": config["config"]
        | {
            "optimizer": "adam",
            "loss": {
                "module": "builtins",
                "class_name": "function",
                "config": "eval",
                "registered_name": "function",
            },
        },
    },
)
configured(
    "optimizer-of-a-module",
    lambda config: {
        **config,
        "config": config["config"]
        | {
            "optimizer": {
                "module": "antigravity",
                "class_name": "Adam",
                "config": {},
                "registered_name": "Adam",
            }
        },
    },
)
in_layer("lambda-layer", class_name="Lambda", config={"function": "4wAAAAA="})
in_layer("torch-wrapper", class_name="TorchModuleWrapper")
in_layer("module-of-code", module="os", class_name="Conv2D")
in_layer("private-module", module="keras.src.utils.python_utils")
in_layer("registered-name", registered_name="evil>Conv2D")
in_layer(
    "custom-layer", module="mine", class_name="Attention", registered_name="mine>A"
)
in_conv("activation-lambda", activation={"class_name": "__lambda__", "config": {}})
in_conv(
    "initializer-of-code",
    kernel_initializer={"module": "os", "class_name": "system", "config": "true"},
)
in_conv("dtype-of-code", dtype={"module": "mine", "class_name": "P", "config": {}})
in_conv("filters-absurd", filters=10**9)
in_conv("filters-beyond-64-bits", filters=10**30)
in_conv("filters-nan", filters=float("nan"))
in_conv("filters-infinite", filters=float("inf"))
in_conv("filters-a-float", filters=1e9)
in_conv("filters-negative", filters=-4)
in_conv("filters-others", filters=7)
in_conv("kernel-absurd", kernel_size=[100_000, 100_000])
in_conv("kernel-of-three", kernel_size=[3, 3, 3])
in_conv("strides-zero", strides=[0, 0])
grown("dense-absurd", layer("Dense", 0, "latent", units=1 << 30))
grown("upsampled", layer("UpSampling2D", 0, "latent", size=[50_000, 50_000]))
grown("padded", layer("ZeroPadding2D", 0, "latent", padding=[[0, 10**8], [0, 10**8]]))
grown("cropped", layer("Cropping2D", 0, "latent", cropping=[[9, 9], [9, 9]]))
grown("reshaped", layer("Reshape", 0, "latent", target_shape=[10**6, 10**6]))
grown("from-nowhere", layer("Flatten", 0, "nothing"))
grown("a-circle", layer("Flatten", 0, "Flatten0"))
grown(
    "concatenated",
    layer("Concatenate", 0, "latent", "latent", axis=-1),
    *(
        layer("Concatenate", n, *[f"Concatenate{n - 1}"] * 2, axis=-1)
        for n in range(1, 30)
    ),
    layer("Conv2D", 0, "Concatenate29", filters=1 << 20, kernel_size=[3, 3]),
)
grown(
    "wide-after-concatenation",
    layer("Concatenate", 0, *["latent"] * 400, axis=-1),
    layer("Conv2D", 0, "Concatenate0", filters=100_000, kernel_size=[5, 5]),
)
grown(
    "five-thousand-layers",
    layer("ReLU", 0, "latent"),
    *(layer("ReLU", n, f"ReLU{n - 1}") for n in range(1, 5000)),
)


def _nested(config: Any) -> Any:
    inner = config
    for number in range(8):
        inner = {
            "module": "keras",
            "class_name": "Sequential",
            "config": {"name": f"s{number}", "layers": [inner] * 2},
            "registered_name": None,
            "inbound_nodes": [],
        }
    return inner


configured("nested-models", _nested)


def _wide(config: Any) -> Any:
    config["config"]["layers"][0]["config"]["batch_shape"] = [None, 10**5, 10**5, 3]
    return config


configured("input-absurd", _wide)


@file("truncated-weights")
def _(path: Path) -> None:
    content = parts()
    content[WEIGHTS] = content[WEIGHTS][:3000]
    pack(path, [*content.items()])


weighted(
    "weights-shape-bomb",
    lambda weights: weights.create_dataset(
        "layers/more/vars/0", (10**6, 10**6), "f4", chunks=(1000, 1000)
    ),
)
weighted(
    "weights-deflated-bomb",
    lambda weights: weights.create_dataset(
        "layers/more/vars/0", data=np.zeros((4000, 4000), "f4"), compression="gzip"
    ),
)
weighted(
    "weights-elsewhere",
    lambda weights: weights.create_dataset(
        "layers/more/vars/0", (4,), "f4", external=[("/etc/passwd", 0, 16)]
    ),
)


def _link(kind: Any) -> Callable[[h5py.File], None]:
    def write(weights: h5py.File) -> None:
        weights["layers/more"] = kind

    return write


weighted("weights-external-link", _link(h5py.ExternalLink("/etc/passwd", "/")))
weighted("weights-soft-link", _link(h5py.SoftLink("/layers")))


def _virtual(weights: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "data", (4,))
    weights.create_virtual_dataset("layers/more", layout)


weighted("weights-virtual", _virtual)
weighted(
    "weights-of-text",
    lambda weights: weights.create_dataset("layers/more", data=["a", "b"]),
)


def _many(weights: h5py.File) -> None:
    for number in range(25_000):
        weights.create_group(f"layers/{number}")


weighted("weights-of-many-groups", _many)


def _fewest(weights: h5py.File) -> None:
    for name in list(weights["layers"]):
        del weights["layers"][name]


weighted("weights-missing", _fewest)
