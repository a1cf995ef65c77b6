"""Families of autoencoders: how depth and latent become a geometry; `FAMILIES`.

The study's own family chooses its widths by hand. The others answer questions about
it: how good one can be (`best`), and whether a claim is about depth and latent or
about the capacity that came with them (`matched`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from keras_dae.errors import UsageError
from keras_dae.models.architectures import Conv, DAESpec, plan

# What each member of the matched family comes as near to as its geometry allows. 36
# pixels are what DAE_5_5 sees, the most of the nine; 100,000 parameters lie amid them.
MATCHED_FIELD = 36
MATCHED_PARAMETERS = 100_000
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


def plan_matched(
    depth: int, latent: int, image_shape: Shape, filters: int | None = None
) -> DAESpec:
    """Return an autoencoder of about `MATCHED_PARAMETERS` that sees `MATCHED_FIELD`.

    The reducing convolutions are those of `plan`; the kernels at the latent's
    resolution grow until the receptive field is nearest, then the width is chosen.

    Args:
        depth: convolutions in the encoder; those beyond the reducing ones are what
            can be matched, so there must be one.
        latent: side of the latent, in pixels.
        image_shape: height, width and channels of the images.
        filters: channels between image and latent; None matches the parameters.

    Raises:
        UsageError: no exact schedule, or no convolution left to match with.
    """
    first = plan(depth, latent, image_shape, filters)
    free = sum(row == Conv(row.filters, 3, 1, "same") for row in first.layers)
    if not free:
        raise UsageError(
            "The matched family chooses the kernels at the latent's resolution; at "
            f"this depth there are none. Received: depth={depth}, latent={latent}."
        )
    wide = filters or first.widths[1]
    members = [_member(first, kernel, free, wide) for kernel in KERNELS]
    spec = min(members, key=lambda s: abs(s.receptive_field - MATCHED_FIELD))
    if filters is not None:
        return spec
    widths = (
        _member(spec, spec.layers[-1].kernel_size, free, n) for n in range(4, 257)
    )
    return min(widths, key=lambda s: abs(s.parameters - MATCHED_PARAMETERS))


def _member(spec: DAESpec, kernel: int, free: int, filters: int) -> DAESpec:
    """Return `spec` with this kernel in its last `free` layers, and this width."""
    rows = [replace(row, filters=filters) for row in spec.layers]
    rows[-free:] = [replace(row, kernel_size=kernel) for row in rows[-free:]]
    rows[-1] = replace(rows[-1], filters=spec.layers[-1].filters)
    return replace(spec, layers=tuple(rows))


FAMILIES = {
    "dae": Family("DAE", plan),
    "best": Family("BEST", plan),
    "matched": Family("MATCHED", plan_matched),
}


def plan_family(
    name: str, depth: int, latent: int, image_shape: Shape, filters: int | None = None
) -> DAESpec:
    """Return the member of a row of `FAMILIES`, named by it.

    Raises:
        UsageError: as the family's planner does.
    """
    family = FAMILIES[name]
    spec = family.plan(depth, latent, image_shape, filters)
    return replace(spec, family=family.prefix)
