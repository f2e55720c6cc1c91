"""Folders that hold what is not ours, or that want to be trusted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random

from tally import Tally

from commands import run_command
from runs import train

__all__ = ["hostile_once"]

_NAMES = ("best-of-2023", "last-words", ".new-ideas", "last-000000001", "best-000000004", "plots2",
          "checkpoints-old", ".new-", "index")  # fmt: skip


def hostile_once(folder: Path, random: Random, tally: Tally) -> None:
    """Train in, or open, a folder with somebody else's work in it; look whether it is there."""
    outside = folder / "outside"
    kept = [_work(outside)]
    run = folder / "run"
    for name in random.sample(_NAMES, random.randint(1, 5)):
        kept.append(_work(run / "checkpoints" / name))
        kept.append(_work(run / name))
    trap = random.choice((_nothing, _index, _pipe, _link))
    trap(run, outside)
    tally.fuzzed += 1
    what = ("hostile", trap.__name__, *(str(path) for path in kept[1:]))
    tally.take(what, train("al", run))
    tally.take(what, run_command([random.choice(("info", "evaluate")), str(run)]))
    lost = [path for path in kept if not path.exists() or path.read_text() != "years of work"]
    tally.harmed += len(lost)
    if lost:
        tally.tell("harmed", *what, "lost", *lost)


def _work(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "thesis").write_text("years of work")
    return folder / "thesis"


def _nothing(run: Path, outside: Path) -> None:
    """Somebody's work alone."""


def _index(run: Path, outside: Path) -> None:
    index = {"last": "../../outside", "best": str(outside)}
    (run / "checkpoints" / "index.json").write_text(json.dumps(index))


def _pipe(run: Path, outside: Path) -> None:
    os.mkfifo(run / "config.json")


def _link(run: Path, outside: Path) -> None:
    (run / "checkpoints" / "last-000000009").symlink_to(outside)
