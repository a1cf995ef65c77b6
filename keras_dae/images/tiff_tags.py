"""Tags of a TIFF file as bytes; tags that remain valid for new pixels are kept."""

from typing import Any, BinaryIO

import tifffile

# Tags for the storage of pixels, which the writer sets itself; 274 becomes upright.
_STORAGE = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 266, 273, 274, 277, 278, 279, 282, 283),
    *(284, 288, 289, 292, 293, 296, 301, 317, 318, 319, 320, 322, 323, 324, 325, 332),
    *(334, 338, 339, 347, *range(512, 522), 529, 530, 531, 532, 32997, 34675),
}
# Tags that point to separate directories, which are not copied.
_POINTERS = {
    330: "its smaller copies (SubIFDs)",
    34665: "EXIF",
    34853: "GPS data",
    40965: "EXIF's interoperability data",
}


class Tags:
    """Tags as bytes. Tags shared by pages are stored once, and the total is bounded."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, 2 * size + (1 << 20)
        self._held: dict[tuple[int, int], bytes] = {}
        self.lost: set[str] = set()

    def of(self, page: Any) -> list[tuple[int, int, int, bytes, bool]]:
        """Return all tags of a page that remain valid for new pixels."""
        kept = []
        for tag in page.tags:
            if tag.code in _POINTERS:
                self.lost.add(_POINTERS[tag.code])
            elif tag.code not in _STORAGE:
                filtered = tag.code in tifffile.TIFF.TAG_FILTERED  # by its writer
                value = None if filtered else self._value(tag)
                if value is None:
                    self.lost.add(f"tag {tag.code}")
                else:
                    kept.append((tag.code, int(tag.dtype), tag.count, value, False))
        return kept

    def _value(self, tag: Any) -> bytes | None:
        place = (int(tag.valueoffset), int(tag.valuebytecount))
        self._left -= place[1]
        if self._left < 0:
            return None
        if place not in self._held:
            self._file.seek(place[0])
            self._held[place] = self._file.read(place[1])
        value = self._held[place]
        return value if 0 < len(value) == place[1] else None
