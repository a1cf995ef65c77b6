"""Noisy and clean batches in one compiled call; needs numba.

The normals equal those of `np.random.default_rng(words).standard_normal(dtype=
np.float32)` bit for bit. Words become a state by O'Neill's seed_seq_fe (pcg-random.org,
2015). The generator is her PCG64 (XSL-RR, HMC-CS-2014-0905). The normals are drawn with
the ziggurat of Marsaglia and Tsang (J. Stat. Softw. 5(8), 2000) with 256 layers, from
one 32-bit word each if it is accepted at once.

NumPy calls a function for each word. Here some thousand words are drawn together, by
two interleaved generators. Then the words that are not accepted at once, 15 in 1,000,
are located, and the words between them are converted to normals with vector
instructions.

`keras_dae.images.drawing` decides whether this module is used. numba infers the types.
Everything is in one file, since numba caches machine code by the date of its file.
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
# The multiplier of PCG64, and that of two steps at once, each as two halves.
_ONCE = U64(0x2360ED051FC65DA4), U64(0x4385DF649FCCF645)
_TWICE = U64(0x17BCE35BDF69743C), U64(0x529ED9EB20E0AE99)
_HALF, _MASK = U64(32), U64(0xFFFFFFFF)
# Words drawn together, few enough for the processor caches, and normals computed
# together. The last normals of a block may be too many, and are overwritten.
_TOGETHER, _LANES = 4096, 16
# Constants of seed_seq_fe: size of its pool, start and factor of its two hashes, and
# the multipliers of its mix.
_POOL = 4
_IN, _IN_FACTOR = U64(0x43B0D7E5), U64(0x931E8875)
_OUT, _OUT_FACTOR = U64(0x8B51F9DD), U64(0x58F38DED)
_OWN, _OTHER, _FOLD = U64(0xCA01F9DD), U64(0x4973F715), U64(16)


def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each layer the acceptance threshold, the step width and the density.

    The widths are stored twice. The second copy is negative, for words whose sign bit
    is set.
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
    """Compile `function` to machine code that releases the interpreter lock."""
    return numba.njit(nogil=True, cache=True)(function)


@without_lock
def _hashed(word, constant, factor):
    """Return the hash of a word, and the constant for the next one."""
    after = constant * factor & _MASK
    word = (word ^ constant) * after & _MASK
    return word ^ (word >> _FOLD), after


@without_lock
def _seed(words):
    """Return the eight 32-bit words that seed a generator, from a list of words."""
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
    """Compute the upper half of a product of 64-bit words.

    This is one machine instruction with a 128-bit result, which numba cannot express.
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
    # Only the last line of the upper half depends on the step before.
    rest = low * factor[0] + _upper(low, factor[1]) + step[0]
    low = low * factor[1] + step[1]
    rest = rest + U64(1) if low < step[1] else rest
    return high * factor[1] + rest, low


@without_lock
def _stream(words):
    """Return state and step of the PCG64 seeded with a list of words."""
    seeds = _seed(words)
    start, low, above, below = seeds[::2] | (seeds[1::2] << _HALF)
    step = (above << U64(1)) | (below >> U64(63)), (below << U64(1)) | U64(1)
    low += step[1]
    high = start + step[0] + (U64(1) if low < step[1] else U64(0))
    return _advanced((high, low), step), step


@without_lock
def _output(state):
    """Return the 64 bits of a state; the lower 32 are the first word."""
    mixed, turn = state[0] ^ state[1], state[0] >> U64(58)
    return (mixed >> turn) | (mixed << ((U64(64) - turn) & U64(63)))


@without_lock
def _fill(doubles, state, step):
    """Fill an even number of 64-bit words; return the next state."""
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
    """Return the position of a word in its layer, in units of 2**-23."""
    return word >> U32(9)


@without_lock
def _value(word):
    """Return the normal of an accepted word."""
    # Signed integers convert faster.
    return F32(np.int32(_height(word))) * WIDTH[word & U32(511)]


@without_lock
def _unit(word):
    """Return a word as a float32 in [0, 1)."""
    return F32(word >> U32(8)) * F32(2.0**-24)


@without_lock
def _find(words, doubtful, curve):
    """Store the indices of words that are not accepted at once; return their number.

    The density at each of their values is stored in `curve`.
    """
    found = 0
    for place in range(U64(len(words))):
        word = words[place]
        doubtful[found] = place  # overwritten by the next one unless counted
        found += _height(word) >= AT_ONCE[word & U32(255)]
    for number in range(found):
        value = _value(words[doubtful[number]])
        curve[number] = math.exp(-0.5 * value * value)
    return found


@without_lock
def _word(words, place, stream, step):
    """Return a word, possibly beyond the block, and the stream after it."""
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
    """Process a word that was not accepted at once.

    Returns its value, whether it is accepted, the index after the used words, and the
    stream.
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
    """Write the normals of `words` from `place` on; return their number, the stream."""
    normals, doubtful, curve = room
    found, count = _find(words, doubtful, curve), U64(0)
    doubtful[found] = len(words)
    for number in range(found + 1):
        stop = U64(doubtful[number])
        if stop < place:
            continue  # already used by an earlier word
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
    """Write the noisy and clean pixels for `normals`, from index `done` on.

    Values are scaled as in `rows.normalise`.
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
        images: uint8 (N, P), with P values per image.
        rows: indices of the images, int64 (n,).
        words: seed of the stream of the first batch, uint64 (k,), each below 2**32. The
            last word increases by one per batch. Modified in place.
        batch_size: images per batch.
        low: image value that is scaled to 0, float32.
        reach: difference to the value that is scaled to 1, float32.
        sigma: standard deviation of the noise, float32.
        clip: whether noisy values are clipped to [0, 1].
        noisy: float32 (n, P), output.
        clean: float32 (n, P), output.
    """
    doubles = np.empty(_TOGETHER // 2 + 1 + _LANES, U64)
    # Normals, and for the remaining words their indices and densities.
    size = _TOGETHER + 3 + _LANES
    room = np.empty(size, F32), np.empty(size, np.int32), np.empty(size)
    for first in range(0, len(rows), batch_size):
        state, step = _stream(words)
        words[-1] += U64(1)
        stream = (state, U32(0), False)
        last = min(first + batch_size, len(rows))
        done, end = first * images.shape[1], last * images.shape[1]
        while done < end:
            left = end - done  # some normals need more than one word
            some = min(_TOGETHER // 2, (left + left // 32) // 4 * 2 + 2)
            state, spare, there = stream
            doubles[0] = U64(spare) << _HALF
            stream = (_fill(doubles[1 : 1 + some], state, step), U32(0), False)
            drawn = doubles[: 1 + some].view(U32)
            count, stream = _normals(drawn, U64(2 - there), stream, step, room)
            new = room[0][: min(count, left)]
            _add(images, rows, low, reach, sigma, clip, new, done, noisy, clean)
            done += len(new)
