"""Where a test stands: on the CPU, or on a GPU where `pytest -m cuda` finds one.

Ordinary runs see no accelerator (`tests/conftest.py`), so what they compare bit for bit
is computed on the CPU on every machine. A test that also stands on a GPU takes its
device from `DEVICES`.
"""

import os

import pytest

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
ON_TORCH = os.environ.get("KERAS_BACKEND", "torch") == "torch"
