"""Families of autoencoders: how depth and latent become a geometry; `FAMILIES`.

The study's own family chooses its widths by hand. The others answer questions about
it: how good one can be (`best`), whether a deep one is hard to train (`residual`), and
whether a claim is about depth and latent or about what comes with them: parameters
(`equal-parameters`) or multiply-adds (`equal-macs`). `docs/families.md` states the rule
of the last two.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise

from keras_dae.errors import UsageError, check
from keras_dae.models.architectures import Conv, DAESpec, plan

# What the members of the balanced families are as near to as their geometry allows.
BALANCED_FIELD = 36  # pixels, of the 28x28 image and its padding
BALANCED_PARAMETERS = 40_000
BALANCED_MACS = 2_500_000
TOLERANCE = 0.01
KERNELS = (3, 5, 7, 9, 11)  # odd ones: 'same' then pads both sides alike
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Family:
    """One row of `FAMILIES`.

    Attributes:
        prefix: what its models' names begin with.
        plan: (depth, latent, image shape, filters or None) -> geometry.
    """

    prefix: str
    plan: Callable[[int, int, Shape, int | None], DAESpec]


def plan_residual(
    depth: int, latent: int, image_shape: Shape, filters: int | None = None
) -> DAESpec:
    """Return the autoencoder of `plan` with residual blocks, of equal parameters.

    Raises:
        UsageError: as `plan` does.

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

    The reducing convolutions are those of `plan`. The kernels at the latent's
    resolution are of one size or of two neighbouring sizes, the larger ones first, so
    that the receptive field is nearest. The layers between image and latent have one
    width, or two with the larger ones first: the most even ones for which `attribute`
    meets `target` within 1 %.

    Args:
        depth: convolutions in the encoder; at least one more than the reducing ones.
        latent: side of the latent, in pixels.
        image_shape: height, width and channels of the images.
        filters: channels between image and latent; None takes the widths that
            `target` asks for.
        attribute: 'parameters' or 'macs'.
        target: the value of `attribute` to be near to.

    Raises:
        UsageError: no exact schedule, or no convolution at the latent's resolution.
    """
    first = plan(depth, latent, image_shape, filters)
    free = sum(row == Conv(row.filters, 3, 1, "same") for row in first.layers)
    if not free:
        raise UsageError(
            "A balanced family chooses the kernels at the latent's resolution, and "
            f"this depth has none there. Received: depth={depth}, latent={latent}."
        )
    spec = min(
        (with_kernels(first, kernels) for kernels in _neighbours(KERNELS, free)),
        key=lambda member: abs(member.receptive_field - BALANCED_FIELD),
    )
    return spec if filters is not None else with_widths(spec, attribute, target)


def with_kernels(spec: DAESpec, kernels: list[int]) -> DAESpec:
    """Return `spec` with these kernels in its last layers."""
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
    """Yield `spec` with one or two widths up to its latent, the larger one first."""
    inner = spec.depth - 1
    for width in range(4, 129):
        for more in range(width // 2 + 1):
            for larger in range(1, inner) if more else [0]:
                widths = [width + more] * larger + [width] * (inner - larger)
                pairs = zip(spec.layers[:-1], widths, strict=True)
                rows = [replace(row, filters=width) for row, width in pairs]
                yield replace(spec, layers=(*rows, spec.layers[-1]))


def _neighbours(sizes: Sequence[int], count: int) -> Iterator[list[int]]:
    """Yield `count` sizes of one value or of two neighbouring ones, larger first."""
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
    """Return the member of a row of `FAMILIES`, named by it.

    Raises:
        UsageError: no such row, or as the family's planner does.
    """
    check(
        name in FAMILIES, f"model should be one of {', '.join(FAMILIES)}.", model=name
    )
    family = FAMILIES[name]
    spec = family.plan(depth, latent, image_shape, filters)
    return replace(spec, family=family.prefix)
