"""Export formats, one row each, with their writers and readers.

Runtimes are imported inside functions, since each one runs in its own process (see
`worker`).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from keras_dae.errors import check
from keras_dae.interchange.darktable import read_archive, refused, write_archive

Answer = Callable[[np.ndarray], np.ndarray]
# Members of a saved-model folder.
SAVED_MODEL = {
    *("saved_model.pb", "fingerprint.pb", "variables", "assets", "assets.extra"),
}
KEY = "keras_dae"  # metadata key of the card


@dataclass(frozen=True)
class ExportFormat:
    """One format.

    Attributes:
        suffix: file name extension; empty for a folder.
        backend: the backend that exports it.
        keras_name: its name in keras.
        packages: required packages.
        extra: the extra of keras-dae that installs them.
        describe: (file, card) -> None; stores the card in the file, or next to it.
        reader: (file, threads) -> a function of float32 arrays (N, H, W, C).
        write: (model, file, card) -> None, if keras does not write the format.
        clips: whether its outputs are clipped to [0, 1].
        refused: (name of the model, input shape) -> why it cannot be exported; empty
            if it can. None if any model can.
    """

    suffix: str
    backend: str
    keras_name: str
    packages: tuple[str, ...]
    extra: str
    describe: Callable[[Path, dict[str, Any]], None]
    reader: Callable[[Path, int], Answer]
    write: Callable[[Any, Path, dict[str, Any]], None] | None = None
    clips: bool = False
    refused: Callable[[str, tuple[int | None, ...]], str] | None = None

    def missing(self) -> list[str]:
        """Return the packages that are not installed."""
        return [name for name in self.packages if find_spec(name) is None]


def _beside(path: Path, card: dict[str, Any]) -> None:
    """Write the card to a JSON file next to a format that cannot store it."""
    _write_card(path.with_name(f"{path.name}.json"), card)


def _write_card(path: Path, card: dict[str, Any]) -> None:
    path.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def _describe_onnx(path: Path, card: dict[str, Any]) -> None:
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {KEY: json.dumps(card)})
    onnx.save(model, path)


def _read_onnx(path: Path, threads: int) -> Answer:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda images: np.asarray(session.run(None, {name: images})[0])


def _describe_openvino(path: Path, card: dict[str, Any]) -> None:
    import openvino

    model = openvino.Core().read_model(path)
    weights = path.with_suffix(".bin").read_bytes()  # read it before it is overwritten
    model = openvino.Core().read_model(path.read_bytes(), weights)
    model.set_rt_info(json.dumps(card), [KEY])
    openvino.save_model(model, path, compress_to_fp16=False)


def _read_openvino(path: Path, threads: int) -> Answer:
    import openvino

    precision = openvino.Type.f32  # on some processors the default is bfloat16
    hint = "INFERENCE_PRECISION_HINT"
    compiled = openvino.Core().compile_model(
        path, "CPU", {hint: precision, "INFERENCE_NUM_THREADS": threads}
    )
    if compiled.get_property(hint) != precision:
        raise RuntimeError("openvino does not compute in float32 on this machine")
    return lambda images: np.asarray(compiled(images)[0])


def _describe_torch(path: Path, card: dict[str, Any]) -> None:
    import torch

    program = torch.export.load(path)
    torch.export.save(program, path, extra_files={f"{KEY}.json": json.dumps(card)})


def _read_torch(path: Path, threads: int) -> Answer:
    import torch

    torch.set_num_threads(threads)
    module = torch.export.load(path).module()

    def answer(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(module(torch.from_numpy(images)).numpy())

    return answer


def _describe_saved_model(path: Path, card: dict[str, Any]) -> None:
    folder = path / "assets.extra"
    folder.mkdir()
    _write_card(folder / f"{KEY}.json", card)


def _read_saved_model(path: Path, threads: int) -> Answer:
    import tensorflow

    model = tensorflow.saved_model.load(str(path))
    return lambda images: np.asarray(model.serve(images).numpy())


def _read_litert(path: Path, threads: int) -> Answer:
    import tensorflow

    interpreter = tensorflow.lite.Interpreter(str(path), num_threads=threads)
    given = interpreter.get_input_details()[0]["index"]
    made = interpreter.get_output_details()[0]["index"]
    sizes: list[tuple[int, ...]] = []

    def answer(images: np.ndarray) -> np.ndarray:
        if sizes != [images.shape]:
            interpreter.resize_tensor_input(given, images.shape)
            interpreter.allocate_tensors()
            sizes[:] = [images.shape]
        interpreter.set_tensor(given, images)
        interpreter.invoke()
        return np.array(interpreter.get_tensor(made))

    return answer


EXPORTS: dict[str, ExportFormat] = {
    "onnx": ExportFormat(
        ".onnx",
        "torch",
        "onnx",
        ("onnx", "onnxscript", "onnxruntime"),
        "onnx",
        _describe_onnx,
        _read_onnx,
    ),
    "openvino": ExportFormat(
        ".xml",
        "torch",
        "openvino",
        ("openvino",),
        "openvino",
        _describe_openvino,
        _read_openvino,
    ),
    "torch": ExportFormat(
        ".pt2", "torch", "torch", ("torch",), "", _describe_torch, _read_torch
    ),
    "saved-model": ExportFormat(
        "",
        "tensorflow",
        "tf_saved_model",
        ("tensorflow",),
        "tensorflow",
        _describe_saved_model,
        _read_saved_model,
    ),
    "litert": ExportFormat(
        ".tflite",
        "tensorflow",
        "litert",
        ("tensorflow",),
        "tensorflow",
        _beside,
        _read_litert,
    ),
    "dtmodel": ExportFormat(
        ".dtmodel",
        "torch",
        "onnx",
        ("onnx", "onnxruntime"),
        "onnx",
        _describe_onnx,
        read_archive,
        write=write_archive,
        clips=True,
        refused=refused,
    ),
}
# Formats that support any model.
GENERAL = tuple(name for name, row in EXPORTS.items() if row.refused is None)


def format_of(path: Path, name: str | None = None) -> str:
    """Return the format of an export: the given one, or that of the extension.

    Raises:
        UsageError: the format or the extension is unknown.
    """
    endings = {row.suffix: row_name for row_name, row in EXPORTS.items()}
    chosen = name or endings.get(path.suffix, "")
    check(
        chosen in EXPORTS,
        f"format must be one of {', '.join(EXPORTS)}, or path must end in one of "
        f"{', '.join(filter(None, endings))}.",
        path=str(path),
        format=name,
    )
    return chosen
