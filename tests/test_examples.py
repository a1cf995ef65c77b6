"""Every example in a docstring runs, and gives what it shows."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import keras_dae as kd

FINDER = doctest.DocTestFinder(exclude_empty=True)


def examples():
    for found in pkgutil.walk_packages(kd.__path__, "keras_dae."):
        if found.name.endswith(("__main__", "ray_worker", "ray_cluster", "ziggurat")):
            continue  # they need packages that are not always there
        module = importlib.import_module(found.name)
        for example in FINDER.find(module, found.name):
            if example.examples:
                yield pytest.param(example, id=example.name)


@pytest.mark.parametrize("example", list(examples()))
def test_example(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    public = {name: getattr(kd, name) for name in kd.__all__}
    example.globs = {"np": np, "kd": kd, **public, **example.globs}
    said = []
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    runner = doctest.DocTestRunner(optionflags=flags)
    results = runner.run(example, out=said.append)
    assert results.attempted > 0
    assert results.failed == 0, "".join(said)
