"""Denoising autoencoders on Keras 3: build, train, evaluate and study.

The names below are imported on first use. This keeps `import keras_dae` fast, and lets
it choose the backend (`KERAS_BACKEND`, default torch) before keras is imported.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from keras_dae.system.backend import set_default_backend

if TYPE_CHECKING:
    from keras_dae.comparison import Comparison, compare, evaluate, export
    from keras_dae.denoiser import Denoiser
    from keras_dae.denoising.arrays import denoise_by_itself
    from keras_dae.denoising.tiles import denoise_array
    from keras_dae.denoising.trained import list_presets, load
    from keras_dae.errors import KerasDAEError, UsageError
    from keras_dae.evaluation.metrics import mse, psnr, ssim
    from keras_dae.images.datasets import load as load_data
    from keras_dae.images.noise import (
        Blur,
        Chain,
        Gaussian,
        Masking,
        Poisson,
        Ranged,
        SaltPepper,
        Speckle,
        Uniform,
        make_noise,
    )
    from keras_dae.images.noise_words import parse_noise
    from keras_dae.images.pairs import NoisyCleanPairs
    from keras_dae.images.patches import Cut
    from keras_dae.images.splits import Splits
    from keras_dae.models.architectures import DAESpec, paper_specs, plan
    from keras_dae.models.builders import build, decoder, encoder
    from keras_dae.models.files import load as load_model
    from keras_dae.models.files import save as save_model
    from keras_dae.training.config import make_config
    from keras_dae.training.fitting import fit

__version__ = "0.1.0"

# Public name -> (module, name in the module).
_WHERE = {
    "export": ("comparison", "export"),
    "evaluate": ("comparison", "evaluate"),
    "compare": ("comparison", "compare"),
    "Blur": ("images.noise", "Blur"),
    "Chain": ("images.noise", "Chain"),
    "Comparison": ("comparison", "Comparison"),
    "Cut": ("images.patches", "Cut"),
    "DAESpec": ("models.architectures", "DAESpec"),
    "Denoiser": ("denoiser", "Denoiser"),
    "Gaussian": ("images.noise", "Gaussian"),
    "KerasDAEError": ("errors", "KerasDAEError"),
    "Masking": ("images.noise", "Masking"),
    "NoisyCleanPairs": ("images.pairs", "NoisyCleanPairs"),
    "Poisson": ("images.noise", "Poisson"),
    "Ranged": ("images.noise", "Ranged"),
    "SaltPepper": ("images.noise", "SaltPepper"),
    "Speckle": ("images.noise", "Speckle"),
    "Splits": ("images.splits", "Splits"),
    "Uniform": ("images.noise", "Uniform"),
    "UsageError": ("errors", "UsageError"),
    "build": ("models.builders", "build"),
    "decoder": ("models.builders", "decoder"),
    "denoise_array": ("denoising.tiles", "denoise_array"),
    "denoise_by_itself": ("denoising.arrays", "denoise_by_itself"),
    "encoder": ("models.builders", "encoder"),
    "fit": ("training.fitting", "fit"),
    "list_presets": ("denoising.trained", "list_presets"),
    "load": ("denoising.trained", "load"),
    "load_data": ("images.datasets", "load"),
    "load_model": ("models.files", "load"),
    "make_config": ("training.config", "make_config"),
    "make_noise": ("images.noise", "make_noise"),
    "mse": ("evaluation.metrics", "mse"),
    "paper_specs": ("models.architectures", "paper_specs"),
    "parse_noise": ("images.noise_words", "parse_noise"),
    "plan": ("models.architectures", "plan"),
    "psnr": ("evaluation.metrics", "psnr"),
    "save_model": ("models.files", "save"),
    "ssim": ("evaluation.metrics", "ssim"),
}
__all__ = [
    "Blur",
    "Chain",
    "Comparison",
    "Cut",
    "DAESpec",
    "Denoiser",
    "Gaussian",
    "KerasDAEError",
    "Masking",
    "NoisyCleanPairs",
    "Poisson",
    "Ranged",
    "SaltPepper",
    "Speckle",
    "Splits",
    "Uniform",
    "UsageError",
    "build",
    "compare",
    "decoder",
    "denoise_array",
    "denoise_by_itself",
    "encoder",
    "evaluate",
    "export",
    "fit",
    "list_presets",
    "load",
    "load_data",
    "load_model",
    "make_config",
    "make_noise",
    "mse",
    "paper_specs",
    "parse_noise",
    "plan",
    "psnr",
    "save_model",
    "ssim",
]

set_default_backend()


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _WHERE[name]
    return getattr(import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
