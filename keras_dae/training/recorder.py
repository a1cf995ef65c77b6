"""The callback of `fit` that saves each epoch to the run folder."""

import gc
import time
from typing import Any

import keras
import numpy as np

from keras_dae.errors import KerasDAEError
from keras_dae.models.builders import encoder
from keras_dae.models.files import open_model, save
from keras_dae.models.live_maps import dead_maps, live_shares
from keras_dae.system.lifeline import asked_to_end
from keras_dae.training.optimizers import hold
from keras_dae.training.patience import has_ended, has_stopped, rate_share
from keras_dae.training.progress import FitProgress
from keras_dae.training.runs import LIVE_MAPS, RunFolder

LIVE_IMAGES = 256  # validation images used to find dead latent maps


def first_images(validation: Any) -> np.ndarray:
    """Return the first noisy images of `validation_data`, at most `LIVE_IMAGES`."""
    # Arrays, or batches; one batch is enough to find a dead map.
    noisy = validation[0] if isinstance(validation, tuple) else validation[0][0]
    return np.asarray(keras.ops.convert_to_numpy(noisy[:LIVE_IMAGES]))


class Recorder(keras.callbacks.Callback):  # type: ignore[misc]  # keras is untyped
    """Write history, model and best model after each epoch, each one atomically.

    Until the last epoch the model file contains the optimizer, so that training can be
    resumed. The finished file does not, and has a third of the size.

    `collect` runs the garbage collector after each epoch, since the step of keras on
    torch keeps each batch in a reference cycle. The lean step does not.

    `patience` ends training and sets the rate, see `training.patience`. The finished
    model is then the one with the lowest validation loss.

    `probe` holds noisy images. After each epoch the active latent maps are counted, and
    `progress` reports the first dead one.
    """

    def __init__(
        self,
        folder: RunFolder,
        history: dict[str, list[Any]],
        epochs: int,
        progress: FitProgress | None,
        *,
        collect: bool = True,
        probe: np.ndarray | None = None,
        patience: int = 0,
    ) -> None:
        super().__init__()
        self.folder, self.history = folder, history
        self.epochs, self.progress, self.collect = epochs, progress, collect
        self.probe, self._warned = probe, False
        self.patience = patience
        if probe is not None:  # runs of older versions have none
            history.setdefault(LIVE_MAPS, [[] for _ in history["loss"]])

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Extract the encoder once, since a new one would be compiled each time."""
        if self.probe is not None:
            self._encoder = encoder(self.model)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the clock and note the learning rate of the epoch's first step."""
        if asked_to_end():  # a library may have swallowed the interrupt
            raise KeyboardInterrupt
        if self.patience:
            losses = self.history["val_loss"]
            hold(self.model, rate_share(losses, self.epochs, self.patience))
        self._rate = float(self.model.optimizer.learning_rate)
        self._began = self._fitted = time.perf_counter()

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Record when training ended and validation started.

        A backend may still be computing the last steps; reading a weight waits for
        them.
        """
        keras.ops.convert_to_numpy(self.model.trainable_variables[0])
        self._fitted = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save the results of the epoch; stop if the loss is not a number."""
        entry = self._entry(logs or {}, epoch)
        for key, value in entry.items():
            self.history[key].append(value)
        ending = self._save()
        if self.progress is not None:
            self.progress.epoch(epoch + 1, entry)
            if ending is not None:
                self.progress.say(
                    f"Stopped after epoch {epoch + 1} by {ending['by']}; the weights "
                    f"of epoch {ending['saved_epoch']} are saved"
                )
        if self.collect:
            gc.collect()

    def _entry(self, logs: dict[str, Any], epoch: int) -> dict[str, Any]:
        """Return the results of the epoch, by column of the history."""
        ended = time.perf_counter()
        entry: dict[str, Any] = {
            "loss": float(logs["loss"]),
            "val_loss": float(logs["val_loss"]),
            "seconds": round(self._fitted - self._began, 3),
            "val_seconds": round(ended - self._fitted, 3),
            "learning_rate": self._rate,
        }
        for name in ("loss", "val_loss"):
            if not np.isfinite(entry[name]):
                kept = "the model of the previous epoch" if epoch else "no model"
                raise KerasDAEError(
                    f"The {name} became {entry[name]} in epoch {epoch + 1}; {kept} is "
                    f"saved in {self.folder.path}. Try a lower --lr."
                )
        if self.probe is not None:
            entry[LIVE_MAPS] = self._live_maps(self.probe, epoch + 1)
        return entry

    def _save(self) -> dict[str, Any] | None:
        """Write history and models; return how patience ended training, if it did."""
        losses = self.history["val_loss"]
        last = has_ended(losses, self.epochs, self.patience)
        ending = self._ending(losses) if last and self.patience else None
        self.folder.write_history(self.history, ending)
        if losses[-1] < min(losses[:-1], default=float("inf")):
            save(self.model, self.folder.best_path)
        if ending is None:
            save(self.model, self.folder.model_path, optimizer=not last)
        else:
            save(open_model(self.folder.best_path), self.folder.model_path)
            self.model.stop_training = True
        return ending

    def _ending(self, losses: list[float]) -> dict[str, Any]:
        """Return where and why training ended, and the saved epoch, from 1."""
        stopped = has_stopped(losses, self.epochs, self.patience)
        return {
            "after_epoch": len(losses),
            "saved_epoch": 1 + losses.index(min(losses)),
            "by": "patience" if stopped else "epochs",
        }

    def _live_maps(self, noisy: np.ndarray, epoch: int) -> list[float]:
        """Return the share of `noisy` activating each latent map; warn of dead ones.

        The warning lets a user stop a long run whose latent is effectively smaller.
        """
        shares = live_shares(self._encoder, noisy)
        told = dead_maps(shares, f"{len(noisy)} validation images")
        if told and not self._warned and self.progress is not None:
            self.progress.say(f"After epoch {epoch}, {told}")
            self._warned = True
        return shares
