"""Metadata of JPEG, PNG and WebP files, copied as bytes.

Only the orientation is parsed. It is set to 1, since pixels are stored upright.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from PIL import JpegImagePlugin

from keras_dae.images.io.pictures import UnreadableError

ORIENTATION = 0x0112
MOST_CHUNKS = 10_000  # of metadata in one PNG file
# Chunks of a PNG file that describe how its values were stored.
_STORED = {b"tRNS", b"acTL", b"fcTL", b"fdAT"}
_OF_TYPE = {b"bKGD", b"sBIT", b"hIST", b"sPLT"}
_JPEG_START = b"\xff\xd8"
Chunks = list[tuple[bytes, bytes]]


def upright_exif(exif: bytes) -> bytes:
    """Return EXIF, with or without its prefix, with the orientation set to upright."""
    start = 6 if exif.startswith(b"Exif\0\0") else 0
    result = bytearray(exif)
    order = "<" if exif[start : start + 2] == b"II" else ">"
    try:
        (offset,) = struct.unpack_from(f"{order}I", exif, start + 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start + offset)
        for number in range(count):
            place = start + offset + 2 + 12 * number
            if struct.unpack_from(f"{order}H", exif, place)[0] == ORIENTATION:
                struct.pack_into(f"{order}H", result, place + 8, 1)
    except struct.error:
        return exif
    return bytes(result)


def upright_xmp(xmp: bytes) -> bytes:
    """Return XMP with the orientation, if it has one, set to upright."""
    return re.sub(rb"(tiff:Orientation(?:=[\"']|>))[2-8]", rb"\g<1>1", xmp)


# JPEG


def jpeg_segments(image: Any) -> Chunks:
    """Return the segments of an open JPEG image that remain valid for new pixels."""
    kept = []
    for name, data in image.applist:
        marker = b"\xfe" if name == "COM" else bytes([0xE0 + int(name[3:])])
        if name == "APP14" or (name == "APP2" and data.startswith(b"MPF\0")):
            continue  # colour encoding; offsets of further pictures
        if data.startswith(b"Exif\0\0"):
            data = upright_exif(data)
        elif name == "APP1":
            data = upright_xmp(data)
        kept.append((marker, data))
    return kept


def jpeg_options(image: Any) -> dict[str, Any]:
    """Return the encoder options of an open JPEG image: tables, sampling, scans."""
    options: dict[str, Any] = {
        "qtables": image.quantization,
        "progressive": bool(image.info.get("progressive")),
    }
    sampling = JpegImagePlugin.get_sampling(image)
    return options | {"subsampling": max(0, sampling)}


def with_segments(content: bytes, segments: Chunks) -> bytes:
    """Return a JPEG file with other segments before its tables."""
    rest = content[2:]
    if any(data.startswith(b"JFIF\0") for _, data in segments) and (
        rest.startswith(b"\xff\xe0")
    ):
        rest = rest[2 + int.from_bytes(rest[2:4]) :]
    elif rest.startswith(b"\xff\xe0"):
        length = 2 + int.from_bytes(rest[2:4])
        segments = [(b"\xe0", rest[4:length]), *segments]
        rest = rest[length:]
    parts = [
        b"\xff" + marker + (len(data) + 2).to_bytes(2) + data
        for marker, data in segments
    ]
    return b"".join([_JPEG_START, *parts, rest])


def after_jpeg(content: bytes) -> int:
    """Return the number of bytes after the end of the picture in a JPEG file."""
    place = 2
    while content[place : place + 1] == b"\xff" and content[place + 1] != 0xDA:
        place += 2 + int.from_bytes(content[place + 2 : place + 4])
    end = content.find(b"\xff\xd9", place)
    return len(content[end + 2 :].rstrip(b"\0")) if end >= 0 else 0


# PNG


def png_chunks(content: bytes, kept_type: bool, turned: bool) -> Chunks:
    """Return the chunks of a PNG file that remain valid for new pixels.

    Args:
        content: the file.
        kept_type: whether values are stored in the same type as before.
        turned: whether pixels were rotated according to the orientation.
    """
    kept = []
    for kind, data in _chunks(content):
        if (
            kind[:1].isupper()
            or kind in _STORED
            or (kind in _OF_TYPE and not kept_type)
        ):
            continue
        if turned and re.match(rb"Raw profile type (exif|APP1)\0", data):
            continue
        if kind == b"eXIf":
            data = upright_exif(data)
        elif data.startswith(b"XML:com.adobe.xmp\0"):
            data = upright_xmp(data)
        kept.append((kind, data))
        if len(kept) > MOST_CHUNKS:
            raise UnreadableError(f"holds more than {MOST_CHUNKS:,} chunks of metadata")
    return kept


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 8
    while place + 12 <= len(content):
        size = int.from_bytes(content[place : place + 4])
        yield content[place + 4 : place + 8], content[place + 8 : place + 8 + size]
        place += 12 + size


def with_chunks(content: bytes, chunks: Chunks) -> bytes:
    """Return a PNG file with other chunks after its header."""
    parts = [
        len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)
        for kind, data in chunks
    ]
    own = [
        len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)
        for kind, data in _chunks(content)
        if kind[:1].isupper()
    ]
    return b"".join([content[:8], own[0], *parts, *own[1:]])


# WebP


def webp_quality(content: bytes) -> int | None:
    """Return the approximate quality of a WebP file, or None if it is lossless.

    The base quantizer of libwebp is 127 (1 - c), where c is the cube root of a
    piecewise linear function of the quality. With segments, the effective value lies
    between the mean and the minimum of their quantizers, closer to the mean.
    """
    place = 12
    while place + 8 <= len(content):
        kind, size = content[place : place + 4], content[place + 4 : place + 8]
        if kind == b"VP8 ":
            quantiser = _quantiser(content[place + 8 :])
            linear = (1 - quantiser / 127) ** 3
            quality = 1.5 * linear if linear < 0.5 else (linear + 1) / 2
            return round(100 * quality)
        length = int.from_bytes(size, "little")
        place += 8 + length + length % 2
    return None


def _quantiser(frame: bytes) -> float:
    """Return the quantizer, 0 to 127, of a VP8 key frame (RFC 6386, 9.2-9.6)."""
    bits = _bits(frame[10:])

    def number(count: int) -> int:
        return sum(next(bits) << (count - 1 - n) for n in range(count))

    def optional(count: int) -> int:
        if not number(1):
            return 0
        value = number(count)
        return -value if number(1) else value

    number(2)
    segments, absolute = [0], False
    if number(1):
        with_map, with_data = number(1), number(1)
        if with_data:
            absolute = bool(number(1))
            segments = [optional(7) for _ in range(4)]
            _ = [optional(6) for _ in range(4)]
        if with_map:
            _ = [number(8) if number(1) else 255 for _ in range(3)]
    number(10)
    if number(1) and number(1):
        _ = [optional(6) for _ in range(8)]
    number(2)
    base = number(7)
    mean = (3 * sum(segments) / len(segments) + min(segments)) / 4
    return min(127.0, max(0.0, mean if absolute else base + mean))


def _bits(data: bytes) -> Iterator[int]:
    """Yield the bits of VP8's boolean decoder, each with a probability of one half."""
    value, span, place = int.from_bytes(data[:2]), 255, 2
    count = 0
    while True:
        split = 1 + ((span - 1) * 128 >> 8)
        bit = value >= split << 8
        if bit:
            span, value = span - split, value - (split << 8)
        else:
            span = split
        while span < 128:
            span, value, count = span << 1, value << 1, count + 1
            if count == 8:
                count = 0
                value |= data[place] if place < len(data) else 0
                place += 1
        yield int(bit)
