"""Noisy and clean batches in one compiled call; needs numba.

The normals are those of `np.random.default_rng(words).standard_normal(dtype=
np.float32)`, bit for bit. Words become a state as O'Neill's seed_seq_fe mixes them
(pcg-random.org, 2015), the generator is her PCG64 (XSL-RR, HMC-CS-2014-0905), and the
normals come by the ziggurat of Marsaglia and Tsang (J. Stat. Softw. 5(8), 2000) with
256 layers, each of one 32-bit word where it is accepted at once. NumPy does the same
through a function call for each word. Here some thousand words are drawn together, by
two generators that leap over each other's; those that are not accepted at once, 15 in
1,000, are looked for; and what lies between two of them are normals, by the vector.

`keras_dae.images.drawing` decides whether it may be used. Types are numba's to find.
All is in one file, since numba keeps machine code by the date of the file it is of.
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
# PCG64's multiplier, and that of two steps at once, each in two halves.
_ONCE = U64(0x2360ED051FC65DA4), U64(0x4385DF649FCCF645)
_TWICE = U64(0x17BCE35BDF69743C), U64(0x529ED9EB20E0AE99)
_HALF, _MASK = U64(32), U64(0xFFFFFFFF)
# Words drawn together, few enough for a processor's caches, and normals computed at
# once: the last ones of a run may be too many, and are written over.
_TOGETHER, _LANES = 4096, 16
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
def _advanced(state, step, factor=_ONCE):
    """Return the halves of a 128-bit state after a step of PCG64."""
    high, low = state
    # Of the upper half's chain only the last line waits for the step before.
    rest = low * factor[0] + _upper(low, factor[1]) + step[0]
    low = low * factor[1] + step[1]
    rest = rest + U64(1) if low < step[1] else rest
    return high * factor[1] + rest, low


@without_lock
def _stream(words):
    """Return state and step of the PCG64 that a list of words seeds."""
    seeds = _seed(words)
    start, low, above, below = seeds[::2] | (seeds[1::2] << _HALF)
    step = (above << U64(1)) | (below >> U64(63)), (below << U64(1)) | U64(1)
    low += step[1]
    high = start + step[0] + (U64(1) if low < step[1] else U64(0))
    return _advanced((high, low), step), step


@without_lock
def _output(state):
    """Return the 64 bits of a state, of which the lower 32 are the first word."""
    mixed, turn = state[0] ^ state[1], state[0] >> U64(58)
    return (mixed >> turn) | (mixed << ((U64(64) - turn) & U64(63)))


@without_lock
def _fill(doubles, state, step):
    """Fill an even number of 64-bit words; return the state after them."""
    leap = _advanced(step, step)
    even = _advanced(state, step)
    odd = _advanced(even, step)
    for place in range(U64(0), U64(len(doubles)), U64(2)):
        doubles[place], doubles[place + U64(1)] = _output(even), _output(odd)
        state = odd
        even, odd = _advanced(even, leap, _TWICE), _advanced(odd, leap, _TWICE)
    return state


@without_lock
def _height(word):
    """Return where in its layer a word lies, of 2**23."""
    return word >> U32(9)


@without_lock
def _value(word):
    """Return the normal of a word that is accepted."""
    # Signed, since processors convert that faster.
    return F32(np.int32(_height(word))) * WIDTH[word & U32(511)]


@without_lock
def _unit(word):
    """Return a word as a float32 in [0, 1)."""
    return F32(word >> U32(8)) * F32(2.0**-24)


@without_lock
def _find(words, doubtful, curve):
    """List the places of words that are not accepted at once; return how many.

    With each comes the density at its value, in `curve`.
    """
    found = 0
    for place in range(U64(len(words))):
        word = words[place]
        doubtful[found] = place  # written over by the next one, unless it counts
        found += _height(word) >= AT_ONCE[word & U32(255)]
    for number in range(found):
        value = _value(words[doubtful[number]])
        curve[number] = math.exp(-0.5 * value * value)
    return found


@without_lock
def _word(words, place, stream, step):
    """Return a word, also one beyond those drawn together, and the stream after it."""
    if place < len(words):
        return words[place], stream
    state, spare, there = stream
    if there:
        return spare, (state, spare, False)
    state = _advanced(state, step)
    double = _output(state)
    return U32(double & _MASK), (state, U32(double >> _HALF), True)


@without_lock
def _decide(words, place, curve, stream, step):
    """Decide a word that was not accepted at once.

    Returns its value, whether it is one, the place after what it took, the stream.
    """
    word, place = words[place], place + U64(1)
    layer = word & U32(255)
    if layer:
        drawn, stream = _word(words, place, stream, step)
        rise = DENSITY[layer - 1] - DENSITY[layer]
        below = rise * _unit(drawn) + DENSITY[layer]
        return _value(word), below < curve, place + U64(1), stream
    while True:
        one, stream = _word(words, place, stream, step)
        other, stream = _word(words, place + U64(1), stream, step)
        place += U64(2)
        beyond = -PER_TAIL * F32(math.log1p(-_unit(one)))
        rest = -F32(math.log1p(-_unit(other)))
        if rest + rest > beyond * beyond:
            break
    value = TAIL + beyond
    return -value if (word >> U32(17)) & U32(1) else value, True, place, stream


@without_lock
def _normals(words, place, stream, step, room):
    """Write the normals of `words` from `place` on; return how many, and the stream."""
    normals, doubtful, curve = room
    found, count = _find(words, doubtful, curve), U64(0)
    doubtful[found] = len(words)
    for number in range(found + 1):
        stop = U64(doubtful[number])
        if stop < place:
            continue  # an earlier one took it
        for first in range(U64(0), stop - place, U64(_LANES)):
            for lane in range(U64(0), U64(_LANES)):
                value = _value(words[place + first + lane])
                normals[count + first + lane] = value
        count, place = count + stop - place, stop
        if number < found:
            value, accepted, place, stream = _decide(
                words, place, curve[number], stream, step
            )
            normals[count] = value
            count += U64(accepted)
    return count, stream


@without_lock
def _add(images, rows, low, reach, sigma, clip, normals, done, noisy, clean):
    """Write the pixels, noisy and clean, that `normals` are for, from `done` on.

    A value is scaled as `rows.normalise` does it.
    """
    first, size = 0, images.shape[1]
    while first < len(normals):
        image, place = divmod(done + first, size)
        some = min(len(normals) - first, size - place)
        pixels, noise = images[rows[image], place:], normals[first:]
        noised, scaled = noisy[image, place:], clean[image, place:]
        for pixel in range(some):
            value = (F32(np.int32(pixels[pixel])) - low) / reach
            value = min(max(value, F32(0)), F32(1))
            scaled[pixel] = value
            value = noise[pixel] * sigma + value
            noised[pixel] = min(max(value, F32(0)), F32(1)) if clip else value
        first += some


@without_lock
def draw(images, rows, words, batch_size, low, reach, sigma, clip, noisy, clean):
    """Fill `noisy` and `clean` with images and their Gaussian noise.

    Args:
        images: uint8 (N, P), P values an image.
        rows: which of them, int64 (n,).
        words: what seeds the first batch's stream, uint64 (k,), each below 2**32; for
            each batch after it the last word is one more. Changed.
        batch_size: images of a batch.
        low: image value that becomes 0, float32.
        reach: how much more becomes 1, float32.
        sigma: standard deviation of the noise, float32.
        clip: whether noisy values are clipped to [0, 1].
        noisy: float32 (n, P), written.
        clean: float32 (n, P), written.
    """
    doubles = np.empty(_TOGETHER // 2 + 1 + _LANES, U64)
    # Of normals, and of the words to be decided: their places, the density there.
    size = _TOGETHER + 3 + _LANES
    room = np.empty(size, F32), np.empty(size, np.int32), np.empty(size)
    for first in range(0, len(rows), batch_size):
        state, step = _stream(words)
        words[-1] += U64(1)
        stream = (state, U32(0), False)
        last = min(first + batch_size, len(rows))
        done, end = first * images.shape[1], last * images.shape[1]
        while done < end:
            left = end - done  # and a word more for some of them
            some = min(_TOGETHER // 2, (left + left // 32) // 4 * 2 + 2)
            state, spare, there = stream
            doubles[0] = U64(spare) << _HALF
            stream = (_fill(doubles[1 : 1 + some], state, step), U32(0), False)
            drawn = doubles[: 1 + some].view(U32)
            count, stream = _normals(drawn, U64(2 - there), stream, step, room)
            new = room[0][: min(count, left)]
            _add(images, rows, low, reach, sigma, clip, new, done, noisy, clean)
            done += len(new)
