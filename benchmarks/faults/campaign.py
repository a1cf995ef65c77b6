"""Strike a command at a random moment, call it again, and look at what is there."""

import os
import random
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults.children import Counter, End, Moment, run, run_fresh
from benchmarks.faults.disk import PAGE, Disk
from benchmarks.faults.scenes import Scene
from benchmarks.faults.states import DAMAGED, json_state, left_over, states

FAULTS = {
    "SIGKILL": signal.SIGKILL,
    "SIGTERM": signal.SIGTERM,
    "Ctrl-C": signal.SIGINT,
    "full disk": None,
}
# What a row lists that went wrong: of files, of what was said, of the second call.
WRONG = ("lost", "unsaid", "unlike")
# How a command may end that was asked to: said, or before it could say anything.
ENDS = {
    signal.SIGKILL: {-signal.SIGKILL},
    signal.SIGTERM: {130, -signal.SIGTERM},
    signal.SIGINT: {130, -signal.SIGINT},
}


@dataclass
class Reference:
    """What a command does when nothing happens.

    Attributes:
        known: file -> every state that it has on the way.
        last: file -> its state at the end.
        printed: the figures that it prints, if it prints any.
        events: writing file operations.
        seconds: processor seconds, of a forked child and of a new process.
        bytes: what its files take.
    """

    known: dict[str, set[str]]
    last: dict[str, str]
    printed: bytes
    events: int
    seconds: float
    bytes: int
    fresh_seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.seconds:.1f} s of processor, {self.events} file operations, "
            f"{self.bytes:,} bytes"
        )


@dataclass
class Stage:
    """A scene in its place: what it finds, and what it does undisturbed."""

    scene: Scene
    home: Path
    disk: Disk
    reference: Reference | None = None

    def __post_init__(self) -> None:
        self.before = self.home / self.scene.name / "before"
        self.scratch = self.home / self.scene.name
        self.place = self.disk.folder / self.scene.name

    def set_up(self) -> None:
        """Lay out what the command finds."""
        shutil.rmtree(self.place, ignore_errors=True)
        if not self.before.exists():
            self.before.mkdir(parents=True)
            self.scene.prepare(self.before, self._must)
        shutil.copytree(self.before, self.place)

    def _must(self, arguments: list[str], folder: Path) -> None:
        end = run(arguments, folder, self.scratch)
        if end.code:
            raise RuntimeError(f"{' '.join(arguments)} failed: {end.err}")

    def learn(self, *, timed: bool) -> Reference:
        """Carry the command out undisturbed and note every state of its files."""
        self.set_up()
        notes, counter = self.scratch / "notes", Counter()
        notes.unlink(missing_ok=True)
        known = {name: {state} for name, state in states(self.place).items()}
        used, began = self.disk.used, _children_seconds()
        end = run(
            self.scene.first, self.place, self.scratch, known=notes, counter=counter
        )
        if end.code:
            raise RuntimeError(f"{self.scene.name} failed undisturbed: {end.err}")
        for line in notes.read_text().splitlines():
            name, _, state = line.partition("\t")
            known.setdefault(name, set()).add(state)
        last = states(self.place)
        for name, state in last.items():
            known.setdefault(name, set()).add(state)
        self.reference = Reference(
            known,
            last,
            json_state(end.out) if self.scene.printed else b"",
            counter.value,
            _children_seconds() - began,
            self.disk.used - used,
        )
        if timed and self.scene.new:
            self.set_up()
            began = _children_seconds()
            run_fresh(self.scene.first, self.place, self.scratch)
            self.reference.fresh_seconds = _children_seconds() - began
        return self.reference


def _children_seconds() -> float:
    found = os.times()
    return found.children_user + found.children_system


def strike(stage: Stage, fault: str, seed: str, fresh: bool = False) -> dict[str, Any]:
    """Provoke one fault, call again, and return what was found."""
    rng, began = random.Random(seed), sum(os.times()[:4])
    stage.set_up()
    assert stage.reference is not None
    draw = _fill if FAULTS[fault] is None else _send
    end, how = draw(stage, fault, rng, fresh)
    row: dict[str, Any] = {
        "command": stage.scene.name,
        "fault": fault,
        "seed": seed,
        "process": "new" if fresh else "forked",
        "moment": how,
        "exit": end.code,
        "struck": end.struck,
    }
    row["lost"] = _lost(stage)
    row["unsaid"] = _unsaid(stage, fault, end)
    stage.disk.empty()
    again = _again(stage, fresh)
    row["unlike"] = _unlike(stage, again)
    row["cpu_seconds"] = round(sum(os.times()[:4]) - began, 2)
    if any(row[key] for key in WRONG):
        row["said"] = [end.err[-1500:], again.err[-1500:]]
    return row


def _send(
    stage: Stage, fault: str, rng: random.Random, fresh: bool
) -> tuple[End, dict[str, Any]]:
    """Send a signal: half of the times after a time, else at a file operation."""
    assert stage.reference is not None
    sent = FAULTS[fault]
    assert sent is not None
    if fresh:
        seconds = rng.uniform(0.1, 1) * stage.reference.fresh_seconds
        moment = Moment(sent, seconds=seconds)
        end = run_fresh(stage.scene.first, stage.place, stage.scratch, moment=moment)
        return end, {"seconds": round(seconds, 3)}
    if rng.random() < 0.5:
        moment = Moment(sent, seconds=rng.random() * stage.reference.seconds)
        how: dict[str, Any] = {"seconds": round(moment.seconds or 0, 3)}
    else:
        moment = Moment(sent, event=rng.randint(1, stage.reference.events))
        how = {"file operation": moment.event}
    return run(stage.scene.first, stage.place, stage.scratch, moment=moment), how


def _fill(
    stage: Stage, fault: str, rng: random.Random, fresh: bool
) -> tuple[End, dict[str, Any]]:
    """Leave less room than the command needs."""
    assert stage.reference is not None
    free = rng.randrange(max(1, stage.reference.bytes // PAGE)) * PAGE
    stage.disk.fill(free)
    if fresh:
        end = run_fresh(stage.scene.first, stage.place, stage.scratch)
    else:
        end = run(
            stage.scene.first,
            stage.place,
            stage.scratch,
            prepare=lambda: stage.disk.limit(free),
        )
    return End(**{**vars(end), "struck": end.code != 0}), {"bytes free": free}


def _unsaid(stage: Stage, fault: str, end: End) -> list[str]:
    """Return what a command did not say as it should as it ended."""
    found = []
    if "Traceback" in end.err:
        found.append("a traceback")
    if not end.struck or end.code == 0:
        return found
    sent = FAULTS[fault]
    wanted = {1} if sent is None else ENDS[sent]
    if end.code not in wanted:
        found.append(f"exit code {end.code}")
    lines = [line for line in end.err.splitlines() if line.startswith("Error: ")]
    if sent is None and stage.scene.sentence and len(lines) != 1:
        found.append(f"{len(lines)} sentences")
    return found


def _lost(stage: Stage) -> list[str]:
    """Return which files are not whole, or of no known state, or gone."""
    assert stage.reference is not None
    now = states(stage.place)
    found = []
    for name, state in now.items():
        if state.startswith(DAMAGED):
            found.append(f"{name} is {state}")
        elif state not in stage.reference.known.get(name, set()):
            found.append(f"{name} is in no known state")
    return found + [f"{name} is gone" for name in states(stage.before).keys() - now]


def _again(stage: Stage, fresh: bool) -> End:
    call = run_fresh if fresh else run
    return call(stage.scene.again, stage.place, stage.scratch)


def _unlike(stage: Stage, again: End) -> list[str]:
    """Return in what the end differs from that of the undisturbed command."""
    reference = stage.reference
    assert reference is not None
    found = []
    if again.code:
        found.append(f"the second call ended with {again.code}")
    now = states(stage.place)
    for name in sorted(reference.last.keys() | now.keys()):
        if reference.last.get(name) != now.get(name):
            found.append(f"{name} differs")
    if stage.scene.printed and not again.code:
        same = json_state(again.out) == reference.printed
        found += [] if same else ["the figures printed differ"]
    return found + [f"{name} stays" for name in left_over(stage.place)]
