"""Assemble the HTML page from the files in this folder, models and test images."""

import base64
import hashlib
import json
import shlex
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import keras
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from keras_dae import __version__
from keras_dae.denoising.choose import COLOUR
from keras_dae.denoising.tile_model import FREE_TILE
from keras_dae.denoising.trained import find_model, pretrained_cards
from keras_dae.errors import KerasDAEError
from keras_dae.images.noise_words import noise_label
from keras_dae.models.files import load
from keras_dae.models.reach import reach
from keras_dae.page.graph import as_graph
from keras_dae.page.samples import SIDE, Samples
from keras_dae.system.path_names import stems
from keras_dae.system.storage import write_text

MOST_BYTES = 3_000_000  # size limit of the page with pretrained models
# In order of dependency. The workers run the first three and `worker.js`.
SCRIPTS = (
    *("weights", "layers", "kernels", "digits", "noise", "tiles"),
    *("gpu", "pool", "view", "pad", "latent", "photo", "app"),
)
Entry = dict[str, Any]


def write_page(
    out: Path,
    samples: Samples,
    named: Sequence[str] = (),
    *,
    only: bool = False,
    weights: str = "float16",
) -> dict[str, Any]:
    """Write the page.

    Args:
        out: the HTML file.
        samples: the test images.
        named: models to add: names of presets, `.keras` files or run folders.
        only: leave out all other models.
        weights: type of large arrays of weights, float16 or float32.

    Returns:
        The file, its size in bytes, the names of the models, and the names of models
        left out because the page would exceed `MOST_BYTES`.

    Raises:
        UsageError: a model does not exist, or there is none.
        KerasDAEError: the page cannot run a model, or the file cannot be written.
    """
    entries = [] if only else _nine(weights)
    present = [entry["name"] for entry in entries]
    added = [one for one in dict.fromkeys(map(str, named)) if one not in present]
    names = stems([*present, *added])[len(present) :]
    entries += [
        {**_entry(one, weights), "name": name}
        for one, name in zip(added, names, strict=True)
    ]
    if not entries:
        raise KerasDAEError("The page needs at least one --model.")
    text, left_out = render(entries, samples), []
    if not only and COLOUR not in named:
        larger = render([*entries, _entry(COLOUR, weights)], samples)
        if named or len(larger.encode()) <= MOST_BYTES:
            text = larger
            entries.append({"name": COLOUR})
        else:
            left_out.append(COLOUR)
    write_text(out, text)
    return {
        "file": str(out),
        "bytes": len(text.encode()),
        "models": [entry["name"] for entry in entries],
        "left_out": left_out,
        "weights": weights,
        "test_images": len(samples.images),
    }


def _nine(weights: str) -> list[Entry]:
    """Return the pretrained models of digits: by depth, the largest latent first."""
    names = [
        name
        for name, card in pretrained_cards().items()
        if card["image_shape"] == [SIDE, SIDE, 1]
    ]
    entries = [_entry(name, weights) for name in names]
    return sorted(entries, key=lambda one: (one["depth"], -one["values"]))


def _entry(named: str, weights: str) -> Entry:
    """Return the data of a model for the page."""
    found = find_model(named)
    model = load(found.path)
    graph = as_graph(model, weights)
    *sides, channels = model.input_shape[1:]
    seen = reach(model) if sides == [None, None] else None
    free = None if seen else FREE_TILE
    noise = found.card.get("noise")
    return {
        "name": found.name,
        "command": shlex.quote(str(named)),
        "about": _about(model, graph),
        "noise": noise_label(noise) if noise else "",
        "channels": channels,
        "sides": [side or free for side in sides],
        "reach": seen and {"pixels": seen.pixels, "period": seen.period},
        "digits": channels == 1 and all(side in (None, SIDE) for side in sides),
        "photographs": sides == [None, None],
        **_latent(model, graph),
        **graph,
    }


def _latent(model: keras.Model, graph: Entry) -> Entry:
    """Return depth and size of the latent maps; 0 and no maps if there are none."""
    if graph["latent"] is None:
        return {"depth": 0, "values": 0, "maps": 0, "latentSide": ""}
    height, width, maps = model.get_layer("latent").output.shape[1:]
    names = [node["name"] for node in graph["nodes"]]
    depth = sum("kernel" in one for one in graph["nodes"][: names.index("latent") + 1])
    if None in (height, width):
        return {"depth": depth, "values": 0, "maps": maps, "latentSide": "some"}
    return {
        "depth": depth,
        "values": height * width * maps,
        "maps": maps,
        "latentSide": f"{height} x {width}",
    }


def _about(model: keras.Model, graph: Entry) -> str:
    count = f"{model.count_params():,} parameters"
    latent = _latent(model, graph)
    if not latent["maps"]:
        return count
    return f"{latent['maps']} maps of {latent['latentSide']}, {count}"


def render(entries: list[Entry], samples: Samples) -> str:
    """Return the page as HTML."""
    style = _part("style.css")
    content = {"models": entries, "samples": samples.as_json()}
    scripts = [{"name": name, "text": _part(f"{name}.js")} for name in SCRIPTS]
    environment = Environment(
        loader=PackageLoader("keras_dae.page", ""),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    digits = sum(entry["digits"] for entry in entries)
    return environment.get_template("template.html").render(
        policy=_policy([script["text"] for script in scripts], style),
        style=style,
        scripts=scripts,
        worker=_part("worker.js"),
        # "<" is escaped, so that no text can close the element.
        content=json.dumps(content).replace("<", "\\u003c"),
        count=digits,
        source=samples.source,
        version=__version__,
    )


def _part(name: str) -> str:
    """Return the content of a file of this folder, for inclusion."""
    return (files("keras_dae.page") / name).read_text(encoding="utf-8")


def _policy(scripts: list[str], style: str) -> str:
    """Return the content security policy: these scripts, and nothing external."""
    hashed = " ".join(map(_hash, scripts))
    return (
        f"default-src 'none'; script-src {hashed}; style-src {_hash(style)}; "
        "worker-src blob:; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
