"""Averaged weights: validated and saved in place of those of the last step."""

import keras

from keras_dae.system.private import averages_in_model


def averaging(model: keras.Model) -> list[keras.callbacks.Callback]:
    """Return the callback that puts the average into the model at each epoch's end.

    Empty where the optimizer keeps no average. Callbacks after it see the average. A
    model that an epoch's end has saved comes back with its average in place; its
    optimizer holds the weights of the last step.
    """
    optimizer = model.optimizer
    if not optimizer.use_ema:
        return []
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    averages_in_model(swap, int(optimizer.iterations) > 0)
    return [swap]
