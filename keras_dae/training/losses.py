"""LOSSES: the training losses, one row each."""

from math import log
from typing import Any

import keras
from keras import ops

FLOOR = 1.4e-6  # MSE of rounding to 8 bits; lower errors do not matter


@keras.saving.register_keras_serializable("keras_dae")
class LogMSE(keras.losses.Loss):  # type: ignore[misc]  # keras is untyped
    """The MSE of each image in decibels, 10 log10(MSE + `FLOOR`).

    Its mean over images is about minus their mean PSNR, so images with little noise
    count as much as those with much.

    Example:
        >>> float(LogMSE()(np.zeros((1, 2, 2, 1)), np.full((1, 2, 2, 1), 0.1)))
        -19.999...
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return one value per image for float32 (N, H, W, C)."""
        error = ops.square(ops.cast(y_pred, "float32") - ops.cast(y_true, "float32"))
        mse = ops.mean(error, axis=(1, 2, 3))
        return 10 / log(10) * ops.log(mse + FLOOR)


LOSSES: dict[str, Any] = {"mse": lambda: "mse", "log-mse": LogMSE}
