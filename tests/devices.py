"""Where a test stands: on the CPU, or on a GPU where `pytest -m cuda` finds one.

Ordinary runs see no accelerator (`tests/conftest.py`), so what they compare bit for bit
is computed on the CPU on every machine. A test that also stands on a GPU takes its
device from `DEVICES`.
"""

import os

import pytest

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


def needs_torch():
    """Skip the module where keras runs on another backend than torch."""
    if os.environ.get("KERAS_BACKEND", "torch") != "torch":
        pytest.skip("this is torch's alone", allow_module_level=True)
