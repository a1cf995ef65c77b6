"""Denoise an image by its similar patches, with weights learned from it alone.

The method is NL-Ridge (S. Herbreteau and C. Kervrann, "Towards a Unified View of
Unsupervised Non-Local Methods for Image Denoising: The NL-Ridge Approach", ICIP 2022).
Each patch of a grid is stacked with the most similar patches around it. A linear
denoising autoencoder for this stack replaces each patch by a weighted sum of all of
them. The weights with the smallest expected error have a closed form, so nothing is
trained in steps:

- First pass: the clean patches are unknown, but the variance of the noise is not, which
  is enough for an unbiased estimate of the error (Stein, 1981).
- Second pass: the output of the first pass takes the place of the clean patches.

The noise must be independent from pixel to pixel. Its variance may depend on the
brightness, as it does in camera images and if noise is clipped: it is estimated from
the image, per channel, as a function of brightness.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from keras_dae.denoising.tile_model import MOST_TILE, Tiled, checked_overlap
from keras_dae.denoising.tiles import Tiling, even_tile
from keras_dae.errors import check
from keras_dae.images.estimates import NoiseCurve, noise_curves
from keras_dae.images.io.pictures import Page, UnreadableError, to_unit

SMALLEST = 16  # smallest side in pixels
SEARCH = 12  # largest distance of a similar patch along each axis, in pixels
STEP = 3  # distance of the patches of the grid, in pixels
GRID_ROWS = 8  # rows of the grid that are computed at once, which bounds the memory
LEAST_VARIANCE = 1e-6  # of the noise of a whole patch
RIDGE = 1e-6  # added to the mean square of the patches of a stack
SAMPLES, SAMPLE = 16, 256  # blocks for the noise curve, and their side in pixels


class Stack(NamedTuple):
    """Size of the stacks of similar patches.

    Attributes:
        side: side of a patch in pixels.
        patches: number of patches.
    """

    side: int
    patches: int


# First and second pass, by number of channels; more than one are like RGB. Chosen on
# validation photographs (`python -m benchmarks.self_photographs`).
STACKS = {1: (Stack(9, 18), Stack(7, 64)), 3: (Stack(5, 18), Stack(4, 64))}
# The outermost pixels of a tile see fewer similar patches, so they get weight 0.
MARGIN = SEARCH + 9
RAMP = 16  # pixels over which neighbouring tiles are blended


class SimilarPatches(Tiled):
    """A function of tiles that denoises by similar patches.

    Args:
        curves: the noise of each channel.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> clean = np.linspace(0.2, 0.8, 64, dtype="float32").reshape(64, 1, 1)
        >>> noisy = clean + 0.1 * rng.standard_normal((64, 64, 1), "float32")
        >>> denoised = SimilarPatches(noise_curves(noisy[None])).denoise(noisy)
        >>> bool(np.std(denoised - clean) < 0.02)
        True
    """

    def __init__(self, curves: list[NoiseCurve]) -> None:
        self.curves, self.sides = curves, (None, None)

    @property
    def tile(self) -> tuple[int, int]:
        """Height and width of a tile of a large image."""
        return MOST_TILE, MOST_TILE

    def tiling(self, height: int, width: int, overlap: int | None = None) -> Tiling:
        """Return how an image of this size is split into tiles.

        Args:
            height: height of the image in pixels.
            width: width of the image in pixels.
            overlap: pixels that tiles share; None for the default.

        Raises:
            UsageError: the overlap is as large as a tile.
        """
        size = height, width
        shared = 2 * MARGIN + RAMP
        if overlap is not None:
            shared = checked_overlap(overlap, self.tile)
        shared = min(shared, height - 1, width - 1)
        tall, wide = (even_tile(side, MOST_TILE, shared) for side in size)
        return Tiling(size, (tall, wide), shared, min(MARGIN, shared // 2))

    def __call__(self, tiles: np.ndarray) -> np.ndarray:
        """Denoise tiles (n, h, w, C), float32 in [0, 1]."""
        return np.stack([self._denoised(tile) for tile in tiles])

    def _denoised(self, noisy: np.ndarray) -> np.ndarray:
        from scipy.ndimage import gaussian_filter

        first, second = STACKS[1 if noisy.shape[2] == 1 else 3]
        smooth = gaussian_filter(noisy, (1.5, 1.5, 0))
        # In the mean over channels, patches are least hidden by noise.
        grey = noisy.mean(axis=2, keepdims=True)
        pilot = _combined(noisy, self._variances(smooth), first, grey, None)
        return _combined(noisy, self._variances(pilot), second, pilot, pilot)

    def _variances(self, brightness: np.ndarray) -> np.ndarray:
        channels = zip(self.curves, np.moveaxis(brightness, 2, 0), strict=True)
        return np.stack([curve(channel) for curve, channel in channels], axis=2)


def learn(page: Page, limits: tuple[float, float]) -> SimilarPatches:
    """Return the denoiser of one page, which knows the noise of this page.

    Args:
        page: an image of 1 or 3 channels with noise that is independent between
            pixels. Each side must be at least `SMALLEST`.
        limits: the values that are scaled to 0 and 1.

    Raises:
        UnreadableError: the image is too small.
    """
    height, width = page.values.shape[:2]
    if min(height, width) < SMALLEST:
        raise UnreadableError(
            f"is {width}x{height} pixels; --self needs {SMALLEST}x{SMALLEST} or more"
        )
    blocks = np.stack(list(_samples(page.values)))
    return SimilarPatches(noise_curves(to_unit(blocks, *limits, page.inverted)))


def learn_from(images: np.ndarray) -> SimilarPatches:
    """Return the denoiser of images with the same noise, (N, H, W, C) in [0, 1].

    Raises:
        UsageError: the images are too small.
    """
    check(
        min(images.shape[1:3]) >= SMALLEST,
        f"Each side must be at least {SMALLEST} pixels.",
        shape=images.shape[1:3],
    )
    blocks = [block for image in images for block in _samples(image)]
    return SimilarPatches(noise_curves(np.stack(blocks)))


def _samples(values: np.ndarray) -> Iterator[np.ndarray]:
    """Yield blocks of (H, W, C), all of it if it is small."""
    height, width = values.shape[:2]
    each = int(np.sqrt(SAMPLES))
    if height * width <= SAMPLES * SAMPLE**2:
        yield values
        return
    sides = min(height, SAMPLE), min(width, SAMPLE)
    for top in np.linspace(0, height - sides[0], each, dtype=int):
        for left in np.linspace(0, width - sides[1], each, dtype=int):
            yield values[top : top + sides[0], left : left + sides[1]]


def _combined(
    noisy: np.ndarray,
    variances: np.ndarray,
    stack: Stack,
    guide: np.ndarray,
    pilot: np.ndarray | None,
) -> np.ndarray:
    """Return one pass over an image.

    Args:
        noisy: the image, float32 (H, W, C).
        variances: variance of the noise of each value, (H, W, C).
        stack: size of the stacks.
        guide: image in which similar patches are searched, (H, W, channels).
        pilot: stands for the clean image; None in the first pass.
    """
    height, width, channels = noisy.shape
    inside = _offsets(stack.side, width)
    total = np.zeros((height * width, channels + 1))  # of answers, and of their trust
    for corners in _similar(guide, stack):
        places = corners[..., None] + inside  # (stacks, patches, pixels of a patch)
        values = _patches(noisy, places)
        noise = _patches(variances, places).sum(axis=2) + np.float32(LEAST_VARIANCE)
        known = None if pilot is None else _patches(pilot, places)
        weights = _weights(values, noise, known)
        answers = weights.transpose(0, 2, 1) @ values
        # The variance of an answer is that of the noise times the sum of squares.
        trust = 1 / np.maximum(np.square(weights).sum(axis=1), 1e-3)
        parts = np.ones((*places.shape, channels + 1), np.float32)
        parts[..., :-1] = answers.reshape(*places.shape, channels)
        parts *= trust[..., None, None]
        for channel, sums in enumerate(total.T):
            found = parts[..., channel].ravel()
            sums += np.bincount(places.ravel(), found, len(total))
    mean: np.ndarray = total[:, :-1] / total[:, -1:]
    return mean.reshape(noisy.shape).astype(np.float32)


def _patches(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return the values of patches, (stacks, patches, values)."""
    values: np.ndarray = image.reshape(-1, image.shape[2])[places]
    return values.reshape(*places.shape[:2], -1)


def _weights(
    values: np.ndarray, noise: np.ndarray, known: np.ndarray | None
) -> np.ndarray:
    """Return the weights with the smallest expected error, (stacks, patches, patches).

    Column j gives the weights of all patches in the answer for patch j.

    Args:
        values: noisy patches, (stacks, patches, values).
        noise: variance of the noise of each patch, summed over its values.
        known: the same patches of the pilot, or None.
    """
    used = values if known is None else known
    products = used @ used.transpose(0, 2, 1)
    identity = np.eye(noise.shape[1], dtype=np.float32)
    diagonal = noise[:, :, None] * identity
    # Patches can be equal. Without a little more, their matrix has no inverse.
    size = np.trace(products, axis1=1, axis2=2) / noise.shape[1]
    regular = products + np.float32(RIDGE) * size[:, None, None] * identity
    if known is not None:
        return np.asarray(np.linalg.solve(regular + diagonal, products))
    regular += np.float32(1e-4) * diagonal
    return np.asarray(identity - np.linalg.solve(regular, diagonal))


def _similar(guide: np.ndarray, stack: Stack) -> Iterator[np.ndarray]:
    """Yield the corners of similar patches, as flat positions (stacks, patches).

    Each stack holds the patch of the grid itself.
    """
    height, width, _ = guide.shape
    rows, columns = (_grid(side, stack.side) for side in (height, width))
    reach = np.arange(-SEARCH, SEARCH + 1)
    shifts = (reach[:, None] * width + reach).ravel()
    for first in range(0, len(rows), GRID_ROWS):
        some = rows[first : first + GRID_ROWS]
        distances = _distances(guide, some, columns, stack.side)
        distances[:, len(shifts) // 2] = -1
        last = stack.patches - 1
        nearest = np.argpartition(distances, last, axis=1)[:, : stack.patches]
        # A small image may have fewer patches: the patch itself takes their place.
        missing = np.isinf(np.take_along_axis(distances, nearest, axis=1))
        nearest[missing] = len(shifts) // 2
        yield (some[:, None] * width + columns).reshape(-1, 1) + shifts[nearest]


def _distances(
    guide: np.ndarray, rows: np.ndarray, columns: np.ndarray, side: int
) -> np.ndarray:
    """Return squared distances of grid patches to shifted ones, (patches, shifts).

    The distance to a patch that is not inside the image is infinite.
    """
    height, width, _ = guide.shape
    top, bottom = rows[0], rows[-1] + side
    shifts = range(-SEARCH, SEARCH + 1)
    found = np.full((len(shifts) ** 2, len(rows), len(columns)), np.inf, np.float32)
    for number, (down, right) in enumerate((y, x) for y in shifts for x in shifts):
        low, high = max(top, -down), min(bottom, height - down)
        left, end = max(0, -right), min(width, width - right)
        if high - low < side or end - left < side:
            continue
        here = guide[low:high, left:end]
        there = guide[low + down : high + down, left + right : end + right]
        sums = _box_sums(np.square(here - there).sum(axis=2), side)
        ys, xs = rows - low, columns - left
        fits_y = (ys >= 0) & (ys < sums.shape[0])
        fits_x = (xs >= 0) & (xs < sums.shape[1])
        found[number][np.ix_(fits_y, fits_x)] = sums[np.ix_(ys[fits_y], xs[fits_x])]
    return np.ascontiguousarray(found.reshape(len(found), -1).T)


def _box_sums(values: np.ndarray, side: int) -> np.ndarray:
    """Return the sum of each side x side window of (h, w), at its upper left corner."""
    for _ in range(2):
        sums = np.cumsum(np.pad(values, ((1, 0), (0, 0))), axis=0)
        values = (sums[side:] - sums[:-side]).T
    return values


def _grid(length: int, side: int) -> np.ndarray:
    """Return the first pixels of the grid's patches; the last patch ends the image."""
    return np.unique([*range(0, length - side, STEP), length - side])


def _offsets(side: int, width: int) -> np.ndarray:
    """Return the flat positions of a patch's pixels relative to its corner."""
    return (np.arange(side)[:, None] * width + np.arange(side)).ravel()
