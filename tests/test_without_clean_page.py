"""docs/without-clean-images.md: its code runs."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "without-clean-images.md").read_text()


def test_the_python_examples_run(capsys):
    code = "".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    exec(code, {})
    lines = ["blind-spot h(y)", "(64, 96)", "[0.0381 0.     0.0381]"]
    assert capsys.readouterr().out.splitlines() == lines


def test_the_tests_that_are_named_exist():
    named = re.findall(r"`(tests/[\w/]+\.py)`", PAGE)
    assert len(named) == 4
    assert all((ROOT / name).is_file() for name in named)
