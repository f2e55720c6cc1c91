"""Runs that are killed at random times, again and again, and resumed to their end."""

from __future__ import annotations

import signal
from pathlib import Path
from random import Random

from tally import Tally

from runs import outcome, train

__all__ = ["kill_and_resume"]

_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_MOST = 6  # kills of one run


def kill_and_resume(
    kind: str, folder: Path, random: Random, tally: Tally, *, expected: str, seconds: float
) -> None:
    """Kill a run some times and let it end; compare with what one gave that was not killed.

    Args:
        kind: Of the run.
        folder: An empty one.
        random: Decides when, how often and by which signal.
        tally: Told what came of it.
        expected: `outcome` of the run that was not killed.
        seconds: How long that took.
    """
    for _ in range(random.randint(1, _MOST)):
        ended = train(kind, folder, seconds=random.uniform(0, 1) * seconds,
                      number=random.choice(_SIGNALS))  # fmt: skip
        if not tally.take(("kill", kind), ended) or ended.code == 0:
            break
    tally.kills += 1
    ended = train(kind, folder)
    if tally.take(("resume", kind), ended) and ended.code == 0 and outcome(folder) == expected:
        tally.equal += 1
    else:
        tally.tell("unequal", kind, ended.code, ended.output[-500:])
    if left := list(folder.rglob(".new-*")):
        tally.tell("left behind", *left)
