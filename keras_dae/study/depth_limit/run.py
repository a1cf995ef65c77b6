"""Train models of several depths and numbers of images, with figure and report."""

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
    """Train models by depth and number of images; write `depth_limit.json`.

    The runs are in `out/depth-limit`, apart from the nine models. Finished runs are not
    trained again. Finished runs with the same settings are included in the figure.

    Raises:
        KerasDAEError: a run failed; the message states the reason.
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

    At each depth there is a plain network and, if a residual block fits, a residual
    one. All are trained until validation stops improving.

    Args:
        make: returns a configuration with the fields given by keyword.
        sizes: numbers of training images; `whole` means all.
        depths: convolutions per side.
        seeds: number of seeds, from 0.
        image_shape: height, width and channels of the images.
        whole: number of training images.
        epochs: largest number of epochs for each size; the default follows from
            `steps`.
        steps: largest number of steps per run.
        patience: steps without a lower validation loss after which the rate falls.

    Raises:
        UsageError: there are fewer images than requested, the number of `epochs` does
            not match, or there is no schedule.
    """
    sizes, depths, given = list(sizes), list(depths), list(epochs)
    if given and len(given) != len(sizes):
        raise UsageError(
            "--epochs needs one number for each of --train-images. Received: "
            f"{len(given)} for {len(sizes)}."
        )
    batch, found = make().batch_size, []
    for seed in range(seeds):
        for place, size in enumerate(sizes):
            fields = {
                **depth_limit.lengths(size, batch, steps, patience),
                "train_images": None if size == whole else size,
                "seed": seed,
            }
            if given:
                fields["epochs"] = given[place]
            for depth in depths:
                rise = {"depth": depth, "warmup_steps": depth_limit.warmup_steps(depth)}
                plain = make(**fields, **rise)
                plain.plan(image_shape)  # raises early if there is no schedule
                residual = make(model="residual", **fields, **rise)
                spec = residual.plan(image_shape)
                more = isinstance(spec, DAESpec) and spec.blocks
                found += [plain, residual] if more else [plain]
    return found
