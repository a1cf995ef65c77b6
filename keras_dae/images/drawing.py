"""Training batches by compiled code, where it is there: NumPy's bits, drawn faster.

With numba (the extra `numba`) a whole item of Gaussian pairs is one call that does not
hold the interpreter's lock, so that a training step beside it does not wait for one.
Everything else, and everything where numba is absent, NumPy draws
(`keras_dae.images.pairs`); no number depends on which of the two it was.
"""

import importlib.util
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from keras_dae.images.noise import Gaussian, Noise
from keras_dae.images.rows import Images

# Of images, rows, noise, words, batch size, low and high; see `compiled`.
Draw = Callable[
    [Images, np.ndarray, Noise, Sequence[int], int, float, float],
    tuple[np.ndarray, np.ndarray],
]


def compiled(noise: Noise, images: Images) -> Draw | None:
    """Return what draws these pairs by compiled code, or None where NumPy is to.

    It takes Gaussian noise on uint8 images, and is called with

    - the images, uint8 (N, H, W, C), and which of them, whole numbers (n,);
    - the noise, and the words that seed the first batch's stream (`streams.words`),
      each below 2**32; the last word is one more for each batch after it;
    - the images of a batch, of which the last one holds the rest;
    - the image values that become 0 and 1;

    and returns (noisy, clean), float32 (n, H, W, C).
    """
    if type(noise) is not Gaussian or images.dtype != np.uint8:
        return None
    return _checked()


@cache
def _checked() -> Draw | None:
    """Return the compiled code if numba is there and it draws what this NumPy draws.

    NumPy's streams may change from one version to the next (NEP 19), and a logarithm in
    the tails is the system's: both draw 65,536 numbers once, and are compared.
    """
    if importlib.util.find_spec("numba") is None:
        return None
    try:
        draw = _through_numba()
        values = np.arange(256, dtype=np.uint8)
        images = np.tile(values, 256).reshape(64, 32, 32, 1)
        noise = Gaussian()
        noisy, clean = draw(images, np.arange(64), noise, [1, 2, 3, 4, 0], 32, 0, 255)
    except Exception:  # numba cannot work here: too old, no place for its files
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
        assert isinstance(noise, Gaussian)  # `compiled` saw to it
        shape = (len(rows), *images.shape[1:])
        if not (isinstance(images, np.ndarray) and images.flags.c_contiguous):
            images, rows = np.ascontiguousarray(images[rows]), np.arange(len(rows))
        pixels = images.reshape(len(images), -1).view(np.ndarray)
        pixels.flags.writeable = False  # as a mapped file's are: compiled for one type
        noisy, clean = np.empty(shape, np.float32), np.empty(shape, np.float32)
        ziggurat.draw(
            *(pixels, rows.astype(np.int64), np.array(words, np.uint64), batch_size),
            *(np.float32(low), np.float32(high - low)),
            *(np.float32(noise.sigma), noise.clip),
            *(noisy.reshape(len(rows), -1), clean.reshape(len(rows), -1)),
        )
        return noisy, clean

    return draw
