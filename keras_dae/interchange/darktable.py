"""Write and read the archive of a denoiser that darktable 5.6 imports.

It is a zip file with `ID/model.onnx` and `ID/config.json`. The input `input` and output
`output` of the model are float32 [1, 3, H, W], sRGB in [0, 1], with any H and W of at
least 2 pixels. The fields of config.json follow `src/ai/README.md` in darktable's
sources and the pipeline reference of its model collection. The graph holds only the
operations of the network, so that every provider of ONNX Runtime supports it.
"""

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

OPSET, IR = 17, 8  # from 2022, supported by all runtimes of darktable
MODEL, CONFIG = "model.onnx", "config.json"
TASK, VERSION = "denoise", "1.0"


def write_archive(model: Any, out: Path, card: dict[str, Any]) -> None:
    """Write a colour model of the family photo as an archive for darktable.

    Args:
        model: the Keras model.
        out: the file.
        card: the card of the model; its `name` becomes part of the identifier.

    Raises:
        ValueError: darktable does not support the model (see `refused`).
    """
    import onnx

    if words := refused(model.name, tuple(model.input_shape[1:])):
        raise ValueError(words)
    config = describe(card)
    folder = config["id"]
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{folder}/{CONFIG}", json.dumps(config, indent=2) + "\n")
        graph = onnx_model(model)
        onnx.helper.set_model_props(graph, {"keras_dae": json.dumps(card)})
        archive.writestr(f"{folder}/{MODEL}", graph.SerializeToString())


def refused(name: str, shape: tuple[int | None, ...]) -> str:
    """Return why darktable does not support a model; empty if it does.

    Args:
        name: name of the Keras model.
        shape: its input shape (H, W, C).
    """
    if name == "photo" and shape == (None, None, 3):
        return ""
    return (
        "darktable supports denoisers of colour photographs of any size, trained with "
        f"--model photo --channels 3. Received: {name}, for inputs of shape {shape}"
    )


def describe(card: dict[str, Any]) -> dict[str, Any]:
    """Return config.json: what darktable displays and how it calls the model."""
    name = re.sub(r"[^a-z0-9]+", "-", str(card.get("name", "photo")).lower()).strip("-")
    return {
        "id": f"{TASK}-keras-dae-{name or 'photo'}",
        "name": f"{TASK} keras_dae {name or 'photo'}",
        "description": "Small blind denoiser of photographs, for noise of sigma 0 to "
        "55 of 255",
        "task": TASK,
        "backend": "onnx",
        "version": VERSION,
        "arch": "generic",
        "num_inputs": 1,
        "tiling": True,
    }


def onnx_model(model: Any) -> Any:
    """Return the ONNX model of a photo network: NCHW, any height and width."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    constants: list[Any] = []
    nodes: list[Any] = []

    def constant(name: str, values: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def kernel(layer: str) -> str:
        # Keras stores (h, w, in, out), and (h, w, out, in) if transposed.
        weights = model.get_layer(layer).get_weights()[0].transpose(3, 2, 0, 1)
        return constant(f"{layer}.kernel", np.ascontiguousarray(weights))

    def convolution(kind: str, layer: str, x: str, **attributes: Any) -> str:
        return node(kind, [x, kernel(layer)], layer, pads=[1, 1, 1, 1], **attributes)

    sides = node("Slice", [node("Shape", ["input"], "shape"), constant("two", [2]),
                           constant("four", [4])], "sides")  # fmt: skip
    odd = node("Mod", [sides, "two"], "odd")
    pads = node("Concat", [constant("before", [0] * 6), odd], "pads", axis=0)
    even = node("Pad", ["input", pads], "even", mode="reflect")
    x = convolution("Conv", "down", even, strides=[2, 2])
    x = node("Relu", [x], "down.relu")
    blocks = [layer.name for layer in model.layers if layer.name.endswith("_a")]
    for block in (name.removesuffix("_a") for name in blocks):
        inner = convolution("Conv", f"{block}_a", x)
        inner = node("Relu", [inner], f"{block}_a.relu")
        x = node("Add", [x, convolution("Conv", f"{block}_b", inner)], block)
    x = node("Relu", [x], "features")
    noise = convolution("ConvTranspose", "noise", x, strides=[2, 2])
    x = node("Sub", [even, noise], "denoised")
    ends = [constant("start", [0, 0]), sides, constant("axes", [2, 3])]
    x = node("Slice", [x, *ends], "cropped")
    x = node("Clip", [x, *(constant(f"limit{n}", np.float32(n)) for n in (0, 1))],
             "output")  # fmt: skip
    shape: list[str | int | None] = [1, 3, "height", "width"]
    graph = helper.make_graph(
        nodes,
        "photo",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        constants,
    )
    opset = [helper.make_opsetid("", OPSET)]
    made = helper.make_model(graph, opset_imports=opset, ir_version=IR)
    onnx.checker.check_model(made, full_check=True)
    return made


def read_archive(path: Path, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return an archive as a function of float32 images (N, H, W, 3)."""
    import onnxruntime

    with zipfile.ZipFile(path) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith(MODEL)]
        content = archive.read(name)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        content, options, providers=["CPUExecutionProvider"]
    )

    def answer(images: np.ndarray) -> np.ndarray:
        given = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
        made = [session.run(None, {"input": one[None]})[0] for one in given]
        return np.asarray(np.concatenate(made).transpose(0, 2, 3, 1))

    return answer
