"""Files that no list of checks foresaw: the process that reads them bounds them.

Each is refused with one sentence, or done. They cost by their structure: shapes whose
product is astronomical, parts without number, members and strips that lie about their
size, files that are mostly holes.
"""

import bz2
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from tests.hostile.data import IMAGES, PLAIN, content, npy
from tests.hostile.models import CONFIG, WEIGHTS, pack, parts
from tests.hostile.pictures import chunk, encoded, model, onnx, png, zeros

Make = Callable[[Path], None]
HUGE = (10**6, 2**31 - 1, 2**40)


# Models


def stacked(*layers: tuple[str, dict[str, Any]], shape: Any = (12, 12, 1)) -> Make:
    """Return what writes a sequential model of these layers."""
    first = ("InputLayer", {"batch_shape": [None, *shape], "dtype": "float32"})
    described = [
        {
            "module": "keras.layers",
            "class_name": kind,
            "config": {**config, "name": f"l{number}"},
            "registered_name": None,
        }
        for number, (kind, config) in enumerate((first, *layers))
    ]
    return configured({"name": "s", "layers": described}, "Sequential")


def configured(inner: Any, kind: str, **more: Any) -> Make:
    def make(path: Path) -> None:
        outer = {"module": "keras", "class_name": kind, "registered_name": None}
        written = json.dumps({**outer, "config": inner, **more}).encode()
        pack(path, [*{**parts(), CONFIG: written}.items()], zipfile.ZIP_DEFLATED)

    return make


def graph(layers: list[tuple[str, dict[str, Any], list[list[Any]]]], out: Any) -> Make:
    """Return what writes a functional model: class, configuration, calls."""

    def tensor(place: Any) -> dict[str, Any]:
        inner = {"shape": [None, 12, 12, 1], "dtype": "float32", "keras_history": place}
        return {"class_name": "__keras_tensor__", "config": inner}

    described = [
        {
            "module": "keras.layers",
            "class_name": kind,
            "name": config["name"],
            "config": config,
            "registered_name": None,
            "inbound_nodes": [
                {"args": [[*map(tensor, call)] if many(call) else tensor(call[0])],
                 "kwargs": {}}
                for call in calls
            ],
        }
        for kind, config, calls in layers
    ]  # fmt: skip
    inner = {"name": "g", "layers": described, "output_layers": out}
    return configured({**inner, "input_layers": [["in", 0, 0]]}, "Functional")


def many(call: list[Any]) -> bool:
    return len(call) > 1


INPUT = ("InputLayer", {"batch_shape": [None, 12, 12, 1], "name": "in"}, [])
ONCE = [[["in", 0, 0]]]
CONV = {"kernel_size": [3, 3], "padding": "same"}
GROWING = {
    "up": ("UpSampling2D", "size", lambda n: [n, n]),
    "pad": ("ZeroPadding2D", "padding", lambda n: [[n, n], [n, n]]),
    "dense": ("Dense", "units", lambda n: n),
    "conv": ("Conv2D", "filters", lambda n: n),
    "transpose": ("Conv2DTranspose", "strides", lambda n: [n, n]),
    "reshape": ("Reshape", "target_shape", lambda n: [n, n, n]),
    "resize": ("Resizing", "height", lambda n: n),
}


def growing(kind: str, key: str, value: Any) -> Make:
    config: dict[str, Any] = {key: value}
    if kind.startswith("Conv"):
        config = {"filters": 4, **CONV, **config}
    if kind == "Resizing":
        config["width"] = value
    return stacked((kind, config))


MODELS: dict[str, Make] = {
    f"{name}-{number}": growing(kind, key, value(number))
    for (name, (kind, key, value)), number in product(GROWING.items(), HUGE)
}
MODELS |= {
    f"up-{side}-times-{times}": stacked(
        *[("UpSampling2D", {"size": [side] * 2})] * times
    )
    for side, times in ((2, 12), (2, 40), (100, 3), (100, 200))
}
MODELS |= {
    f"input-{side}": stacked(("ReLU", {}), shape=(side, side, 1)) for side in HUGE
}
MODELS |= {
    "wide-convolutions": stacked(*[("Conv2D", {"filters": 60_000, **CONV})] * 3),
    "kernel-of-a-million": stacked(
        ("Conv2D", {"filters": 1, "kernel_size": [10**6, 10**6], "padding": "same"})
    ),
    "embedding": stacked(("Embedding", {"input_dim": 10**12, "output_dim": 10**6})),
    "repeated": stacked(("Flatten", {}), ("RepeatVector", {"n": 10**9})),
    "ten-thousand-layers": stacked(*[("ReLU", {})] * 10_000),
    "ten-thousand-calls": graph(
        [INPUT, ("ReLU", {"name": "r"}, ONCE * 10_000)], [["r", 9_999, 0]]
    ),
    "ten-thousand-outputs": graph(
        [INPUT, ("ReLU", {"name": "r"}, ONCE)], [["r", 0, 0]] * 10_000
    ),
    "ten-thousand-tensors": graph(
        [INPUT, ("Add", {"name": "a"}, [[["in", 0, 0]] * 10_000])], [["a", 0, 0]]
    ),
    "unconnected-layers": graph(
        [INPUT, *[("ReLU", {"name": f"r{n}"}, ONCE) for n in range(20_000)]],
        [["r0", 0, 0]],
    ),
    "unconnected-large": graph(
        [
            INPUT,
            ("ReLU", {"name": "r"}, ONCE),
            ("Dense", {"name": "d", "units": 2**33}, ONCE),
        ],
        [["r", 0, 0]],
    ),
    "no-outputs": graph([INPUT], []),
    "built-absurdly": configured(
        {"name": "s", "layers": []}, "Sequential", build_config={"input_shape": [9**99]}
    ),
    "built-of-many": configured(
        {"name": "s", "layers": []},
        "Sequential",
        build_config={"input_shape": [1] * 100_000},
    ),
    "nested-ten": lambda path: nested(path, 10),
    "nested-hundred": lambda path: nested(path, 100),
    "pickle-as-weights": lambda path: pack(
        path, [*{**parts(), WEIGHTS: b"\x80\x04cos\nsystem\n."}.items()]
    ),
}


def nested(path: Path, deep: int) -> None:
    inner: dict[str, Any] = {"name": "s", "layers": []}
    for number in range(deep):
        one = {"module": "keras", "class_name": "Sequential", "config": inner}
        inner = {"name": f"s{number}", "layers": [{**one, "registered_name": None}]}
    configured(inner, "Sequential")(path)


# Images


def sparse(head: bytes, size: int, tail: bytes = b"") -> Make:
    """Return what writes a file of a few bytes and a large hole."""

    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.write(head)
            file.truncate(size)
            file.seek(size)
            file.write(tail)

    return make


def with_chunks(kind: bytes, data: bytes, count: int) -> Make:
    return lambda path: (
        path.write_bytes(png(8, 8, zeros(300), *[chunk(kind, data)] * count)) and None
    )


def jpeg_parts(marker: int, data: bytes, count: int) -> Make:
    def make(path: Path) -> None:
        good = encoded("JPEG")
        part = b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data
        path.write_bytes(good[:2] + part * count + good[2:])

    return make


def scans(count: int) -> Make:
    """Return what writes a JPEG file whose only scan comes again and again."""

    def make(path: Path) -> None:
        good = encoded("JPEG")
        start = good.index(b"\xff\xda")
        path.write_bytes(good[:start] + good[start:-2] * count + good[-2:])

    return make


def bmp(width: int, height: int, data: bytes, bits: int = 8, packed: int = 1) -> Make:
    """Return what writes a BMP of run lengths."""
    info = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, bits, packed, 0, 0, 0, 0, 0
    )
    palette = bytes(1024)
    place = 14 + len(info) + len(palette)
    head = b"BM" + struct.pack("<IHHI", place + len(data), 0, 0, place)
    return content(head + info + palette + data)


def tiff(
    sides: tuple[int, int], strips: list[bytes], compression: int, pages: int = 1
) -> Make:
    """Return what writes a TIFF file whose pages all share these strips."""

    def make(path: Path) -> None:
        data = b"II*\0" + struct.pack("<I", 0)
        places = []
        for strip in strips:
            places.append(len(data))
            data += strip
        lists = len(data)
        data += struct.pack(f"<{len(places)}I", *places)
        data += struct.pack(f"<{len(strips)}I", *map(len, strips))
        one = len(strips) == 1
        rows = -(-sides[1] // max(1, len(strips)))
        tags = [
            (256, 4, 1, sides[0]), (257, 4, 1, sides[1]), (258, 3, 1, 8),
            (259, 3, 1, compression), (262, 3, 1, 1),
            (273, 4, len(strips), places[0] if one else lists),
            (277, 3, 1, 1), (278, 4, 1, rows),
            (279, 4, len(strips), len(strips[0]) if one else lists + 4 * len(strips)),
        ]  # fmt: skip
        tags = [tag for tag in tags if strips or tag[0] not in (273, 279)]
        body = struct.pack("<H", len(tags))
        body += b"".join(struct.pack("<HHII", *tag) for tag in tags)
        start = len(data)
        data = data[:4] + struct.pack("<I", start) + data[8:]
        for page in range(pages):
            after = start + (page + 1) * (len(body) + 4)
            data += body + struct.pack("<I", 0 if page == pages - 1 else after)
        path.write_bytes(data)

    return make


HOLE = 100 * 10**9
ZLIB = zlib.compress(bytes(1 << 27), 9)
IMAGES_OF: dict[str, Make] = {
    **{
        f"{count}-{name}.png": with_chunks(kind, data, count)
        for name, kind, data in (
            ("texts", b"tEXt", b"a\0b"),
            ("packed-texts", b"zTXt", b"a\0\0" + zlib.compress(b"b" * 900)),
            ("profiles", b"iCCP", b"a\0\0" + zlib.compress(bytes(900))),
            ("unknown", b"abCd", b""),
            ("exif", b"eXIf", b"II*\0\x08\0\0\0\0\0"),
            ("transparencies", b"tRNS", b"\0\0"),
        )
        for count in (1000, 100_000)
    },
    "empty-data.png": lambda path: (
        path.write_bytes(png(8, 8, b"", *[chunk(b"IDAT", b"")] * 200_000)) and None
    ),
    "one-row.png": content(png(40_000_000, 1, zeros(120_000_001))),
    "one-column.png": content(png(1, 40_000_000, zeros(160_000_000))),
    "lying-16.png": content(png(14_000, 14_000, zlib.compress(bytes(99)), depth=16)),
    "inflating-16.png": content(png(11_000, 11_000, ZLIB, depth=16)),
    "inflating.png": content(png(15_000, 15_000, zeros(15_000 * 45_001))),
    "sparse.png": sparse(encoded("PNG")[:-12], HOLE),
    **{
        f"{count}-parts-{marker:x}.jpg": jpeg_parts(marker, data, count)
        for marker, data in (
            (
                0xE1,
                b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\3\0\1\0\0\0\6\0\0\0\0\0\0\0",
            ),
            (0xE2, b"ICC_PROFILE\0\1\1" + bytes(99)),
            (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>"),
            (0xFE, b"a"),
            (0xDB, bytes(65)),
        )
        for count in (500, 50_000)
    },
    "scans-300.jpg": scans(300),
    "scans-30000.jpg": scans(30_000),
    "sparse.jpg": sparse(encoded("JPEG")[:-2], HOLE, b"\xff\xd9"),
    "jumps.bmp": bmp(15_000, 15_000, b"\0\2\1\0" * 1_000_000),
    "lines.bmp": bmp(15_000, 15_000, b"\0\0" * 1_000_000),
    "runs.bmp": bmp(10**6, 200, b"\xff\1" * 1_000_000),
    "nothing.bmp": bmp(15_000, 15_000, b""),
    "tall.bmp": bmp(1, 2**30, b"", packed=0),
    "sparse.bmp": sparse(encoded("BMP"), HOLE),
    "sparse.webp": sparse(encoded("WEBP"), HOLE),
    "said-sparse.webp": sparse(b"RIFF\xf0\xff\xff\xffWEBPVP8 \xf0\xff\xff\xff", 2**32),
    "sparse.npy": sparse(npy("'|u1'", "(100000, 1000000)"), HOLE + 128),
    "sparse-within.npy": sparse(npy("'<f8'", "(15000, 15000)"), 1_800_000_128),
    "header.npy": content(npy("'|u1'", "(4, 4)" + " " * 60_000, bytes(16))),
    "wide.npy": lambda path: np.save(path, np.zeros((1, 60_000_000), np.uint8)),
    "tall.npy": lambda path: np.save(path, np.zeros((60_000_000, 1), np.uint8)),
    "strips.tif": tiff((1000, 60_000), [zlib.compress(bytes(1000))] * 60_000, 8),
    "shared.tif": tiff((4000, 4000), [ZLIB], 8, pages=16),
    "shared-small.tif": tiff((8, 8), [bytes(64)], 1, pages=60_000),
    "no-strips.tif": tiff((8, 8), [], 1, pages=1000),
    "jpeg-in-deflate.tif": tiff((8, 8), [encoded("JPEG")], 8),
    "png-in-jpeg.tif": tiff((8, 8), [encoded("PNG")], 7),
    "webp-in-webp.tif": tiff((12_000, 12_000), [encoded("WEBP")], 50001),
    "deflate-beyond.tif": tiff((8, 8), [ZLIB], 8),
    "lzma.tif": tiff((12_000, 12_000), [lzma.compress(bytes(1 << 24))], 34925),
    "sparse.tif": sparse(encoded("TIFF"), HOLE),
}


# Data


def members(method: int, train: bytes, **more: bytes) -> Make:
    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("x_train.npy", train)
            archive.writestr("x_test.npy", PLAIN)
            for name, data in more.items():
                archive.writestr(f"{name}.npy", data)

    return make


def lying(method: int, packed: bytes, shape: str) -> Make:
    """Return what writes a member that says it is short, and is not."""

    def make(path: Path) -> None:
        members(zipfile.ZIP_STORED, npy("'|u1'", shape, packed))(path)
        data = bytearray(path.read_bytes())
        for mark, place in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
            struct.pack_into("<H", data, data.index(mark) + place, method)
        path.write_bytes(data)

    return make


LARGE = npy("'|u1'", "(2000000, 28, 28)", bytes(28 * 28 * 40_000))
ARRAYS: dict[str, Make] = {
    "bzip2-bomb": members(zipfile.ZIP_BZIP2, LARGE),
    "lzma-bomb": members(zipfile.ZIP_LZMA, LARGE),
    "deflate-bomb": members(zipfile.ZIP_DEFLATED, LARGE),
    "bzip2-labels": members(zipfile.ZIP_BZIP2, PLAIN, y_train=LARGE),
    "lzma-labels": members(zipfile.ZIP_LZMA, PLAIN, y_test=LARGE),
    "said-bzip2": lying(12, bz2.compress(bytes(1 << 26)), "(9, 9, 9)"),
    "said-lzma": lying(14, lzma.compress(bytes(1 << 26)), "(9, 9, 9)"),
    "said-deflated": lying(8, ZLIB, "(9, 9, 9)"),
    "wide-header": members(0, npy("'|u1'", "(4, 4, 4)" + " " * 60_000, bytes(64))),
    "long-header": members(0, b"\x93NUMPY\2\0\0\0\0\x7f" + bytes(99)),
    "strange-type": members(0, npy("'|V2147483647'", "(1, 4, 4)")),
    "text-of-two-gigabytes": members(0, npy("'<U536870911'", "(1, 4, 4)")),
    "one-image-of-a-row": members(0, npy("'|u1'", "(4, 1, 2000000)", bytes(8_000_000))),
    "many-axes": members(0, npy("'|u1'", str((1,) * 64), b"a")),
    "empty-names": lambda path: zipped(path, [("", b"")] * 9),
    "many-members": lambda path: zipped(
        path, [(f"{n}.npy", b"") for n in range(60_000)]
    ),
    "sparse": sparse(b"PK\3\4", HOLE),
    "sparse-front": lambda path: shifted(path, 1 << 36),
    "floats": lambda path: np.savez(
        path,
        x_train=np.broadcast_to(np.float64(1), (90, 900, 900)),
        x_test=IMAGES / 255,
    ),
}


def zipped(path: Path, parts: list[tuple[str, bytes]]) -> None:
    pack(path, parts)


def shifted(path: Path, hole: int) -> None:
    """Write an archive that begins behind a hole."""
    members(0, PLAIN)(path)
    whole = path.read_bytes()
    with path.open("wb") as file:
        file.truncate(hole)
        file.seek(hole)
        file.write(whole)


# ONNX


def running(*sizes: int, kind: str = "Expand") -> Make:
    """Return what writes a model that makes a tensor of a size that it computes."""

    def build(helper: Any) -> Any:
        from onnx import TensorProto

        wanted = helper.make_tensor("s", TensorProto.INT64, [len(sizes)], sizes)
        made = helper.make_node("Mul", ["s", "s"], ["t"])
        node = {
            "Expand": helper.make_node("Expand", ["x", "t"], ["z"]),
            "Tile": helper.make_node("Tile", ["x", "t"], ["z"]),
            "ConstantOfShape": helper.make_node("ConstantOfShape", ["t"], ["z"]),
        }[kind]
        last = helper.make_node("ReduceSum", ["z"], ["y"], keepdims=1)
        return model(made, node, last, initializers=(wanted,))

    return onnx(build)


def looped(times: int) -> Make:
    """Return what writes a model that computes for ever."""

    def build(helper: Any) -> Any:
        from onnx import TensorProto

        info = helper.make_tensor_value_info
        body = helper.make_graph(
            [
                helper.make_node("Identity", ["c"], ["d"]),
                helper.make_node("Sin", ["v"], ["w"]),
            ],
            "b",
            [
                info("i", TensorProto.INT64, []),
                info("c", TensorProto.BOOL, []),
                info("v", TensorProto.FLOAT, ["n", 12, 12, 1]),
            ],
            [
                info("d", TensorProto.BOOL, []),
                info("w", TensorProto.FLOAT, ["n", 12, 12, 1]),
            ],
        )
        count = helper.make_tensor("m", TensorProto.INT64, [], [times])
        going = helper.make_tensor("g", TensorProto.BOOL, [], [True])
        loop = helper.make_node("Loop", ["m", "g", "x"], ["y"], body=body)
        return model(loop, initializers=(count, going))

    return onnx(build)


def chained(helper: Any, count: int, **more: Any) -> list[Any]:
    """Return so many nodes, one after the other."""
    names = ["x", *(f"a{n}" for n in range(count - 1)), "y"]
    return [
        helper.make_node("Relu", [names[n]], [names[n + 1]], **more)
        for n in range(count)
    ]


ONNX: dict[str, Make] = {
    **{
        f"{kind.lower()}-{size}": running(size, size, size, size, kind=kind)
        for kind, size in product(("Expand", "Tile", "ConstantOfShape"), (40, 9000))
    },
    "loop": looped(2**62),
    "text": onnx(lambda helper: model(*chained(helper, 1, doc_string="a" * (1 << 26)))),
    "many-nodes": onnx(lambda helper: model(*chained(helper, 50_000))),
}


# Settings

SETTINGS: dict[str, Make] = {
    "ten-thousand-parts": content(f'noise = "{"+".join(["gaussian:0.1"] * 10_000)}"'),
    "long-number": content(f"seed = {'9' * 4000}"),
    "longer-number": content(f"learning_rate = {'9' * 100_000}.0"),
    "absurd-epochs": content(f"epochs = {10**18}"),
    "absurd-batch": content(f"batch_size = {10**18}"),
    "absurd-filters": content(f"filters = {10**18}"),
    "tiny-rate": content("learning_rate = 1e-320"),
    "absurd-depth": content(f"depth = {10**9}"),
    "absurd-latent": content(f"latent = {10**18}"),
    "absurd-seed": content(f"seed = {2**63 - 1}\nepochs = {2**62}"),
    "long-name": content(f'data = "npz:{"a" * 5000}"'),
    "deep-tables": content(
        "\n".join(f"[{'.'.join(['a'] * n)}]" for n in range(1, 900))
    ),
    "deep-lists": content(f"a = {'[' * 3000}{']' * 3000}"),
    "many-keys": content("\n".join(f"k{n} = 1" for n in range(100_000))),
    "sparse": sparse(b"depth = 1\n", HOLE),
}
