"""A worker process whose task fails, and one that is killed."""

import pytest

from keras_dae.errors import KerasDAEError
from keras_dae.interchange.process import Worker

LOST = {"do": "export", "format": "onnx", "model": "gone.keras", "out": "out"}


def test_a_task_that_fails_or_dies_fails_alone():
    with Worker("torch") as worker:
        with pytest.raises(
            KerasDAEError, match=r"onnx on torch failed to export: .*gone"
        ):
            worker.do(LOST)
        first = worker._process
        first.kill()
        first.wait()
        with pytest.raises(KerasDAEError, match="onnx on torch failed to export"):
            worker.do(LOST)
        # Another process takes the next one, and says what the first one said.
        with pytest.raises(KerasDAEError, match="gone"):
            worker.do(LOST)
        assert worker._process.pid != first.pid
