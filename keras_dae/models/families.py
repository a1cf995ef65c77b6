"""Families of autoencoders, each a rule from depth and latent to an architecture.

The study's own family has widths chosen by hand. The others answer questions about it:
how good can a model be (`best`)? Is a deep one hard to train (`residual`)? Is an effect
due to depth and latent, or to the number of parameters (`equal-parameters`) or of
multiply-adds (`equal-macs`)? `docs/families.md` describes the rule of the last two.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise

from keras_dae.errors import UsageError, check
from keras_dae.models.architectures import Conv, DAESpec, plan

# Targets that members of the balanced families approximate as well as possible.
BALANCED_FIELD = 36  # pixels, of the 28x28 image and its padding
BALANCED_PARAMETERS = 40_000
BALANCED_MACS = 2_500_000
TOLERANCE = 0.01
KERNELS = (3, 5, 7, 9, 11)  # odd, so that 'same' pads both sides equally
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Family:
    """One row of `FAMILIES`.

    Attributes:
        prefix: prefix of the names of its models.
        plan: (depth, latent, image shape, filters or None) -> architecture.
    """

    prefix: str
    plan: Callable[[int, int, Shape, int | None], DAESpec]


def plan_residual(
    depth: int, latent: int, image_shape: Shape, filters: int | None = None
) -> DAESpec:
    """Return the autoencoder of `plan` with residual blocks and as many parameters.

    Raises:
        UsageError: see `plan`.

    Example:
        >>> plan_residual(9, 5, (28, 28, 1)).blocks
        (2, 4, 6)
    """
    return replace(plan(depth, latent, image_shape, filters), residual=True)


def plan_balanced(
    depth: int,
    latent: int,
    image_shape: Shape,
    filters: int | None = None,
    *,
    attribute: str,
    target: int,
) -> DAESpec:
    """Return an autoencoder with a receptive field near `BALANCED_FIELD`.

    The strided convolutions are those of `plan`. The kernels at the resolution of the
    latent have one size or two neighbouring sizes, the larger ones first, to bring the
    receptive field as close as possible. The hidden layers have one width, or two with
    the larger ones first: the most even ones that meet `target` within 1 %.

    Args:
        depth: convolutions in the encoder; more than the strided ones.
        latent: side of the latent in pixels.
        image_shape: height, width and channels of the images.
        filters: channels of the hidden layers; None chooses them by `target`.
        attribute: 'parameters' or 'macs'.
        target: the value of `attribute` to approximate.

    Raises:
        UsageError: there is no exact schedule, or no convolution at the resolution of
            the latent.
    """
    first = plan(depth, latent, image_shape, filters)
    free = sum(row == Conv(row.filters, 3, 1, "same") for row in first.layers)
    if not free:
        raise UsageError(
            "A balanced family needs a convolution at the resolution of the latent, "
            f"and this depth has none. Received: depth={depth}, latent={latent}."
        )
    spec = min(
        (with_kernels(first, kernels) for kernels in _neighbours(KERNELS, free)),
        key=lambda member: abs(member.receptive_field - BALANCED_FIELD),
    )
    return spec if filters is not None else with_widths(spec, attribute, target)


def with_kernels(spec: DAESpec, kernels: list[int]) -> DAESpec:
    """Return `spec` with these kernel sizes in its last layers."""
    rows = list(spec.layers)
    ends = zip(rows[-len(kernels) :], kernels, strict=True)
    rows[-len(kernels) :] = [replace(row, kernel_size=kernel) for row, kernel in ends]
    return replace(spec, layers=tuple(rows))


@lru_cache(maxsize=64)
def with_widths(spec: DAESpec, attribute: str, target: int) -> DAESpec:
    """Return `spec` with the most even widths that meet `target` within 1 %."""

    def rank(member: DAESpec) -> tuple[float, int]:
        off = abs(getattr(member, attribute) / target - 1)
        widths = member.widths[1:-1]
        return max(off, TOLERANCE), widths[0] - widths[-1]

    return min(_wider(spec), key=rank)


def _wider(spec: DAESpec) -> Iterator[DAESpec]:
    """Yield `spec` with one or two widths of hidden layers, the larger one first."""
    inner = spec.depth - 1
    for width in range(4, 129):
        for more in range(width // 2 + 1):
            for larger in range(1, inner) if more else [0]:
                widths = [width + more] * larger + [width] * (inner - larger)
                pairs = zip(spec.layers[:-1], widths, strict=True)
                rows = [replace(row, filters=width) for row, width in pairs]
                yield replace(spec, layers=(*rows, spec.layers[-1]))


def _neighbours(sizes: Sequence[int], count: int) -> Iterator[list[int]]:
    """Yield lists of one size or two neighbouring sizes, the larger ones first."""
    for size, larger_size in pairwise(sizes):
        for larger in range(count):
            yield [larger_size] * larger + [size] * (count - larger)


FAMILIES = {
    "dae": Family("DAE", plan),
    "best": Family("BEST", plan),
    "residual": Family("RES", plan_residual),
    "equal-parameters": Family(
        "EQP",
        partial(plan_balanced, attribute="parameters", target=BALANCED_PARAMETERS),
    ),
    "equal-macs": Family(
        "EQM", partial(plan_balanced, attribute="macs", target=BALANCED_MACS)
    ),
}


def plan_family(
    name: str, depth: int, latent: int, image_shape: Shape, filters: int | None = None
) -> DAESpec:
    """Return the architecture from a row of `FAMILIES`.

    Raises:
        UsageError: there is no such row, or see the family's planner.
    """
    check(
        name in FAMILIES, f"model should be one of {', '.join(FAMILIES)}.", model=name
    )
    family = FAMILIES[name]
    spec = family.plan(depth, latent, image_shape, filters)
    return replace(spec, family=family.prefix)
