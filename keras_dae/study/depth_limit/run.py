"""Train depth by number of images; measure, draw and publish it."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from keras_dae.errors import UsageError
from keras_dae.images.datasets import load
from keras_dae.models.architectures import DAESpec
from keras_dae.study.common.progress import Progress, quiet
from keras_dae.study.common.store import Store
from keras_dae.study.depth_limit import figures
from keras_dae.study.depth_limit import measure as depth_limit
from keras_dae.study.report.publish import publish
from keras_dae.training.config import RunConfig
from keras_dae.training.jobs import check_done
from keras_dae.training.runs import find_runs
from keras_dae.training.sweep import sweep


def limit_depth(
    configs: list[RunConfig],
    out: Path,
    *,
    jobs: int | None = None,
    data_dir: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Train depth by number of images; write `depth_limit.json` and its figure.

    The runs lie in `out/depth-limit`, apart from those of the nine; those that are
    finished are not trained again, and finished ones of the same settings are shown
    beside those of `configs`.

    Raises:
        KerasDAEError: a run failed; says which, and why.
    """
    done = sweep(
        configs,
        out / "depth-limit",
        jobs=jobs,
        data_dir=data_dir,
        device=device,
        threads=threads,
    )
    check_done(done)
    first = configs[0]
    splits = load(first.data, data_dir, first.data_seed, cut=first.make_cut())
    folders = {job.folder.path: job.folder for job in done}
    for folder in find_runs(out / "depth-limit"):
        if depth_limit.comparable(folder, configs):
            folders.setdefault(folder.path, folder)
    with Store.opened(out) as store:
        results = depth_limit.measure(folders.values(), splits, store, progress)
    return publish(
        out, "depth_limit", results, {"depth-limit": figures.depth_limit(results)}
    )


def depth_configs(
    make: Callable[..., RunConfig],
    sizes: Iterable[int],
    depths: Iterable[int],
    seeds: int,
    *,
    image_shape: tuple[int, int, int],
    whole: int,
    epochs: Iterable[int] = (),
    steps: int = depth_limit.STEPS,
    patience: int = depth_limit.PATIENCE,
) -> list[RunConfig]:
    """Return the runs of a study of depth, the smallest sets and depths first.

    Each depth is a plain net and, where it has room for a residual block, a residual
    one. All are trained until validation stops improving.

    Args:
        make: returns a configuration with the fields given by keyword.
        sizes: numbers of training images; `whole` stands for all.
        depths: convolutions a side.
        seeds: how many seeds, from 0.
        image_shape: height, width and channels of the images.
        whole: how many training images there are.
        epochs: most passes over each size; by default those that make `steps` steps.
        steps: most steps of a training.
        patience: steps without a lower validation loss after which the rate falls.

    Raises:
        UsageError: more images than there are, other than one `epochs` a size, or no
            schedule.
    """
    sizes, depths, given = list(sizes), list(depths), list(epochs)
    if given and len(given) != len(sizes):
        raise UsageError(
            "--epochs takes one number for each of --train-images. Received: "
            f"{len(given)} for {len(sizes)}."
        )
    batch, found = make().batch_size, []
    for seed in range(seeds):
        for place, size in enumerate(sizes):
            most = depth_limit.default_epochs(size, batch, steps)
            fields = {
                "train_images": None if size == whole else size,
                "epochs": given[place] if given else most,
                "patience": depth_limit.default_patience(size, batch, patience),
                "seed": seed,
            }
            for depth in depths:
                rise = {"depth": depth, "warmup_steps": depth_limit.warmup_steps(depth)}
                plain = make(**fields, **rise)
                plain.plan(image_shape)  # says at once what has no schedule
                residual = make(model="residual", **fields, **rise)
                spec = residual.plan(image_shape)
                more = isinstance(spec, DAESpec) and spec.blocks
                found += [plain, residual] if more else [plain]
    return found
