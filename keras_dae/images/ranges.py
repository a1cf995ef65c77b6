"""Which values become 0 and 1: those that are told, of the type, or of the data."""

import numpy as np

from keras_dae.images.io.pictures import (
    COUNTS,
    RANGES,
    Page,
    UnreadableError,
)

# 12 and 14 bits are kept in 16: what stays below is taken for counts of such a kind.
FEW_BITS = 1 << 14
PERCENTILES = (0.1, 99.9)
_SAMPLE = 1 << 20  # values of a page that are looked at for its percentiles
MAX_GAPS = 0.1  # of a page's values
Range = tuple[float, float]


def value_range(page: Page, asked: Range | None = None) -> Range:
    """Return the values that become 0 and 1.

    Where they are not told, they are those of the page's type; for counts they are
    percentiles of the page (see `by_data`).

    Args:
        page: without gaps (see `fill_gaps`).
        asked: low and high in the file's own units.

    Raises:
        UnreadableError: values that are not finite, or outside a range that is told.
    """
    least, most = float(page.values.min()), float(page.values.max())
    if not np.isfinite([least, most]).all():
        raise UnreadableError("holds values that are not finite (NaN or infinity)")
    if asked is not None:
        low, high = asked
        if least < low or most > high:
            raise UnreadableError(
                f"holds values from {least:g} to {most:g}, outside [{low:g}, {high:g}]",
                "--range LOW..HIGH says what is black and what is white",
            )
        return low, high
    if by_data(page) and most > least:
        flat = page.values.reshape(-1)
        sample = flat[:: max(1, flat.size // _SAMPLE)]
        low, high = np.percentile(sample.astype(np.float64), PERCENTILES).tolist()
        return (low, high) if high > low else (least, most)
    name = page.values.dtype.name
    if name in RANGES and not by_data(page):
        return RANGES[name]
    # A single value, which may be anything.
    return RANGES[name] if name == "uint16" else (least, least + max(1.0, abs(least)))


def by_data(page: Page) -> bool:
    """Tell whether a page holds counts, whose range is not that of their type.

    They are whole numbers of a type without a range, 16 bits of which at most 14 are
    used, and floats outside [0, 1].
    """
    values = page.values
    if values.dtype.name in COUNTS:
        return True
    if values.dtype == np.uint16:
        return bool(values.max() < FEW_BITS)
    return values.dtype.kind == "f" and bool(values.min() < 0 or values.max() > 1)


def range_note(limits: Range) -> str:
    """Return what to say of a range that was taken from the data."""
    low, high = PERCENTILES
    return (
        f"values from {limits[0]:g} to {limits[1]:g} became 0 to 1: percentiles "
        f"{low:g} and {high:g} of the data"
    )


def fill_gaps(page: Page) -> np.ndarray | None:
    """Put the nearest value into each that is not finite; return what was there.

    Returns None where all are finite; else an array with NaN where they are.

    Raises:
        UnreadableError: more of them than `MAX_GAPS`.
    """
    values = page.values
    if values.dtype.kind != "f" or np.isfinite(values.sum(dtype=np.float64)):
        return None
    gaps = ~np.isfinite(values)
    share = float(gaps.mean())
    if share > MAX_GAPS:
        raise UnreadableError(
            f"holds {100 * share:.0f} % values that are not finite (NaN or infinity), "
            f"more than {100 * MAX_GAPS:.0f} %"
        )
    before = np.where(gaps, values, 0)
    page.values = values.copy()
    for channel in range(values.shape[2]):
        page.values[..., channel] = _filled(values[..., channel], gaps[..., channel])
    return before if gaps.any() else None


def _filled(values: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    if gaps.all():
        return np.zeros_like(values)
    from scipy.ndimage import distance_transform_edt  # takes a while to import

    rows, columns = distance_transform_edt(
        gaps, return_distances=False, return_indices=True
    )
    return np.asarray(values[rows, columns])


def put_back(values: np.ndarray, before: np.ndarray | None) -> np.ndarray:
    """Return denoised values with what `fill_gaps` found where it found gaps."""
    return values if before is None else np.where(np.isfinite(before), values, before)


def beyond(values: np.ndarray, limits: Range) -> np.ndarray | None:
    """Return how far values lie outside their range; None where all are inside.

    Stars and hot pixels do: what a percentile cuts off is put back after denoising.
    """
    least, most = values.min(), values.max()
    if least >= limits[0] and most <= limits[1]:
        return None
    exact = values.astype(np.float64)
    return np.asarray(exact - exact.clip(*limits))


def put_beyond(values: np.ndarray, excess: np.ndarray | None) -> np.ndarray:
    """Return denoised values with what was `beyond` their range."""
    if excess is None:
        return values
    whole = values + excess
    if values.dtype.kind in "iu":
        bounds = np.iinfo(values.dtype)
        whole = np.rint(whole).clip(bounds.min, bounds.max)
    return np.asarray(np.where(excess == 0, values, whole.astype(values.dtype)))
