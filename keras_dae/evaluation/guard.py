"""Call a user's denoiser, and turn what can go wrong into one message."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_dae.errors import KerasDAEError
from keras_dae.evaluation.baselines import Denoiser


def said(error: BaseException) -> str:
    """Return an exception as part of a sentence."""
    first = str(error).strip().rstrip(".").splitlines()
    if isinstance(error, KerasDAEError) and first:
        return first[0]  # a sentence already
    return f"{type(error).__name__}: {first[0]}" if first else type(error).__name__


def guarded(denoise: Callable[[np.ndarray], Any], name: str) -> Denoiser:
    """Return `denoise` with errors and invalid results turned into one message.

    Raises:
        KerasDAEError: it fails, changes its input, or returns another shape or values
            that are not finite real numbers.
    """

    def answer(noisy: np.ndarray) -> np.ndarray:
        handed = noisy.copy()
        try:
            given = np.asarray(denoise(handed))
        except (Exception, SystemExit) as error:  # it can raise anything
            raise KerasDAEError(f"{name} failed: {said(error)}.") from error
        if not np.array_equal(handed, noisy, equal_nan=True):
            raise KerasDAEError(
                f"{name} changes its input; it must return a new array."
            )
        if given.dtype.kind not in "fiu":
            raise KerasDAEError(
                f"{name} returns values of type {given.dtype}, not real numbers."
            )
        if given.shape != noisy.shape:
            raise KerasDAEError(
                f"{name} returns shape {given.shape} for noisy images of {noisy.shape}."
            )
        if not np.isfinite(given).all():
            raise KerasDAEError(f"{name} returns values that are not finite.")
        return given.astype(np.float32)

    return answer
