import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_dae.errors import KerasDAEError
from keras_dae.study.report.publish import publish, report_texts, write_report
from keras_dae.system.storage import write_json
from tests.study.report.test_report import architecture, claim, model, scored

NOISE = {"kind": "gaussian", "sigma": 0.5, "clip": True, "test_sha256": "cd"}
SMALLER = "(*) a smaller latent gives a higher loss"


@pytest.fixture
def study(tmp_path):
    counts = {"train": 48000, "validation": 12000, "test": 10000}
    rows = [model("DAE_3_13", 0.01), model("DAE_3_8", 0.02)]
    results = {
        "dataset": {"name": "mnist", "sha256": "ab" * 32, **counts},
        "noise": NOISE,
        "hardware": "a processor",
        "backend": "torch",
        "models": [{**row, "val_loss": row["test"]["mse"]} for row in rows],
        "floors": [{"name": "all black", "test": scored(0.1)}],
        "architectures": [
            architecture("DAE_3_13", 13, 0.86),
            architecture("DAE_3_8", 8, 0.33),
        ],
        "claims": [claim("DAE_3_8", "DAE_3_13", "HOLDS", SMALLER)],
        "command": "keras-dae reproduce",
    }
    write_json(tmp_path / "results.json", results)
    return tmp_path


def test_a_folder_without_a_study_has_no_report(tmp_path):
    assert not write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_study_alone_is_reported_with_its_figures(study):
    (study / "figures").mkdir()
    drawn = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
    Image.fromarray(drawn).save(study / "figures" / "claims.png")
    assert write_report(study)
    page = (study / "report.html").read_text()
    (embedded,) = re.findall('data:image/webp;base64,([^"]+)', page)
    with Image.open(io.BytesIO(base64.b64decode(embedded))) as image:
        np.testing.assert_array_equal(np.asarray(image), drawn)
    text = (study / "report.md").read_text()
    assert "figures/claims.png" in text
    assert "DAE_3_13" in text
    assert "claims at equal" not in text


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_a_figure_that_is_no_png_is_named(study, content):
    (study / "figures").mkdir()
    (study / "figures" / "claims.png").write_bytes(content)
    with pytest.raises(KerasDAEError, match=r"claims\.png cannot be read as a PNG"):
        write_report(study)


def test_a_board_of_other_images_is_left_out_and_said(study):
    write_json(study / "board.json", {"noise": {**NOISE, "test_sha256": "ef"}})
    assert not write_report(study)
    assert (study / "report.html").is_file()


def test_verdicts_of_a_family_stand_beside_those_of_the_study(study):
    sizes = [
        {**architecture("EQM_3_13", 13, 0.86), "receptive_field": 36},
        {**architecture("EQM_3_8", 8, 0.33), "parameters": 1200},
    ]
    found = [
        claim("EQM_3_8", "EQM_3_13", "FAILS", SMALLER),
        {**claim("EQM_5_8", "EQM_5_13", "UNCLEAR", SMALLER), "seeds": [8, 5]},
    ]
    record = {"architectures": sizes, "seeds": [0, 1, 2], "epochs": 8}
    write_json(study / "equal-macs" / "claims.json", {**record, "claims": found})
    assert write_report(study)
    text = (study / "report.md").read_text()
    assert "The claims at equal multiply-adds" in text
    assert "1,133 to 1,200 parameters" in text
    assert "a receptive field of 4 to 36 pixels" in text
    assert "2 to 8 seeds per model, 8 epochs" in text
    assert f"{SMALLER}: fails in 1, unclear in 1." in text.replace("\\", "")
    rows = [line for line in text.splitlines() if "EQM_" in line]
    assert [row.split("|")[-4:-1] for row in rows if row.count("|") == 9] == [
        [" 2 ", " FAILS ", " HOLDS "],
        [" 8 and 5 ", " UNCLEAR ", " - "],
    ]


def test_verdicts_that_turn_are_named(study):
    own = claim("DAE_3_8", "DAE_3_13", "HOLDS", SMALLER)
    other = {**own, "verdict": "UNCLEAR"}
    record = {
        "best_epoch_is_last": 44,
        "runs": 45,
        "largest_gain_of_best_epoch": 0.00012,
        "verdicts": {"test, as drawn": [own], "validation loss": [other]},
    }
    write_json(study / "verdicts.json", record)
    assert write_report(study)
    text = (study / "report.md").read_text().replace("\\", "")
    assert "In 44 of 45 runs the last epoch is the best" in text
    assert "at most 0.000120" in text
    rows = [line for line in text.splitlines() if line.startswith(("| test,", "| val"))]
    assert rows == [
        "| test, as drawn | 1/0/0/0 | none |",
        "| validation loss | 0/0/1/0 | DAE_3_8 against DAE_3_13: UNCLEAR |",
    ]


@pytest.mark.parametrize("name", ["paper", "fast", "quick"])
def test_the_committed_reports_are_those_of_their_files(name):
    """They kept sentences and figures of an earlier state."""
    study = Path(__file__).parents[3] / "artifacts" / name
    texts, complete = report_texts(study)
    assert complete
    for file, text in texts.items():
        assert text == (study / file).read_text(encoding="utf-8"), file


def test_a_figure_of_an_earlier_command_goes(tmp_path):
    figures = tmp_path / "figures"
    figures.mkdir()
    for stem in ("bits-claims", "board"):
        (figures / f"{stem}.png").write_bytes(b"png")
    publish(tmp_path, "bits", {}, {})
    assert [path.name for path in figures.iterdir()] == ["board.png"]
