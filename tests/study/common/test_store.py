import numpy as np
import pytest

from keras_dae.errors import KerasDAEError
from keras_dae.study.common import store as module
from keras_dae.study.common.store import Result, Store, digest_of


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "measured")


def test_a_figure_is_measured_once_also_by_a_later_process(store):
    calls = []

    def measure():
        calls.append(1)
        return {"mse": 0.25}

    for _ in range(2):
        again = Store(store.folder)
        assert again.figures("a", {"a": 1, "b": [2]}, measure) == {"mse": 0.25}
        assert again.figures("a", {"b": [2], "a": 1}, measure) == {"mse": 0.25}
    assert len(calls) == 1
    assert store.figures("a", {"a": 2, "b": [2]}, lambda: 3) == 3


def test_arrays_come_back_as_they_were(store):
    errors = np.array([0.5, 0.25], np.float32)
    store.get("one", {"a": 1}, lambda: Result({"mse": 0.375}, {"errors": errors}))
    kept = store.get("one", {"a": 1}, lambda: pytest.fail("measured again"))
    assert kept.figures == {"mse": 0.375}
    assert kept.arrays["errors"].dtype == np.float32
    np.testing.assert_array_equal(kept.arrays["errors"], errors)


def test_fresh_and_unknown_dependencies_are_measured_each_time(store):
    assert store.get("a", {"a": 1}, lambda: Result(1)).figures == 1
    assert store.get("a", {"a": 1}, lambda: Result(2), fresh=True).figures == 2
    assert store.get("a", {"a": 1}, lambda: Result(3)).figures == 2
    for value in (1, 2):
        assert store.get("b", None, lambda value=value: Result(value)).figures == value
    assert len(list(store.folder.iterdir())) == 1


def test_a_figure_of_other_code_is_measured_again(store, monkeypatch):
    assert store.figures("a", {"a": 1}, lambda: 1) == 1
    monkeypatch.setattr(module, "code_sha256", lambda: "other")
    assert store.figures("a", {"a": 1}, lambda: 2) == 2
    monkeypatch.setattr(module, "__version__", "other")
    assert store.figures("a", {"a": 1}, lambda: 3) == 3


def test_what_fails_is_not_kept(store):
    with pytest.raises(ZeroDivisionError):
        store.figures("a", {"a": 1}, lambda: 1 / 0)
    assert not store.folder.exists()
    assert store.figures("a", {"a": 1}, lambda: 2) == 2


@pytest.mark.parametrize("damage", [b"", b"{", b"PK half"])
def test_what_is_damaged_is_measured_again(store, damage):
    store.figures("a", {"a": 1}, lambda: 1)
    (path,) = store.folder.iterdir()
    path.write_bytes(damage)
    assert store.figures("a", {"a": 1}, lambda: 2) == 2
    assert store.figures("a", {"a": 1}, lambda: 3) == 2


def test_a_file_is_made_once(store):
    for content in (b"first", b"second"):
        path = store.file(
            "cnn on DAE 5/13", ".keras", {"a": 1}, lambda p, c=content: p.write_bytes(c)
        )
    assert path.read_bytes() == b"first"
    assert path.name.startswith("cnn_on_DAE_5_13-")


def test_one_process_at_a_time(tmp_path):
    with (
        Store.opened(tmp_path) as store,
        pytest.raises(KerasDAEError, match="in use by another process"),
        Store.opened(tmp_path),
    ):
        pass
    assert store.folder == tmp_path / "measured"


def test_digests_tell_values_apart():
    assert len({digest_of({"a": value}) for value in (1, 2, "1", [1], None)}) == 5
