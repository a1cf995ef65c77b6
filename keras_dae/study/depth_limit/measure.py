"""How deep before it overfits (paper, section 5.4): depth by number of images."""

from collections.abc import Callable, Iterable
from statistics import mean, stdev, variance
from typing import Any

from keras_dae.evaluation.contrasts import FEWEST_SEEDS
from keras_dae.evaluation.engines import model_denoiser
from keras_dae.evaluation.metrics import mse
from keras_dae.evaluation.scoring import TestBench
from keras_dae.evaluation.walled import open_model
from keras_dae.images.datasets import Splits
from keras_dae.images.frozen import MEASURED, frozen_pairs
from keras_dae.study.common.loaders import file_sha256
from keras_dae.study.common.store import Store
from keras_dae.system import backend
from keras_dae.training.config import RunConfig
from keras_dae.training.runs import RunFolder

DEPTHS = tuple(range(1, 13))
LATENT = 5  # the smallest of the study; it has a schedule for every depth to 12
# Every size is trained for the same number of steps, so that what differs between
# sizes is the images and not how long the weights moved. 4,000 steps of 64 images are
# 250 passes over 1,000 images and 51 over 5,000: often enough to learn the images by
# heart, where the capacity is there, although the noise is fresh in each pass.
STEPS = 4000
PARTS = ("train", "validation", "best_validation", "test")
GAP = 0.1
CHANCE = 3.0  # standard errors of a difference over seeds


def default_epochs(train_images: int, batch_size: int, steps: int = STEPS) -> int:
    """Return the passes over so many images that make `steps` steps, at least 1."""
    return max(1, round(steps / -(-train_images // batch_size)))


def comparable(folder: RunFolder, configs: Iterable[RunConfig]) -> bool:
    """Tell whether a finished run differs from `configs` only by what is studied.

    That is depth, the learning rate that follows from it, number of images and seed;
    and the epochs, where the number of images is none of theirs.
    """
    own, configs = folder.config(), list(configs)
    if not folder.finished(own):
        return False
    free: dict[str, Any] = {"depth": 1, "seed": 0, "learning_rate": 1.0}
    same_size = [c for c in configs if c.train_images == own.train_images]
    if not same_size:
        free |= {"train_images": None, "epochs": 1}
    other = (same_size or configs)[0]
    return own.model_copy(update=free) == other.model_copy(update=free)


def measure(
    folders: Iterable[RunFolder],
    splits: Splits,
    store: Store,
    progress: Callable[[str, float], None] = lambda what, share: None,
) -> dict[str, Any]:
    """Return what `depth_limit.json` holds; no run is measured twice.

    Args:
        folders: finished runs of one data set and noise.
        splits: that data set, whole.
        store: keeps what is measured.
        progress: told what is being done and how much of all is done, from 0 to 1.
    """
    folders = list(folders)
    rows = []
    first = folders[0].config()
    bench = TestBench(splits, first.make_noise(), first.data_seed)
    for number, folder in enumerate(folders):
        progress(f"measuring {folder.path.name}", number / len(folders))
        rows.append(_row(folder, splits, bench, store))
    return {
        "dataset": splits.describe(),
        "noise": bench.describe_noise(),
        "hardware": backend.hardware(),
        "backend": backend.versions(),
        "latent": first.latent,
        "rows": rows,
        "findings": findings(rows),
    }


def _row(
    folder: RunFolder, splits: Splits, bench: TestBench, store: Store
) -> dict[str, Any]:
    """Return what one run gave on the images it learnt from and on others."""
    config, history = folder.config(), folder.history()
    kept = splits.limited(config.train_images)

    def measure_run() -> dict[str, float]:
        denoise = model_denoiser(open_model(folder.model_path))
        return {
            "train": _on_training(config, kept, denoise),
            "test": float(bench.errors(denoise).mean()),
        }

    depends = {
        "model": file_sha256(folder.model_path),
        "test": bench.fingerprint,
        "train_images": len(kept.train),
    }
    found = store.figures(folder.path.name, depends, measure_run)
    return {
        "depth": config.depth,
        "latent": config.latent,
        "train_images": len(kept.train),
        "seed": config.seed,
        "parameters": config.plan(splits.image_shape).parameters,
        "epochs": len(history["loss"]),
        "steps": len(history["loss"]) * -(-len(kept.train) // config.batch_size),
        "train": found["train"],
        "validation": history["val_loss"][-1],
        "best_validation": min(history["val_loss"]),
        "best_epoch": 1 + history["val_loss"].index(min(history["val_loss"])),
        "test": found["test"],
        "seconds": round(sum(history["seconds"]) + sum(history["val_seconds"]), 1),
    }


def _on_training(config: RunConfig, splits: Splits, denoise: Any) -> float:
    """Return the error on the run's own training images, under frozen noise."""
    pairs = frozen_pairs(
        splits.train,
        config.make_noise(),
        seed=config.data_seed,
        split=MEASURED,
        low=splits.low,
        high=splits.high,
    )
    total = sum(float(mse(clean, denoise(noisy)).sum()) for noisy, clean in pairs)
    return total / len(splits.train)


def findings(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each number of training images where depth stops helping.

    Each finding holds `train_images`, `seeds`, and by depth the means over seeds
    (`means`) and the standard deviation of the validation loss (`spread`, None for
    one seed); and

    - `best`: the depth with the lowest final validation loss;
    - `enough`: the smallest depth from which no deeper one is better by more than the
      spread over seeds (of the two depths, added in squares; 0 for one seed);
    - `gap`: validation less training loss, by depth;
    - `opens`: the smallest depth whose validation loss is over `GAP` above its
      training loss, None if there is none;
    - `overfits`: the smallest depth beyond `best` at which the training loss has fallen
      and the validation loss risen, each by more than `CHANCE` standard errors over
      seeds; None if there is none, also for fewer than `FEWEST_SEEDS` seeds. A depth at
      which the training loss rises as well is harder to train, and does not overfit.
    """
    found = []
    for size in sorted({row["train_images"] for row in rows}):
        own = [row for row in rows if row["train_images"] == size]
        depths = sorted({row["depth"] for row in own})
        of = {depth: [r for r in own if r["depth"] == depth] for depth in depths}
        means = {
            part: {depth: mean(r[part] for r in of[depth]) for depth in depths}
            for part in PARTS
        }
        several = min(len(runs) for runs in of.values()) > 1
        spread = {
            depth: stdev(r["validation"] for r in of[depth]) if several else None
            for depth in depths
        }
        losses = means["validation"]
        gap = {depth: losses[depth] - means["train"][depth] for depth in depths}
        opened = [d for d in depths if gap[d] > GAP * means["train"][d]]
        found.append(
            {
                "train_images": size,
                "seeds": min(len(runs) for runs in of.values()),
                "depths": depths,
                "means": {part: list(means[part].values()) for part in PARTS},
                "spread": list(spread.values()),
                "best": min(depths, key=losses.__getitem__),
                "enough": _enough(depths, losses, spread),
                "gap": list(gap.values()),
                "opens": opened[0] if opened else None,
                "overfits": _overfits(of, means),
            }
        )
    return found


def _overfits(
    of: dict[int, list[dict[str, Any]]], means: dict[str, dict[int, float]]
) -> int | None:
    """Return the first depth that overfits, see `findings`."""
    if min(len(runs) for runs in of.values()) < FEWEST_SEEDS:
        return None
    best = min(of, key=means["validation"].__getitem__)

    def change(part: str, depth: int) -> float:
        """Return the change from the best depth in standard errors."""
        error = sum(
            variance(run[part] for run in of[one]) / len(of[one])
            for one in (best, depth)
        )
        difference = means[part][depth] - means[part][best]
        return float(difference / max(error**0.5, 1e-12))

    for depth in sorted(one for one in of if one > best):
        if change("train", depth) < -CHANCE and change("validation", depth) > CHANCE:
            return depth
    return None


def _enough(
    depths: list[int], losses: dict[int, float], spread: dict[int, float | None]
) -> int:
    for depth in depths:
        deeper = [other for other in depths if other > depth]
        chance = {
            other: ((spread[depth] or 0) ** 2 + (spread[other] or 0) ** 2) ** 0.5
            for other in deeper
        }
        if all(losses[depth] - losses[other] <= chance[other] for other in deeper):
            return depth
    return depths[-1]
