"""Geometry of symmetric convolutional autoencoders, as data without keras.

An encoder is a tuple of `Conv` rows; the decoder mirrors it with transposed
convolutions. Every strided convolution divides exactly, so that its mirror restores the
input size: 'valid' with `(size - kernel) % strides == 0`, or 'same' with `size %
strides == 0`. Its kernel is at least twice its stride, so that each pixel is covered by
at least two kernel positions per axis.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import groupby, pairwise
from math import prod
from numbers import Integral
from typing import Any

from keras_dae.errors import UsageError, check, is_a

DEPTHS = (1, 3, 5)
LATENTS = (13, 8, 5)
LATENT_CHANNELS = 4
# Bounds of the search for a schedule. 12 is the smallest kernel that reduces 28 to 5 in
# one step with this overlap.
MAX_KERNEL = 12
MODERATE_STRIDE = 3
MAX_DEPTH = 64
MAX_IMAGE_SIZE = 4096


@dataclass(frozen=True)
class Conv:
    """One convolution of the encoder, and its mirror in the decoder.

    Attributes:
        filters: output channels.
        kernel_size: side of its square kernel in pixels.
        strides: step between kernel positions in pixels.
        padding: 'valid' or 'same'.
    """

    filters: int
    kernel_size: int
    strides: int = 1
    padding: str = "valid"

    def output_size(self, size: int) -> int:
        """Return the side of the output for an input of side `size`."""
        if self.padding == "same":
            return -(-size // self.strides)
        return (size - self.kernel_size) // self.strides + 1

    def __str__(self) -> str:
        size = f"{self.kernel_size}x{self.kernel_size}"
        stride = f"/{self.strides}" if self.strides > 1 else ""
        return f"{size}{stride}" + (" same" if self.padding == "same" else "")


@dataclass(frozen=True)
class DAESpec:
    """The specification of a denoising autoencoder, which `build` turns into a model.

    Attributes:
        image_size: height of the image in pixels.
        channels: channels of the image (1 grey, 3 colour).
        layers: the convolutions of the encoder in order; the last one outputs the
            latent.
        family: prefix of the name.
        image_width: width of the image in pixels; None for square images.
        residual: whether layers of equal shape form residual blocks, see `blocks`.
    """

    image_size: int
    channels: int
    layers: tuple[Conv, ...]
    family: str = "DAE"
    image_width: int | None = None
    residual: bool = False

    @property
    def depth(self) -> int:
        """Convolutions in the encoder, and transposed ones in the decoder."""
        return len(self.layers)

    @property
    def name(self) -> str:
        """The paper's name, such as DAE_5_13 for depth 5 and a latent of 13x13.

        If the latent is not square, the shorter side is used.
        """
        return f"{self.family}_{self.depth}_{min(self.latent_shape[:2])}"

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Heights of the feature maps from the image to the latent, both included."""
        return self._along(self.image_size)

    @cached_property
    def _across(self) -> tuple[int, ...]:
        """Widths of the feature maps, in pixels."""
        return self._along(self.image_width or self.image_size)

    def _along(self, side: int) -> tuple[int, ...]:
        sizes = [side]
        for layer in self.layers:
            sizes.append(layer.output_size(sizes[-1]))
        return tuple(sizes)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Channels of the feature maps from the image to the latent."""
        return (self.channels, *(layer.filters for layer in self.layers))

    @cached_property
    def blocks(self) -> tuple[int, ...]:
        """Indices in `layers` of the first layers of residual blocks.

        A block is two consecutive layers that keep the shape, with a skip connection
        around both; so is its mirror in the decoder. The first and the last layer are
        never part of a block, so that no connection bypasses the latent. Empty unless
        `residual`.
        """
        shapes = list(zip(self.sizes, self._across, self.widths, strict=True))
        found, place = [], 1
        while self.residual and place + 2 < self.depth:
            same = len({*shapes[place : place + 3]}) == 1
            found += [place] * same
            place += 2 if same else 1
        return tuple(found)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape of one image, channels last."""
        return (self.sizes[0], self._across[0], self.channels)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Shape of the latent, channels last; the paper writes (4, 13, 13)."""
        return (self.sizes[-1], self._across[-1], self.widths[-1])

    @property
    def latent_ratio(self) -> float:
        """Latent values per image value: the paper's "compression rate" (table 1)."""
        return prod(self.latent_shape) / prod(self.image_shape)

    @property
    def parameters(self) -> int:
        """Trainable weights and biases of encoder and decoder."""
        total = 0
        for layer, (given, made) in zip(
            self.layers, pairwise(self.widths), strict=True
        ):
            total += 2 * layer.kernel_size**2 * given * made + made + given
        return total

    @property
    def macs(self) -> int:
        """Multiply-adds per image; a transposed convolution counts as its mirror."""
        sides = zip(self.sizes[1:], self._across[1:], strict=True)
        rows = zip(self.layers, sides, pairwise(self.widths), strict=True)
        return sum(
            2 * height * width * layer.kernel_size**2 * given * made
            for layer, (height, width), (given, made) in rows
        )

    @property
    def receptive_field(self) -> int:
        """Side of the receptive field of one latent value, in pixels.

        Padding is included, so the side can exceed the image.
        """
        field, jump = 1, 1
        for layer in self.layers:
            field += (layer.kernel_size - 1) * jump
            jump *= layer.strides
        return field


@dataclass(frozen=True, order=True)
class Step:
    """One strided convolution of a schedule, without its filters."""

    kernel_size: int
    strides: int
    padding: str


Sides = tuple[int, int]  # the shorter one first


def reduction(
    size: int, latent: int, depth: int, longer: int | None = None
) -> tuple[Step, ...] | None:
    """Return the strided convolutions from `size` to `latent`, or None if impossible.

    Fewer convolutions are preferred, then smaller kernels in total. Strides above
    `MODERATE_STRIDE` are used only if `depth` convolutions do not suffice otherwise.

    Args:
        size: the shorter side of the image.
        latent: the shorter side of the latent.
        depth: largest number of convolutions.
        longer: the longer side of the image, which the same convolutions must divide
            exactly; None for a square image.
    """
    for max_stride in (MODERATE_STRIDE, MAX_KERNEL // 2):
        steps = _schedules((size, longer or size), max_stride).get(latent)
        if steps is not None and len(steps) <= depth:
            return steps
    return None


@lru_cache(maxsize=16)
def _schedules(sides: Sides, max_stride: int) -> dict[int, tuple[Step, ...]]:
    """Return the best schedule to each reachable shorter side (Dijkstra)."""
    queue: list[tuple[int, int, Sides, tuple[Step, ...]]] = [(0, 0, sides, ())]
    settled: set[Sides] = set()
    best: dict[int, tuple[Step, ...]] = {}
    while queue:
        count, kernels, reached, steps = heapq.heappop(queue)
        if reached in settled:
            continue
        settled.add(reached)
        best.setdefault(reached[0], steps)
        for made, step in _steps(reached, max_stride):
            if made not in settled:
                row = (count + 1, kernels + step.kernel_size, made)
                heapq.heappush(queue, (*row, (*steps, step)))
    return best


def _steps(sides: Sides, max_stride: int) -> Iterator[tuple[Sides, Step]]:
    short, long = sides
    for strides in range(1, max_stride + 1):
        for kernel in range(2 * strides, min(MAX_KERNEL, short) + 1):
            if (short - kernel) % strides == 0 and (long - kernel) % strides == 0:
                made = (short - kernel) // strides + 1, (long - kernel) // strides + 1
                yield made, Step(kernel, strides, "valid")
        if strides > 1 and short % strides == 0 and long % strides == 0:
            made = short // strides, long // strides
            yield made, Step(2 * strides, strides, "same")


# (depth, latent) -> channels of the hidden layers.
FILTERS = {
    (3, 13): 48,
    (3, 8): 48,
    (3, 5): 32,
    (5, 13): 48,
    (5, 8): 64,
    (5, 5): 48,
}
DEFAULT_FILTERS = 32


def default_filters(depth: int, latent: int) -> int:
    """Return the channels of the hidden layers of the study's family."""
    return FILTERS.get((depth, latent), DEFAULT_FILTERS)


def plan(
    depth: int,
    latent: int,
    image_shape: tuple[int, int, int] = (28, 28, 1),
    filters: int | None = None,
) -> DAESpec:
    """Return an architecture with `depth` convolutions and a latent of this side.

    The strided convolutions come first. The remaining ones are 3x3 'same' at the
    resolution of the latent. The last one outputs the 4 channels of the latent
    (table 1).

    Args:
        depth: convolutions in the encoder, and transposed ones in the decoder.
        latent: side of the latent in pixels. If images are not square, it is the
            shorter side, and the same convolutions reduce both sides.
        image_shape: height, width and channels of the images.
        filters: channels of the hidden layers; None uses `FILTERS`.

    Raises:
        UsageError: a value is out of range, or there is no exact schedule. The message
            suggests the nearest latent side.
    """
    check(
        is_a(depth, Integral) and is_a(latent, Integral),
        "depth and latent must be whole numbers.",
        depth=depth,
        latent=latent,
    )
    check(
        is_a(image_shape, Sequence) and len(image_shape) == 3,
        "image_shape must be (height, width, channels).",
        image_shape=image_shape,
    )
    height, width, channels = image_shape
    size, longer = sorted((height, width))
    check(
        size >= 2 and longer <= MAX_IMAGE_SIZE,
        f"The image side must be from 2 to {MAX_IMAGE_SIZE}.",
        image_size=height if height == width else f"{height}x{width}",
    )
    check(1 <= depth <= MAX_DEPTH, f"depth must be from 1 to {MAX_DEPTH}.", depth=depth)
    check(
        1 <= latent <= size,
        f"latent must be from 1 to the image side {size}.",
        latent=latent,
    )
    steps = reduction(size, latent, depth, longer)
    if steps is None:
        raise UsageError(_no_schedule(size, latent, depth, longer))
    width_between = default_filters(depth, latent) if filters is None else filters
    check(width_between > 0, "filters must be positive.", filters=filters)
    check(channels > 0, "channels must be positive.", channels=channels)
    same = [Step(3, 1, "same")] * (depth - len(steps))
    rows = [
        Conv(width_between, step.kernel_size, step.strides, step.padding)
        for step in (*steps, *same)
    ]
    rows[-1] = replace(rows[-1], filters=LATENT_CHANNELS)
    oblong = None if width == height else width
    return DAESpec(height, channels, tuple(rows), image_width=oblong)


def _no_schedule(size: int, latent: int, depth: int, longer: int) -> str:
    def reaches(side: int, depth: int) -> bool:
        return reduction(size, side, depth, longer) is not None

    reachable = [side for side in range(1, size + 1) if reaches(side, depth)]
    nearest = min(reachable, key=lambda side: (abs(side - latent), -side))
    deeper = next(
        (more for more in range(depth + 1, 13) if reaches(latent, more)), None
    )
    hint = f", and a latent of {latent} needs depth {deeper}" if deeper else ""
    wanted = f"{latent}x{latent}" if size == longer else f"a shorter side of {latent}"
    return (
        f"There is no exact way from {size}x{longer} to {wanted} in {depth} "
        f"convolution{'s' if depth > 1 else ''} with kernels from twice the stride to "
        f"{MAX_KERNEL}; the nearest latent at depth {depth} is {nearest}{hint}. "
        f"Received: depth={depth}, latent={latent}."
    )


def paper_specs() -> list[DAESpec]:
    """Return the specifications of the nine models, in the order of table 1."""
    return [plan(depth, latent) for depth in reversed(DEPTHS) for latent in LATENTS]


def _counted(texts: list[str]) -> Iterator[str]:
    """Yield each run of equal texts once, with its length: 'a', '3 of b'."""
    for text, same in groupby(texts):
        count = len(list(same))
        yield text if count == 1 else f"{count} of {text}"


def architecture_row(spec: DAESpec) -> dict[str, Any]:
    """Return a row of table 1, with details that the paper does not state."""
    layers = ", ".join(_counted([str(layer) for layer in spec.layers]))
    if spec.residual:
        layers += f"; residual blocks: {len(spec.blocks)}"
    return {
        "name": spec.name,
        "depth": spec.depth,
        "latent": min(spec.latent_shape[:2]),
        "latent_shape": list(spec.latent_shape),
        "latent_ratio": spec.latent_ratio,
        "layers": layers,
        "filters": spec.layers[0].filters,
        "parameters": spec.parameters,
        "macs": spec.macs,
        "receptive_field": spec.receptive_field,
    }
