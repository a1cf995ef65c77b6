"""The JavaScript of the page, run by Node."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import keras_dae.page

FOLDER = Path(keras_dae.page.__file__).parent
SCRIPTS = sorted(FOLDER.glob("*.js"))
SKIP = "node is not installed; it runs the page's JavaScript in these tests"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason=SKIP)

# The scripts that need no page, as the constants that they define.
REQUIRED = "\n".join(
    f"const {name.capitalize()} = require({json.dumps(str(FOLDER / f'{name}.js'))});"
    for name in ("weights", "layers", "kernels", "digits", "noise", "tiles")
)
PRELUDE = f"""
"use strict";
const fs = require("fs");
{REQUIRED}
const given = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
// An image from nested lists (height, width, channels), and back.
const image = (x) =>
  Kernels.tensor(x.length, x[0].length, x[0][0].length, Float32Array.from(x.flat(2)));
const list = ({{ data }}) => Array.from(data);
"""


def run_node(tmp_path, code, **given):
    """Return what `code`, the body of an async function, returns for `given`."""
    script, values, answer = (tmp_path / name for name in ("run.js", "in", "out"))
    values.write_text(json.dumps(given))
    script.write_text(
        f"{PRELUDE}(async () => {{\n{code}\n}})().then((found) =>"
        f" fs.writeFileSync({json.dumps(str(answer))}, JSON.stringify(found)));"
    )
    done = subprocess.run(
        ["node", script, values], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(answer.read_text())
