"""Write the report of a study from the files in its folder.

Every command that adds to a study writes its JSON and figures first and then calls
`write_report`, so that the report always agrees with the files.
"""

import io
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from keras_dae.errors import KerasDAEError
from keras_dae.study.board.figures import board_table, notes
from keras_dae.study.nine.figures import save_png
from keras_dae.study.report.experiments import EXPERIMENTS, section
from keras_dae.study.report.report import Figures, Section, report_html, report_markdown
from keras_dae.system.inside import named, read
from keras_dae.system.storage import content_errors, read_json, write_json, write_text

MAX_FIGURE = 64 << 20  # bytes; size limit of a figure in a report
FIGURE_CAPTIONS = {
    "figure1-scheme": "Figure 1. The autoencoder {name}, layer by layer, with a test "
    "image at each stage.",
    "figure2-pipeline": "Figure 2. The denoising pipeline of {name}: what is added, "
    "what is kept in the latent maps, what comes out.",
    "figure3-samples": "Figure 3. Test images without and with noise.",
    "figure4-reconstruction": "Figure 4. Truth, noisy input, output of {name}, and "
    "its error.",
    "figure5-losses": "Figure 5. Training and validation loss, one panel per depth.",
    "figure6-test-loss": "Figure 6. Test loss of every model and of the baselines.",
    "figure7-all-models": "Figure 7. The same noisy test images denoised by every "
    "model.",
    "claims": "The claims, comparison by comparison: the difference that a claim says "
    "is above 0, with its 95 % interval over seeds and test images.",
}
BOARD_CAPTIONS = {
    "board": "The board. Test error of every denoiser on the same noisy images; the "
    "lines are standard deviations over seeds.",
    "board-images": "The same noisy test images denoised by every denoiser of the "
    "board, the lowest test error first.",
}


def command() -> str:
    """Return the command line of this process, which is recorded with results."""
    return shlex.join(["keras-dae", *sys.argv[1:]])


def write_report(out: Path) -> bool:
    """Write `report.md` and `report.html` of a study from the files in its folder.

    Args:
        out: folder with `results.json`, and with files of later commands: `board.json`,
            files of rows of `EXPERIMENTS`, and `figures`.

    Returns:
        Whether the report is complete: False if there is no `results.json`, or if
        `board.json` is for other test images and is therefore left out.
    """
    named(out)
    if not (out / "results.json").is_file():
        return False
    texts, complete = report_texts(out)
    for name, text in texts.items():
        write_text(out / name, text)
    return complete


def report_texts(out: Path) -> tuple[dict[str, str], bool]:
    """Return the texts of `write_report` by file name, and if they are complete."""
    with content_errors(out / "results.json"):
        results = read_json(out / "results.json")
        lowest = min(results["models"], key=lambda row: row["val_loss"])["name"]
        captions = {
            name: text.format(name=lowest) for name, text in FIGURE_CAPTIONS.items()
        }
    board = _read(out / "board.json")
    with content_errors(out / "board.json"):
        with_board = board is not None and all(
            board.get(key, usual) == results.get(key, usual)
            for key, usual in (("noise", None), ("test_draws", 1))
        )
        if board is not None and with_board:
            results = {**results, "board": (notes(board), board_table(board))}
            captions |= BOARD_CAPTIONS
    further = _sections(out, results)
    drawn = _figures(out, captions)
    with content_errors(out / "results.json"):
        texts = {
            "report.md": report_markdown(results, drawn, sections=further),
            "report.html": report_html(results, drawn, sections=further),
        }
    return texts, board is None or with_board


def publish(
    out: Path, name: str, results: dict[str, Any], drawn: dict[str, Figure]
) -> dict[str, Any]:
    """Write results and figures of an experiment, and update the report.

    Args:
        out: folder of the study.
        name: a row of `EXPERIMENTS`.
        results: content of its file; the command is added.
        drawn: file name without extension -> figure.
    """
    results["command"] = command()
    write_json(out / EXPERIMENTS[name].file, results)
    remove_figures(out, set(EXPERIMENTS[name].figures) - drawn.keys())
    for stem, figure in drawn.items():
        save_png(figure, out / "figures" / f"{stem}.png")
    write_report(out)
    return results


def remove_figures(out: Path, stems: Iterable[str]) -> None:
    """Remove figures of an earlier command that the results no longer have."""
    for stem in stems:
        (out / "figures" / f"{stem}.png").unlink(missing_ok=True)


def _sections(out: Path, results: dict[str, Any]) -> list[Section]:
    """Return the sections of the experiments, each from its own file."""
    further = []
    for name, row in EXPERIMENTS.items():
        record = _read(out / row.file)
        if record is None:
            continue
        if row.file.endswith("claims.json"):
            record["study"] = results.get("claims", [])
        figures = _figures(out, row.figures)
        shown = {file: webp for file, (_, webp) in figures.items()}
        with content_errors(out / row.file):
            further.append(section(name, record, shown))
    return further


def _read(path: Path) -> dict[str, Any] | None:
    return read_json(path) if path.is_file() else None


def _figures(out: Path, captions: Mapping[str, str]) -> Figures:
    """Return the figures in the folder of a study: file name -> (caption, WebP)."""
    paths = {name: out / "figures" / f"{name}.png" for name in captions}
    return {
        path.name: (captions[name], _webp(path))
        for name, path in paths.items()
        if path.is_file()
    }


def _webp(path: Path) -> bytes:
    """Return a PNG file as lossless WebP, which takes less than half the bytes."""
    png, content = io.BytesIO(read(path, MAX_FIGURE)), io.BytesIO()
    try:
        with Image.open(png, formats=["PNG"]) as image:
            image.convert("RGB").save(content, "WEBP", lossless=True)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise KerasDAEError(f"{path} cannot be read as a PNG image.") from error
    return content.getvalue()
