"""What PyPI itself knows of the pinned versions, where no other database is in reach.

    python -m benchmarks.audit

`make audit` asks OSV for each pin, and is the audit to run. This asks PyPI, whose list
is drawn from the same advisories, for each version of `constraints.txt`; where a mirror
answers for projects alone, that is an answer for their latest version, and pins of
others count as not asked. Writes `audit.json`; ends with 1 on a known vulnerability.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import requests
from packaging.requirements import Requirement

from keras_dae.system.storage import write_json

HERE = Path(__file__).parent
PYPI = "https://pypi.org/pypi"
SECONDS = 60


def pins(path: Path) -> list[tuple[str, str]]:
    """Return name and version of each pin."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    needed = [Requirement(line) for line in lines if line]
    return [(one.name, next(iter(one.specifier)).version) for one in needed]


def asked(pin: tuple[str, str]) -> dict[str, Any]:
    """Return what PyPI says of one pin; `known` is None where it has no answer."""
    name, version = pin
    row: dict[str, Any] = {"name": name, "version": version, "known": None}
    for place in (f"{name}/{version}", name):
        answer = requests.get(f"{PYPI}/{place}/json", timeout=SECONDS)
        if answer.ok and (found := answer.json())["info"]["version"] == version:
            return {**row, "known": [one["id"] for one in found["vulnerabilities"]]}
    return row


def main() -> int:
    """Ask for all, write, print and return the status."""
    with ThreadPoolExecutor(8) as workers:
        rows = list(workers.map(asked, pins(HERE.parent / "constraints.txt")))
    flawed = {row["name"]: row["known"] for row in rows if row["known"]}
    unknown = [row["name"] for row in rows if row["known"] is None]
    write_json(HERE / "audit.json", {"asked": date.today().isoformat(), "rows": rows})
    print(f"{len(rows) - len(unknown)} of {len(rows)} pins answered for")
    print(f"known vulnerabilities: {flawed or 'none'}")
    print(f"no answer: {', '.join(unknown) or 'none'}")
    return int(bool(flawed))


if __name__ == "__main__":
    sys.exit(main())
