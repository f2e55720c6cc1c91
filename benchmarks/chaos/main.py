"""Kill, damage, fuzz and betray small runs for some minutes; the last line counts what went wrong.

python benchmarks/chaos/main.py --minutes 20 --seed 0
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from random import Random

from damage import Damage
from fuzz import fuzz_once
from hostile import hostile_once
from kills import kill_and_resume
from tally import Tally

from commands import run_command
from runs import KINDS, outcome, train, unfinished

SHARES = (("kill", 3), ("damage", 4), ("fuzz", 8), ("hostile", 1))


def main() -> None:
    """Run the campaign, and print its counts as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[name for name, _ in SHARES])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        print(campaign(Path(folder), options.minutes, options.seed, options.only))


def campaign(folder: Path, minutes: float, seed: int, only: str | None = None) -> str:
    """Run the campaign in a folder; return its counts as a line of JSON."""
    random, tally = Random(seed), Tally()
    expected, seconds = {}, {}
    for kind in KINDS:
        begin = time.monotonic()
        ended = train(kind, folder / kind)
        assert ended.code == 0, ended.output
        expected[kind], seconds[kind] = outcome(folder / kind), time.monotonic() - begin
    unfinished("al", folder / "stopped")
    run_command(["export", str(folder / "al"), str(folder / "exported")])
    ledger = folder / "ledger" / "ledger.jsonl"
    run_command(["train", "--resume", str(folder / "al"), "--quiet", "--ledger", str(ledger)])
    damage = Damage(
        folder / "al", folder / "stopped", folder / "exported", ledger.parent, expected["al"]
    )
    names = [name for name, share in SHARES for _ in range(share)]
    place = folder / "try"
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        shutil.rmtree(place, ignore_errors=True)
        kind, what = random.choice(list(KINDS)), only or random.choice(names)
        if what == "kill":
            kill_and_resume(
                kind, place, random, tally, expected=expected[kind], seconds=seconds[kind]
            )
        elif what == "damage":
            damage.once(place, random, tally)
        elif what == "fuzz":
            fuzz_once(place, random, tally)
        else:
            hostile_once(place, random, tally)
    return tally.line(seed)


if __name__ == "__main__":
    main()
