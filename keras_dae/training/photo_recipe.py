"""The default recipe of denoisers of photographs."""

from typing import Any

# The values of `configs/photo.toml`, which explains them; a test compares both.
RECIPE: dict[str, Any] = {
    "noise": "camera:0..0.2157",
    "clip": False,
    "augment": True,
    "loss": "log-mse",
    "batch_size": 32,
    "learning_rate": 1.5e-3,
    "warmup_steps": 500,
    "schedule": "cosine",
    "clip_norm": 3.0,
    "averaging": 0.999,
}
OF_FOLDERS: dict[str, Any] = {"size": 128, "channels": 3}
OF_CLEAN = ("noise", "clip", "augment", "loss")  # not for noisy files
# For trained weights: smaller and fewer steps.
FROM_WEIGHTS: dict[str, Any] = {
    "learning_rate": 3e-4,
    "warmup_steps": 100,
    "epochs": 5,
}


def photo_recipe(given: dict[str, Any]) -> dict[str, Any]:
    """Return the default values for model=photo.

    Args:
        given: the given options, of which `data`, `start`, `sigma`, `patience` and
            `noisy_files` matter.
    """
    recipe = dict(RECIPE)
    if str(given.get("data")).startswith("folder:"):
        recipe |= OF_FOLDERS
    if given.get("start") is not None:
        recipe |= FROM_WEIGHTS
    if "sigma" in given and "noise" not in given:
        del recipe["noise"]
    if given.get("patience"):
        del recipe["schedule"]
    if given.get("noisy_files"):
        recipe = {key: value for key, value in recipe.items() if key not in OF_CLEAN}
    return recipe
