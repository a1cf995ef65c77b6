"""Hand every hostile file to the command that reads it; print and write what came.

    python -m tests.hostile.campaign --out artifacts/hostile.json

A file is refused with one sentence on standard error and exit code 1 or 2, within 1.5
GB of each process's whole memory and 20 s of the CPU time of all of them together. With
--together one process reads all files, one after the other, which is what the tests do:
there memory and time are what a file added to it, and to the processes with walls that
it keeps.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MEGABYTES, SECONDS = 1500, 20.0
ROOT = Path(__file__).parents[2]
REPORT = (
    "import sys; from pathlib import Path\n"
    "from keras_dae.errors import KerasDAEError\n"
    "from keras_dae.study.report.publish import write_report\n"
    "try: write_report(Path(sys.argv[1]))\n"
    "except KerasDAEError as error: sys.exit(f'Error: {error}')\n"
)


def alone(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run a command in a process of its own."""
    name, *rest = case["command"]
    start = ["-c", REPORT] if name == "report" else [str(ROOT / "cli.py"), name]
    with (folder / "out.txt").open("w") as out, (folder / "err.txt").open("w+") as err:
        process = subprocess.Popen(
            [sys.executable, *start, *rest], stdout=out, stderr=err, cwd=folder
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        err.seek(0)
        said = err.read()
    return judged(
        case,
        process.returncode,
        said,
        used.ru_maxrss / 1024,
        used.ru_utime + used.ru_stime,
    )


def together(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run a command in this process."""
    from click.testing import CliRunner

    from keras_dae.cli import main
    from keras_dae.errors import KerasDAEError
    from keras_dae.study.report.publish import write_report

    before = peak(os.getpid(), reset=True)
    for room in rooms():
        peak(room, reset=True)
    began = computed()
    if case["command"][0] == "report":
        code, said = 0, ""
        try:
            write_report(Path(case["command"][1]))
        except KerasDAEError as error:
            code, said = 1, f"Error: {error}"
    else:
        result = CliRunner().invoke(main, case["command"])
        code, said = result.exit_code, result.stderr
        if result.exception and not isinstance(result.exception, SystemExit):
            said += f"Traceback: {result.exception!r}"
    spent = computed() - began
    held = [peak(os.getpid()) - before, *map(peak, rooms())]
    return judged(case, code, said, max(held), spent)


def rooms() -> list[int]:
    """Return the processes with walls that this process keeps."""
    from keras_dae.system.walls import FILES, MODELS

    kept = [room._process for room in (FILES, MODELS)]
    return [one.pid for one in kept if one is not None and one.poll() is None]


def computed() -> float:
    """Return the CPU time of this process and its children, seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = 0
    for pid in rooms():
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(words[11]) + int(words[12])
    ended = used.ru_utime + used.ru_stime
    return time.process_time() + ended + ticks / os.sysconf("SC_CLK_TCK")


def peak(pid: int, reset: bool = False) -> float:
    """Return the most memory that a process has held since the last reset, MB."""
    if reset:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    status = Path(f"/proc/{pid}/status").read_text()
    _, _, held = status.partition("VmHWM:")  # a process that ends has none
    return int(held.split()[0]) / 1024 if held else 0.0


def judged(
    case: dict[str, Any], code: int, said: str, megabytes: float, seconds: float
) -> dict[str, Any]:
    """Return a row: what was said, and what is wrong with that."""
    lines = [line for line in said.splitlines() if line.strip()]
    wrong = []
    done = code == 0 and case.get("may_be_done", False)
    # A command may have begun before it refuses; `compare` asks each model in turn.
    if case.get("may_be_done") or case["command"][0] == "compare":
        lines = [line for line in lines if line.startswith("Error: ")]
    if done:
        lines = []
    elif code not in (1, 2):
        wrong.append(f"exit code {code}")
    if done:
        pass
    elif len(lines) != 1 or not lines[0].startswith("Error: "):
        wrong.append(f"{len(lines)} lines")
    elif not lines[0].endswith("."):
        wrong.append("no sentence")
    if "Traceback" in said:
        wrong.append("a traceback")
    if megabytes > MEGABYTES:
        wrong.append("memory")
    if seconds > SECONDS:
        wrong.append("time")
    return {
        **case,
        "exit": code,
        "said": (lines or [""])[-1].removeprefix("Error: "),
        "megabytes": round(megabytes),
        "cpu_seconds": round(seconds, 2),
        "wrong": wrong,
    }


def made(folder: Path, more: bool = False) -> list[dict[str, Any]]:
    """Write the files in another process, so that this one stays small."""
    code = (
        "import json, sys; from pathlib import Path\n"
        "from tests.hostile.cases import cases\n"
        f"json.dump(list(cases(Path(sys.argv[1]), {more})), sys.stdout)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        stdout=subprocess.PIPE,
        check=True,
        cwd=ROOT,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def main() -> None:
    """Run all, print a table, write JSON; exit with 1 if a file was not refused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSON file of the table.")
    parser.add_argument("--together", action="store_true", help="In one process.")
    parser.add_argument("--only", default="", help="Files of this kind, such as npz.")
    parser.add_argument("--more", action="store_true", help="The files of more.py.")
    given = parser.parse_args()
    run = together if given.together else alone
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for case in made(folder, given.more):
            if case["file"].startswith(given.only):
                row = run(case, folder)
                row["said"] = row["said"].replace(f"{place}/", "")
                row["command"] = [
                    word.replace(f"{place}/", "") for word in row["command"]
                ]
                row["command"] = [
                    word.replace(f"{ROOT}/", "") for word in row["command"]
                ]
                rows.append(row)
                print(shown(row), flush=True)
        escaped = [str(path) for path in folder.parent.glob("escaped*")]
    bad = [row["file"] for row in rows if row["wrong"]]
    print(f"{len(rows)} files, {len(rows) - len(bad)} refused; not: {bad or 'none'}")
    if given.out:
        about = {"bounds": {"megabytes": MEGABYTES, "cpu_seconds": SECONDS}}
        text = json.dumps({"schema": 1, **about, "files": rows}, indent=1)
        given.out.write_text(text + "\n")
    sys.exit(bool(bad or escaped))


def shown(row: dict[str, Any]) -> str:
    """Return a row as a line of the table."""
    return (
        f"{'FAIL ' + ', '.join(row['wrong']) if row['wrong'] else 'ok':4} "
        f"{row['file']:44} {row['command'][0]:10} {row['megabytes']:4} MB "
        f"{row['cpu_seconds']:5.2f} s  {row['said'][:120]}"
    )


if __name__ == "__main__":
    main()
