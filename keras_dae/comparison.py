"""Functions on several denoisers: evaluate one, compare several, export one."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.denoiser import Denoiser
from keras_dae.errors import check
from keras_dae.evaluation.arrays import Scores, bench_of, score
from keras_dae.evaluation.baselines import BASELINES
from keras_dae.evaluation.guard import guarded
from keras_dae.evaluation.metrics import METRICS
from keras_dae.images.noise import Noise
from keras_dae.images.noise_words import as_noise
from keras_dae.images.ranges import given_range, range_of
from keras_dae.images.rows import as_images

# A denoiser, a name for `Denoiser.from_preset`, or a function of noisy float32 images
# (n, H, W, C) in [0, 1].
AnyDenoiser = Denoiser | str | Path | Callable[[np.ndarray], np.ndarray]
DEFAULT_BASELINES = ("noisy input", "median 3x3", "median 5x5")


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`, sorted by MSE.

    Attributes:
        rows: name -> `mse`, `psnr` (of this MSE, in dB), `ssim` and any metrics added
            to `METRICS`.
        images: number of images.
    """

    rows: dict[str, Scores]
    images: int

    def __getitem__(self, name: str) -> Scores:
        return self.rows[name]

    def __repr__(self) -> str:
        if not self.rows:
            return f"no denoiser, {self.images:,} images"
        width = max(map(len, self.rows))
        names = next(iter(self.rows.values()))
        heads = {name: name.upper().rjust(METRICS[name].digits + 2) for name in names}
        lines = [f"{'':{width}}  {'  '.join(heads.values())}"]
        for name, row in self.rows.items():
            cells = [
                METRICS[metric].text([value], "-").rjust(len(heads[metric]))
                for metric, value in row.items()
            ]
            lines.append(f"{name:{width}}  {'  '.join(cells)}")
        return "\n".join([*lines, f"{self.images:,} images"])


def compare(
    denoisers: Mapping[str, AnyDenoiser] | Iterable[str],
    images: np.ndarray,
    *,
    noise: Noise | str,
    baselines: Iterable[str] = DEFAULT_BASELINES,
    value_range: tuple[float, float] | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare denoisers and baselines on the same noisy images.

    Args:
        denoisers: names that `Denoiser.from_preset` accepts, or a dict of name ->
            such a name, a `Denoiser` or a function of noisy images, float32 in [0, 1],
            (N, H, W, C).
        images: clean images, (N, H, W, C) or (N, H, W).
        noise: noise to add to the images.
        baselines: rows of `BASELINES`. `"mean image"` is the mean of these images.
        value_range: image values that are scaled to 0 and 1. The default depends on the
            data type.
        seed: seed for the noise.

    Raises:
        UsageError: a baseline, noise or name is unknown, or a denoiser has the name of
            a baseline.
        KerasDAEError: a denoiser returns another shape, or values that are not finite.

    Example:
        >>> images = np.zeros((4, 28, 28), "uint8")
        >>> found = compare(["DAE_1_5"], images, noise="gaussian:0.5")
        >>> list(found.rows)
        ['DAE_1_5', 'median 5x5', 'median 3x3', 'noisy input']
    """
    clean, drawn = as_images(images), as_noise(noise)
    limits = range_of(clean) if value_range is None else given_range(value_range)
    bench = bench_of(clean, drawn, limits, seed)
    named = _by_name(denoisers)
    answers = {name: _function(name, one) for name, one in named.items()}
    for name in [baselines] if isinstance(baselines, str) else baselines:
        check(
            name in BASELINES,
            f"A baseline must be one of {', '.join(BASELINES)}.",
            baseline=name,
        )
        check(
            name not in named,
            "A denoiser must not have the name of a baseline. Rename it, or leave out "
            "the baseline.",
            name=name,
        )
        answers[name] = BASELINES[name](bench.splits)
    rows = {name: score(bench, answer) for name, answer in answers.items()}
    order = sorted(rows, key=lambda name: rows[name]["mse"] or 0)
    return Comparison({name: rows[name] for name in order}, len(clean))


def evaluate(denoiser: AnyDenoiser, images: np.ndarray, **options: Any) -> Scores:
    """Return `mse`, `psnr` and `ssim` of one denoiser.

    Args:
        denoiser: a name, a `Denoiser` or a function, as in `compare`.
        images: clean images, (N, H, W, C) or (N, H, W).
        options: `noise`, `value_range` and `seed`, as in `compare`.

    Example:
        >>> images = np.zeros((4, 28, 28), "uint8")
        >>> sorted(evaluate("DAE_1_5", images, noise="gaussian:0.5"))
        ['mse', 'psnr', 'ssim']
    """
    return compare({"it": denoiser}, images, baselines=(), **options)["it"]


def export(
    named: str | Path | Denoiser, path: Path | str, **options: Any
) -> dict[str, Any]:
    """Export a denoiser to another format. For options see `Denoiser.export`."""
    one = named if isinstance(named, Denoiser) else Denoiser.from_preset(named)
    return one.export(path, **options)


def _by_name(denoisers: Any) -> dict[str, AnyDenoiser]:
    """Return the denoisers by name; a list can hold only names."""
    if isinstance(denoisers, Mapping):
        return dict(denoisers)
    one = isinstance(denoisers, str | Path) or not isinstance(denoisers, Iterable)
    listed = [denoisers] if one else [*denoisers]
    for named in listed:
        check(
            isinstance(named, str | Path),
            "Give denoisers that are not names in a dict, name -> denoiser.",
            denoiser=named,
        )
    return {str(named): named for named in listed}


def _function(name: str, one: AnyDenoiser) -> Callable[[np.ndarray], np.ndarray]:
    if isinstance(one, str | Path):
        one = Denoiser.from_preset(one)
    return one.answer if isinstance(one, Denoiser) else guarded(one, name)
