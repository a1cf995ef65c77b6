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


def test_each_folder_and_file_counts(tmp_path, monkeypatch):
    files = [f"{folder}/a.py" for folder in fingerprint.MEASURING]
    files += fingerprint.FILES
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path)
    seen = set()
    for name in (None, *files):
        if name is not None:
            (tmp_path / name).write_text("x = 2\n")
        code_sha256.cache_clear()
        seen.add(code_sha256())
    code_sha256.cache_clear()
    assert len(seen) == 1 + len(files)


def test_the_folders_are_there():
    for folder in fingerprint.MEASURING:
        assert list((fingerprint.PACKAGE / folder).rglob("*.py"))
