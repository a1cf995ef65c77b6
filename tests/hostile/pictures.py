"""Images and ONNX files that must not be read."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from tests.hostile.data import Make, _write, content, npy

GREY = np.arange(48 * 48, dtype=np.int64).reshape(48, 48).astype(np.uint8)


def encoded(kind: str, array: np.ndarray = GREY, **options: Any) -> bytes:
    buffer = io.BytesIO()
    if kind == "TIFF":
        tifffile.imwrite(buffer, array, metadata=None)
    elif kind == "NPY":
        np.save(buffer, array)
    else:
        Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def png(width: int, height: int, data: bytes, *extra: bytes, depth: int = 8) -> bytes:
    """Return a PNG file that says it is of this size."""
    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    body = b"".join(extra) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body


def zeros(count: int) -> bytes:
    """Return so many zeros, deflated."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(bytes(1 << 20)) for _ in range(count >> 20)]
    return b"".join([*parts, packer.flush()])


def resized(kind: str, place: int, form: str, *sizes: int) -> Make:
    """Return what writes a good image with other sizes in its header."""

    def make(path: Path) -> None:
        data = bytearray(encoded(kind))
        struct.pack_into(form, data, place, *sizes)
        path.write_bytes(data)

    return make


def jpeg(width: int, height: int) -> Make:
    def make(path: Path) -> None:
        data = bytearray(encoded("JPEG"))
        place = data.index(b"\xff\xc0") + 5
        struct.pack_into(">HH", data, place, height, width)
        path.write_bytes(data)

    return make


def tagged(tag: int, value: int, kind: int = 4, count: int = 1) -> Make:
    """Return what writes a TIFF file with another value of a tag."""
    return retagged((tag, value, kind, count))


def retagged(*tags: tuple[int, int, int, int]) -> Make:
    """Return the same for several tags: number, value, type, count."""

    def make(path: Path) -> None:
        data = bytearray(encoded("TIFF"))
        start = struct.unpack_from("<I", data, 4)[0]
        for number in range(struct.unpack_from("<H", data, start)[0]):
            place = start + 2 + 12 * number
            for tag, value, kind, count in tags:
                if struct.unpack_from("<H", data, place)[0] == tag:
                    struct.pack_into("<HII", data, place + 2, kind, count, value)
        path.write_bytes(data)

    return make


def _pages(path: Path) -> None:
    """100,000 pages of one pixel: directories that each lead to the next."""
    entry = struct.Struct("<HHII")
    tags = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1)]
    tags += [(278, 1), (279, 1)]
    size = 2 + 12 * len(tags) + 4
    parts = [struct.pack("<2sHI", b"II", 42, 8)]
    for number in range(100_000):
        head = struct.pack("<H", len(tags))
        body = b"".join(entry.pack(tag, 4, 1, value) for tag, value in tags)
        parts += [head, body, struct.pack("<I", 8 + size * (number + 1))]
    path.write_bytes(b"".join(parts))


def _circle(path: Path) -> None:
    """A directory that leads back to itself."""
    data = bytearray(encoded("TIFF"))
    start = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, start)[0]
    struct.pack_into("<I", data, start + 2 + 12 * count, start)
    struct.pack_into("<H", data, start + 2, 65000)  # and its first tag is unknown
    path.write_bytes(data)


def _tiff_bomb(path: Path) -> None:
    """A strip of 48x48 pixels that inflates to a gigabyte."""
    packed = zeros(1 << 30)
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            iter([packed]), shape=(50_000, 50_000), dtype=np.uint8, compression="zlib",
            rowsperstrip=50_000, metadata=None,
        )  # fmt: skip


def _animation(path: Path) -> None:
    frames = [Image.fromarray(GREY + n) for n in range(3)]
    frames[0].save(path, "PNG", save_all=True, append_images=frames[1:])


def _wide_webp(path: Path) -> None:
    """16,383 x 16,383 pixels of one colour, in a few dozen bytes of VP8L."""
    bits = b"\x2f" + struct.pack("<I", 16382 | 16382 << 14)
    body = bits + b"\x88\x88\x08\x10\x11\xf0\x0f"
    body += bytes(len(body) % 2)
    whole = b"WEBPVP8L" + struct.pack("<I", len(body)) + body
    path.write_bytes(b"RIFF" + struct.pack("<I", len(whole)) + whole)


BOMB = zlib.compress(bytes(1 << 28), 9)
PICTURES: dict[str, Make] = {
    "empty.png": content(b""),
    "text.png": content("a text, renamed"),
    "truncated.png": content(encoded("PNG")[:60]),
    "flipped.png": content(encoded("PNG").replace(b"IDAT", b"IDAt")),
    "bomb.png": lambda path: _write(path, png(60_000, 60_000, zeros(1 << 30))),
    "lying.png": content(png(15_000, 15_000, zlib.compress(bytes(99)))),
    "beyond-limits.png": content(png(2**31 - 1, 2**31 - 1, b"")),
    "no-pixel.png": content(png(0, 0, b"")),
    "text-bomb.png": content(
        png(8, 8, b"", chunk(b"zTXt", b"a\0\0" + BOMB), chunk(b"iCCP", b"a\0\0" + BOMB))
    ),
    "depth-of-99.png": content(png(8, 8, zlib.compress(bytes(99)), depth=99)),
    "animated.png": _animation,
    "another-name.png": content(encoded("JPEG")),
    "truncated.jpg": content(encoded("JPEG")[:200]),
    "lying.jpg": jpeg(65_000, 65_000),
    "lying-small.jpg": jpeg(15_000, 15_000),
    "no-scan.jpg": content(encoded("JPEG")[:20] + b"\xff\xd9"),
    "truncated.webp": content(encoded("WEBP")[:60]),
    "one-colour.webp": _wide_webp,
    "lying.webp": resized("WEBP", 4, "<I", 2**32 - 2),
    "truncated.bmp": content(encoded("BMP")[:900]),
    "lying.bmp": resized("BMP", 18, "<ii", 2**31 - 1, 2**31 - 1),
    "lying-small.bmp": resized("BMP", 18, "<ii", 15_000, 15_000),
    "negative.bmp": resized("BMP", 18, "<ii", -48, 48),
    "truncated.tif": content(encoded("TIFF")[:700]),
    "pages.tif": _pages,
    "circle.tif": _circle,
    "bomb.tif": _tiff_bomb,
    "width.tif": tagged(256, 2**31),
    "width-within.tif": tagged(256, 10**6),
    # The width a fraction, two numbers; times the length they were a tuple of 2 GB.
    "width-of-two.tif": retagged((256, 8, 5, 1), (257, 1 << 27, 4, 1)),
    "samples.tif": tagged(277, 60_000),
    "bits.tif": tagged(258, 60_000),
    "count.tif": tagged(273, 8, count=2**31),
    "offset.tif": tagged(273, 2**32 - 1),
    "compression.tif": tagged(259, 50_000),
    "photometric.tif": tagged(262, 32803),
    "truncated.npy": content(encoded("NPY")[:500]),
    "lying.npy": content(npy("'|u1'", "(200000, 200000)")),
    "objects.npy": content(npy("'|O'", "(4, 4)", b"\x80\x04.")),
    "negative.npy": content(npy("'|u1'", "(-9, -9)", bytes(81))),
    "header-of-code.npy": content(npy("'|u1'", "__import__('os').getcwd()")),
    "nan.npy": content(encoded("NPY", np.full((9, 9), np.nan))),
    "five-axes.npy": content(encoded("NPY", np.zeros((2, 2, 2, 2, 2), np.uint8))),
}


# ONNX


def model(*nodes: Any, initializers: tuple[Any, ...] = (), **more: Any) -> Any:
    """Return an ONNX model of these nodes, from 'x' to 'y'."""
    from onnx import TensorProto, helper

    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 12, 12, 1])
        for name in ("x", "y")
    ]
    graph = helper.make_graph(
        nodes, "g", ends[:1], ends[1:], initializer=list(initializers)
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, **more
    )


def onnx(build: Callable[[Any], Any]) -> Make:
    """Return what writes the ONNX model that `build` makes with `onnx.helper`."""

    def make(path: Path) -> None:
        from onnx import helper

        path.write_bytes(build(helper).SerializeToString())

    return make


def added(tensor: Any) -> Any:
    from onnx import helper

    return model(helper.make_node("Add", ["x", "w"], ["y"]), initializers=(tensor,))


def external(location: str, offset: str = "0", length: str = "4") -> Make:
    def build(helper: Any) -> Any:
        from onnx import TensorProto

        tensor = TensorProto(name="w", data_type=1, dims=[1], data_location=1)
        for key, value in (
            ("location", location),
            ("offset", offset),
            ("length", length),
        ):
            tensor.external_data.add(key=key, value=value)
        return added(tensor)

    return onnx(build)


def shaped(*dims: int) -> Make:
    def build(helper: Any) -> Any:
        from onnx import TensorProto

        return added(TensorProto(name="w", data_type=1, dims=dims))

    return onnx(build)


def filled(kind: str, *sizes: int) -> Make:
    """Return what writes a model that makes a tensor of these sizes as it runs."""

    def build(helper: Any) -> Any:
        from onnx import TensorProto

        wanted = helper.make_tensor("s", TensorProto.INT64, [len(sizes)], sizes)
        inputs = ["s"] if kind == "ConstantOfShape" else ["x", "s"]
        return model(
            helper.make_node(kind, inputs, ["big"]),
            helper.make_node("ReduceMax", ["big"], ["m"], keepdims=0),
            helper.make_node("Add", ["x", "m"], ["y"]),
            initializers=(wanted,),
        )

    return onnx(build)


def _loop(helper: Any) -> Any:
    from onnx import TensorProto

    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("d", TensorProto.BOOL, [])],
    )
    times = helper.make_tensor("t", TensorProto.INT64, [], [2**62])
    true = helper.make_tensor("b", TensorProto.BOOL, [], [True])
    return model(
        helper.make_node("Loop", ["t", "b"], [], body=body),
        helper.make_node("Identity", ["x"], ["y"]),
        initializers=(times, true),
    )


def _functions(helper: Any) -> Any:
    """Functions that each call the one before twice: 2 to the 40th nodes."""
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    inner, found = "Identity", []
    for number in range(40):
        nodes = [
            helper.make_node(inner, ["a"], ["b"], domain="mine" if number else ""),
            helper.make_node(inner, ["b"], ["c"], domain="mine" if number else ""),
        ]
        found.append(
            helper.make_function("mine", f"f{number}", ["a"], ["c"], nodes, opset)
        )
        inner = f"f{number}"
    made = model(helper.make_node(inner, ["x"], ["y"], domain="mine"), functions=found)
    made.opset_import.append(helper.make_opsetid("mine", 1))
    return made


def _identity(helper: Any) -> Any:
    return model(helper.make_node("Identity", ["x"], ["y"]))


ONNX: dict[str, Make] = {
    "empty": content(b""),
    "text": content("an ONNX model"),
    "truncated": lambda path: (
        onnx(_identity)(path),
        path.write_bytes(path.read_bytes()[:40]),
    )[0],
    "external-up": external("../../etc/passwd"),
    "external-absolute": external("/etc/passwd"),
    "external-missing": external("weights.bin"),
    "external-itself-too-long": external("external-itself-too-long.onnx", "0", "99999"),
    "external-negative": external("external-negative.onnx", "-8", "4"),
    "tensor-absurd": shaped(10**6, 10**6),
    "tensor-negative": shaped(-4, 4),
    "tensor-without-data": shaped(12, 12, 1),
    "constant-of-shape": filled("ConstantOfShape", 10**5, 10**6),
    "expanded": filled("Expand", 10**5, 12, 12, 10**5),
    "tiled": filled("Tile", 10**3, 10**3, 10**3, 10**3),
    "loop": onnx(_loop),
    "functions": onnx(_functions),
    "no-node": onnx(lambda helper: model()),
    "unknown-operation": onnx(
        lambda helper: model(helper.make_node("Evil", ["x"], ["y"], domain="evil"))
    ),
}
