"""What a campaign of chaos has tried, and what went wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from commands import Ended

__all__ = ["Tally"]


@dataclass
class Tally:
    """Counts; all but the tries should be zero, and ``equal`` the number of kills.

    Attributes:
        kills: Runs that were killed, once or more often, and resumed to their end.
        equal: Those that ended with the bits of a run that was not.
        damaged: Files that were damaged, and then used.
        silent: Those whose damage changed what came out without a word.
        fuzzed: Commands with random options or files.
        foreign: Commands that ended by a traceback or a crash.
        hung: Commands that had to be stopped.
        harmed: Files of others that were changed or removed.
        megabytes: Most memory that a command held.
    """

    kills: int = 0
    equal: int = 0
    damaged: int = 0
    silent: int = 0
    fuzzed: int = 0
    foreign: int = 0
    hung: int = 0
    harmed: int = 0
    megabytes: int = 0

    def take(self, what: Sequence[object], ended: Ended) -> bool:
        """Take account of how a command ended; return whether it was by itself and by our rules."""
        self.megabytes = max(self.megabytes, ended.memory // 2**20)
        self.hung += ended.hung
        self.foreign += ended.foreign and not ended.hung
        if ended.hung or ended.foreign:
            self.tell("hung" if ended.hung else "foreign", *what, ended.output[-1500:])
        return not (ended.hung or ended.foreign)

    def tell(self, kind: str, *what: object) -> None:
        """Say what went wrong, with all that is needed to do it again."""
        print(kind.upper(), *what, file=sys.stderr, flush=True)

    def line(self, seed: int) -> str:
        """Return the counts as a line of JSON."""
        return json.dumps({**asdict(self), "seed": seed})
