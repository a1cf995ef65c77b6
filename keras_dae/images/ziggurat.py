"""Noisy and clean batches in one compiled call; needs numba.

The normals are those of `np.random.default_rng(words).standard_normal(dtype=
np.float32)`, bit for bit. Words become a state as O'Neill's seed_seq_fe mixes them
(pcg-random.org, 2015), the generator is her PCG64 (XSL-RR, HMC-CS-2014-0905), and the
normals come by the ziggurat of Marsaglia and Tsang (J. Stat. Softw. 5(8), 2000) with
256 layers, each of one 32-bit word where it is accepted at once. NumPy does the same
through a function call for each word; here the generator's state stays in registers,
and a pixel is scaled, noised and clipped as soon as its normal is there.

`keras_dae.images.drawing` decides whether it may be used. Types are numba's to find.
"""

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

# Where the ziggurat's tail begins, and the area of each of its layers.
_TAIL, _AREA = 3.6541528853610088, 0.00492867323399
_LAYERS, _BITS = 256, 23
U32, U64, F32 = np.uint32, np.uint64, np.float32
# PCG64's multiplier, in two halves.
_HIGH, _LOW = U64(0x2360ED051FC65DA4), U64(0x4385DF649FCCF645)
_HALF, _MASK = U64(32), U64(0xFFFFFFFF)
# seed_seq_fe: its pool's words, where its two hashes begin and what they go on by, and
# what its mix takes of either word.
_POOL = 4
_IN, _IN_FACTOR = U64(0x43B0D7E5), U64(0x931E8875)
_OUT, _OUT_FACTOR = U64(0x8B51F9DD), U64(0x58F38DED)
_OWN, _OTHER, _FOLD = U64(0xCA01F9DD), U64(0x4973F715), U64(16)


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return of each layer: what is accepted at once, a step's width, the density.

    The widths come twice, the second time for a word whose bit above its layer's says
    that the normal is negative.
    """
    edges = np.empty(_LAYERS)
    edges[0], edges[-1] = _AREA / math.exp(-(_TAIL**2) / 2), _TAIL
    for layer in range(_LAYERS - 2, 0, -1):
        beyond = edges[layer + 1]
        height = _AREA / beyond + math.exp(-(beyond**2) / 2)
        edges[layer] = math.sqrt(-2 * math.log(height))
    inner = np.array([_TAIL, 0.0, *edges[1:-1]])
    at_once = np.rint(inner / edges * 2**_BITS).astype(np.uint32)
    density = np.exp(-(edges**2) / 2)
    density[0] = 1.0
    width = (edges / 2**_BITS).astype(F32)
    return at_once, np.concatenate([width, -width]), density.astype(F32)


AT_ONCE, WIDTH, DENSITY = _tables()
TAIL, PER_TAIL = F32(_TAIL), F32(1 / _TAIL)


def without_lock(function: Callable[..., Any]) -> Any:
    """Return `function` as machine code that runs without the interpreter's lock."""
    return numba.njit(nogil=True, cache=True)(function)


@without_lock
def _hashed(word, constant, factor):
    """Return a word's hash, and the constant of the next one."""
    after = constant * factor & _MASK
    word = (word ^ constant) * after & _MASK
    return word ^ (word >> _FOLD), after


@without_lock
def _seed(words):
    """Return the eight words of 32 bits that a list of words seeds a generator with."""
    pool, constant = np.zeros(_POOL, U64), _IN
    for place in range(_POOL):
        word = words[place] if place < len(words) else U64(0)
        pool[place], constant = _hashed(word, constant, _IN_FACTOR)
    for source in range(max(_POOL, len(words))):
        for place in range(_POOL):
            if place != source:
                word = pool[source] if source < _POOL else words[source]
                word, constant = _hashed(word, constant, _IN_FACTOR)
                mixed = (_OWN * pool[place] - _OTHER * word) & _MASK
                pool[place] = mixed ^ (mixed >> _FOLD)
    seeds, constant = np.empty(2 * _POOL, U64), _OUT
    for place in range(2 * _POOL):
        seeds[place], constant = _hashed(pool[place % _POOL], constant, _OUT_FACTOR)
    return seeds


def _upper_half(_, one, other):
    """Return how the upper half of a product of 64-bit words is computed, and its type.

    As one instruction: the whole product has 128 bits, which numba has no name for.
    """

    def build(_, builder, __, words):
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(word, wide) for word in words))
        shifted = builder.lshr(product, ir.Constant(wide, 64))
        return builder.trunc(shifted, ir.IntType(64))

    return one(one, other), build


_upper: Any = intrinsic(_upper_half)


@without_lock
def _advanced(high, low, step):
    """Return the halves of a 128-bit state after one step of PCG64."""
    high = high * _LOW + low * _HIGH + _upper(low, _LOW) + step[0]
    low = low * _LOW + step[1]
    return (high + U64(1) if low < step[1] else high), low


@without_lock
def _stream(words):
    """Return state and step of the PCG64 that a list of words seeds."""
    seeds = _seed(words)
    start, low, above, below = seeds[::2] | (seeds[1::2] << _HALF)
    step = (above << U64(1)) | (below >> U64(63)), (below << U64(1)) | U64(1)
    low += step[1]
    high = start + step[0] + (U64(1) if low < step[1] else U64(0))
    high, low = _advanced(high, low, step)
    return (high, low, U32(0), False), step


@without_lock
def _word(state, step):
    """Return 32 bits and the state after them: (high, low, spare word, is it there)."""
    high, low, spare, there = state
    if there:
        return spare, (high, low, spare, False)
    high, low = _advanced(high, low, step)
    mixed, turn = high ^ low, high >> U64(58)
    drawn = (mixed >> turn) | (mixed << ((U64(64) - turn) & U64(63)))
    return U32(drawn & _MASK), (high, low, U32(drawn >> _HALF), True)


@without_lock
def _unit(word):
    """Return a word as a float32 in [0, 1)."""
    return F32(word >> U32(8)) * F32(2.0**-24)


@without_lock
def _at_the_edge(state, step, word, value):
    """Decide what was not accepted at once: state, is it accepted, its value."""
    layer = word & U32(255)
    if layer:
        drawn, state = _word(state, step)
        rise = DENSITY[layer - 1] - DENSITY[layer]
        below = rise * _unit(drawn) + DENSITY[layer]
        return state, below < math.exp(-0.5 * value * value), value
    while True:
        one, state = _word(state, step)
        other, state = _word(state, step)
        beyond = -PER_TAIL * F32(math.log1p(-_unit(one)))
        rest = -F32(math.log1p(-_unit(other)))
        if rest + rest > beyond * beyond:
            break
    drawn = TAIL + beyond
    return state, True, -drawn if (word >> U32(17)) & U32(1) else drawn


@without_lock
def draw(images, rows, words, batch_size, scale, sigma, clip, noisy, clean):
    """Fill `noisy` and `clean` with images and their Gaussian noise.

    Args:
        images: uint8 (N, P), P values an image.
        rows: which of them, int64 (n,).
        words: what seeds the first batch's stream, uint64 (k,), each below 2**32; for
            each batch after it the last word is one more. Changed.
        batch_size: images of a batch.
        scale: what each of the 256 values becomes, float32.
        sigma: standard deviation of the noise, float32.
        clip: whether noisy values are clipped to [0, 1].
        noisy: float32 (n, P), written.
        clean: float32 (n, P), written.
    """
    for first in range(0, len(rows), batch_size):
        state, step = _stream(words)
        words[-1] += U64(1)
        for image in range(first, min(first + batch_size, len(rows))):
            pixels = images[rows[image]]
            for place in range(len(pixels)):
                accepted = False
                while not accepted:
                    word, state = _word(state, step)
                    layer, height = word & U32(255), word >> U32(9)
                    value = F32(height) * WIDTH[word & U32(511)]
                    accepted = height < AT_ONCE[layer]
                    if not accepted:
                        state, accepted, value = _at_the_edge(state, step, word, value)
                pixel = scale[pixels[place]]
                clean[image, place] = pixel
                value = value * sigma + pixel
                if clip:
                    value = min(max(value, F32(0)), F32(1))
                noisy[image, place] = value
