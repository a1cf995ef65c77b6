"""Averaged weights, which are validated and saved instead of the last ones."""

import keras

from keras_dae.system.private import averages_in_model


def averaging(model: keras.Model) -> list[keras.callbacks.Callback]:
    """Return the callback that puts the averaged weights into the model after an epoch.

    The list is empty if the optimizer keeps no average. Later callbacks see the
    average. A model saved at the end of an epoch is loaded with its average in place;
    its optimizer holds the weights of the last step.
    """
    optimizer = model.optimizer
    if not optimizer.use_ema:
        return []
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    averages_in_model(swap, int(optimizer.iterations) > 0)
    return [swap]
