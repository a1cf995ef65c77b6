"""A user's denoisers: each form is loaded, each misbehaviour is one sentence."""

import sys

import numpy as np
import pytest

from keras_dae.errors import KerasDAEError, UsageError
from keras_dae.evaluation.guard import guarded
from keras_dae.models.architectures import Conv, DAESpec
from keras_dae.models.builders import build
from keras_dae.models.files import save
from keras_dae.study.common.loaders import fingerprint_of, load_denoiser

NOISY = np.random.default_rng(0).random((5, 8, 8, 1), dtype=np.float32)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module into the working folder; forget it afterwards."""
    monkeypatch.chdir(tmp_path)

    def write(code):
        (tmp_path / "users_own.py").write_text(code)
        sys.modules.pop("users_own", None)

    yield write
    sys.modules.pop("users_own", None)


def test_a_callable_of_the_working_folder(module, tiny):
    module("def half(noisy):\n    return noisy / 2\n")
    denoise, facts = load_denoiser("users_own:half", tiny)
    np.testing.assert_array_equal(denoise(NOISY), NOISY / 2)
    assert facts == {"parameters": None, "bytes": None, "macs": None}


def test_what_a_callable_depends_on_is_not_known(module):
    """It may read its weights from any file, so it is measured each time."""
    module("def half(noisy):\n    return noisy / 2\n")
    assert fingerprint_of("users_own:half") is None


@pytest.mark.parametrize(
    ("code", "text", "says"),
    [
        ("", "users_own:half", "AttributeError.*half"),
        ("import nothing_of_the_kind", "users_own:half", "nothing_of_the_kind"),
        ("raise SystemExit(3)", "users_own:half", "SystemExit: 3"),
        ("def (", "users_own:half", "SyntaxError"),
        ("half = 3", "users_own:half", "not callable. Received: int"),
        ("", "no_such_module:half", "no_such_module"),
        ("", "users_own", "MODULE:FUNCTION. Received: 'users_own'"),
        ("", "users_own:", "Received: 'users_own:'"),
        ("", "nowhere.keras", "no model file nowhere.keras"),
        ("", "nowhere.onnx", "no model file nowhere.onnx"),
    ],
)
def test_what_cannot_be_imported(module, code, text, says):
    module(code)
    with pytest.raises(UsageError, match=says):
        fingerprint_of(text)


def changes(noisy):
    noisy[0, 0, 0, 0] = 9
    return noisy.copy()


def spoiled(noisy):
    answer = noisy.copy()
    answer[-1, 3, 4] = np.nan
    return answer


def says_why(noisy):
    raise KerasDAEError("mine.onnx cannot be read (a reason).")


def fails(noisy):
    raise RuntimeError("out of luck\nand more")


@pytest.mark.parametrize(
    ("denoise", "says"),
    [
        (
            lambda noisy: noisy[..., 0],
            r"mine returns shape \(5, 8, 8\) for.*\(5, 8, 8, 1",
        ),
        (lambda noisy: None, "type object"),
        (lambda noisy: noisy.astype(complex), "type complex128"),
        (lambda noisy: [[1], [1, 2]], "mine failed: ValueError"),
        (spoiled, "mine returns values that are not finite"),
        (changes, "mine changes its input"),
        (fails, "mine failed: RuntimeError: out of luck.$"),
        (says_why, r"mine failed: mine.onnx cannot be read \(a reason\)\.$"),
    ],
)
def test_misbehaviour_is_one_sentence(denoise, says):
    before = NOISY.copy()
    with pytest.raises(KerasDAEError, match=says) as error:
        guarded(denoise, "mine")(NOISY)
    assert "\n" not in str(error.value)
    np.testing.assert_array_equal(NOISY, before)


def test_a_good_answer_is_float32():
    answer = guarded(lambda noisy: np.ones(noisy.shape, np.uint8), "mine")(NOISY)
    assert answer.dtype == np.float32
    assert (answer == 1).all()


def test_a_keras_file(tmp_path, tiny):
    model = build(DAESpec(8, 1, (Conv(2, 4, 2),)), seed=1)
    path = tmp_path / "mine.keras"
    save(model, path)
    denoise, facts = load_denoiser(str(path), tiny)
    np.testing.assert_allclose(
        denoise(NOISY), np.asarray(model.predict(NOISY, verbose=0)), atol=1e-6
    )
    assert facts == {
        "parameters": 67,
        "bytes": path.stat().st_size,
        "macs": 2 * 9 * 16 * 2,  # 3x3 places, a kernel of 4x4, 2 filters, twice
    }


def onnx_file(path, shape):
    """Write an ONNX model that halves its input, of this shape."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    kind = onnx.TensorProto.FLOAT
    given, made = (
        onnx.helper.make_tensor_value_info(name, kind, shape) for name in "xy"
    )
    half = onnx.helper.make_tensor("half", kind, [], [0.5])
    node = onnx.helper.make_node("Mul", ["x", "half"], ["y"])
    graph = onnx.helper.make_graph([node], "half", [given], [made], [half])
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=9)
    onnx.save(model, path)
    return str(path)


@pytest.mark.parametrize(
    "shape",
    [["n", 8, 8, 1], ["n", 1, 8, 8], [2, 8, 8, 1], [1, 1, 8, 8], ["n", "h", "w", 1]],
)
def test_an_onnx_file_of_either_layout_and_any_batch(tmp_path, tiny, shape):
    denoise, facts = load_denoiser(onnx_file(tmp_path / "half.onnx", shape), tiny)
    np.testing.assert_array_equal(denoise(NOISY), NOISY / 2)
    assert facts["bytes"] == (tmp_path / "half.onnx").stat().st_size
    assert facts["clock"] == "wall"  # the CPU time is that of another process


def test_an_onnx_file_for_other_images(tmp_path, tiny):
    path = onnx_file(tmp_path / "half.onnx", ["n", 28, 28, 1])
    with pytest.raises(KerasDAEError, match=r"28, 28, 1.*tiny.*\(8, 8, 1\)"):
        load_denoiser(path, tiny)


def test_a_damaged_onnx_file(tmp_path, tiny):
    pytest.importorskip("onnxruntime")
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(KerasDAEError, match="not a readable ONNX model"):
        load_denoiser(str(path), tiny)


def test_without_onnxruntime_its_extra_is_named(tmp_path, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(KerasDAEError, match=r"keras-dae\[onnx\]"):
        load_denoiser(str(tmp_path / "half.onnx"), tiny)
