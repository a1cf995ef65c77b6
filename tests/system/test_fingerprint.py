"""Kept figures are those of this code."""

from keras_dae.system import fingerprint
from keras_dae.system.fingerprint import code_sha256


def test_words_do_not_count_and_code_does():
    plain = "def f(x):\n    return x + 1\n"
    worded = (
        '"""A module."""\n\n\ndef f(x):\n    """Add one."""\n    return (x + 1)  # so\n'
    )
    assert fingerprint._bare(plain) == fingerprint._bare(worded)
    assert fingerprint._bare(plain) != fingerprint._bare(plain.replace("1", "2"))


def test_each_folder_counts(tmp_path, monkeypatch):
    for folder in fingerprint.MEASURING:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path)
    seen = set()
    for folder in (None, *fingerprint.MEASURING):
        if folder is not None:
            (tmp_path / folder / "a.py").write_text("x = 2\n")
        code_sha256.cache_clear()
        seen.add(code_sha256())
    code_sha256.cache_clear()
    assert len(seen) == 1 + len(fingerprint.MEASURING)


def test_the_folders_are_there():
    for folder in fingerprint.MEASURING:
        assert list((fingerprint.PACKAGE / folder).rglob("*.py"))
