import pytest

from keras_dae.errors import KerasDAEError
from keras_dae.study.common import cells as cells_module
from keras_dae.study.common.cells import Cells, digest_of


def test_a_figure_is_measured_once_also_by_a_later_process(tmp_path):
    calls = []

    def measure():
        calls.append(1)
        return {"mse": 0.25}

    path = tmp_path / "cells.json"
    for _ in range(2):
        cells = Cells(path)
        assert cells.get({"a": 1, "b": [2]}, measure) == {"mse": 0.25}
        assert cells.get({"b": [2], "a": 1}, measure) == {"mse": 0.25}
    assert len(calls) == 1
    assert Cells(path).get({"a": 2, "b": [2]}, lambda: 3) == 3


def test_a_figure_of_other_code_is_measured_again(tmp_path, monkeypatch):
    path = tmp_path / "cells.json"
    assert Cells(path).get({"a": 1}, lambda: 1) == 1
    monkeypatch.setattr(cells_module, "code_sha256", lambda: "other")
    assert Cells(path).get({"a": 1}, lambda: 2) == 2
    monkeypatch.setattr(cells_module, "__version__", "other")
    assert Cells(path).get({"a": 1}, lambda: 3) == 3


def test_what_fails_is_not_kept(tmp_path):
    cells = Cells(tmp_path / "cells.json")
    with pytest.raises(ZeroDivisionError):
        cells.get({"a": 1}, lambda: 1 / 0)
    assert not (tmp_path / "cells.json").exists()
    assert cells.get({"a": 1}, lambda: 2) == 2


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "cells.json").write_text("{")
    with pytest.raises(KerasDAEError, match=r"cells\.json is not valid JSON"):
        Cells(tmp_path / "cells.json")


def test_digests_tell_values_apart():
    assert len({digest_of({"a": value}) for value in (1, 2, "1", [1], None)}) == 5


def test_a_file_without_figures_is_refused(tmp_path):
    (tmp_path / "cells.json").write_text('{"schema": 1, "cells": [1]}')
    with pytest.raises(KerasDAEError, match="holds no figures"):
        Cells(tmp_path / "cells.json")
