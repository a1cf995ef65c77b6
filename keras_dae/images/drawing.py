"""Training batches from compiled code if numba is installed, identical to NumPy's.

With numba (the extra `numba`), one call draws a whole item of Gaussian pairs. It
releases the interpreter lock, so that a training step in another thread does not wait.
All other pairs are drawn by NumPy (`keras_dae.images.pairs`). Both give the same
numbers.
"""

import importlib.util
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from keras_dae.images.noise import Gaussian, Noise
from keras_dae.images.rows import Images

# Arguments: images, rows, noise, words, batch size, low and high; see `compiled`.
Draw = Callable[
    [Images, np.ndarray, Noise, Sequence[int], int, float, float],
    tuple[np.ndarray, np.ndarray],
]


def compiled(noise: Noise, images: Images) -> Draw | None:
    """Return compiled code that draws these pairs, or None if NumPy should draw them.

    It supports Gaussian noise on uint8 images. Its arguments are

    - the images, uint8 (N, H, W, C), and the indices to draw, integers (n,);
    - the noise, and the words that seed the stream of the first batch
      (`streams.words`), each below 2**32; the last word increases by one per batch;
    - the batch size; the last batch holds the rest;
    - the image values that are scaled to 0 and 1.

    It returns (noisy, clean), float32 (n, H, W, C).
    """
    if type(noise) is not Gaussian or images.dtype != np.uint8:
        return None
    return _checked()


@cache
def _checked() -> Draw | None:
    """Return the compiled code if numba works and its numbers equal NumPy's.

    NumPy's streams may change between versions (NEP 19), and the tails use the system's
    logarithm. Therefore both draw 65,536 numbers once, which are compared.
    """
    if importlib.util.find_spec("numba") is None:
        return None
    try:
        draw = _through_numba()
        values = np.arange(256, dtype=np.uint8)
        images = np.tile(values, 256).reshape(64, 32, 32, 1)
        noise = Gaussian()
        noisy, clean = draw(images, np.arange(64), noise, [1, 2, 3, 4, 0], 32, 0, 255)
    except Exception:  # numba does not work: too old, no writable cache
        return None
    rngs = [np.random.default_rng([1, 2, 3, 4, batch]) for batch in (0, 1)]
    wanted = [noise(*pair) for pair in zip(np.split(clean, 2), rngs, strict=True)]
    return draw if noisy.tobytes() == np.concatenate(wanted).tobytes() else None


def _through_numba() -> Draw:
    from keras_dae.images import ziggurat

    def draw(
        images: Images,
        rows: np.ndarray,
        noise: Noise,
        words: Sequence[int],
        batch_size: int,
        low: float,
        high: float,
    ) -> tuple[np.ndarray, np.ndarray]:
        assert isinstance(noise, Gaussian)  # ensured by `compiled`
        shape = (len(rows), *images.shape[1:])
        if not (isinstance(images, np.ndarray) and images.flags.c_contiguous):
            images, rows = np.ascontiguousarray(images[rows]), np.arange(len(rows))
        pixels = images.reshape(len(images), -1).view(np.ndarray)
        # Read-only like a mapped file, so that the code is compiled for one type.
        pixels.flags.writeable = False
        noisy, clean = np.empty(shape, np.float32), np.empty(shape, np.float32)
        ziggurat.draw(
            *(pixels, rows.astype(np.int64), np.array(words, np.uint64), batch_size),
            *(np.float32(low), np.float32(high - low)),
            *(np.float32(noise.sigma), noise.clip),
            *(noisy.reshape(len(rows), -1), clean.reshape(len(rows), -1)),
        )
        return noisy, clean

    return draw
