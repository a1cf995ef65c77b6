"""Denoising autoencoders on Keras 3: build, train, evaluate, study.

The names below load on first use, so that `import keras_dae` is cheap and the
backend is chosen (`KERAS_BACKEND`, torch by default) before keras is imported.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from keras_dae.system.backend import set_default_backend

if TYPE_CHECKING:
    from keras_dae.denoising.tiles import denoise_array
    from keras_dae.denoising.trained import load
    from keras_dae.images.datasets import load as load_data
    from keras_dae.images.noise import make_noise
    from keras_dae.images.pairs import NoisyCleanPairs
    from keras_dae.images.patches import Cut
    from keras_dae.models.architectures import DAESpec, paper_specs, plan
    from keras_dae.models.builders import build, decoder, encoder
    from keras_dae.models.files import load as load_model
    from keras_dae.models.files import save as save_model
    from keras_dae.training.config import make_config
    from keras_dae.training.fitting import fit

__version__ = "0.1.0"

# Public name -> module and name there.
_WHERE = {
    "Cut": ("images.patches", "Cut"),
    "DAESpec": ("models.architectures", "DAESpec"),
    "NoisyCleanPairs": ("images.pairs", "NoisyCleanPairs"),
    "build": ("models.builders", "build"),
    "decoder": ("models.builders", "decoder"),
    "denoise_array": ("denoising.tiles", "denoise_array"),
    "encoder": ("models.builders", "encoder"),
    "fit": ("training.fitting", "fit"),
    "load": ("denoising.trained", "load"),
    "load_data": ("images.datasets", "load"),
    "load_model": ("models.files", "load"),
    "make_config": ("training.config", "make_config"),
    "make_noise": ("images.noise", "make_noise"),
    "paper_specs": ("models.architectures", "paper_specs"),
    "plan": ("models.architectures", "plan"),
    "save_model": ("models.files", "save"),
}
__all__ = [
    "Cut",
    "DAESpec",
    "NoisyCleanPairs",
    "build",
    "decoder",
    "denoise_array",
    "encoder",
    "fit",
    "load",
    "load_data",
    "load_model",
    "make_config",
    "make_noise",
    "paper_specs",
    "plan",
    "save_model",
]

set_default_backend()


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _WHERE[name]
    return getattr(import_module(f"{__name__}.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
