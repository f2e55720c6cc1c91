"""Training over two machines: is it the same as on one, and does it survive the loss of one?"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from machines import NotPermittedError, two_machines
from trial import FAULTS, Settings, Trial, TrialError

NONE, ALONE = "none", "alone"
AL = str(Path(sys.executable).with_name("al"))
TRAIN = [
    *(AL, "train", "--data", "digits", "--model", "cnn", "--epochs", "60", "--save-every", "10"),
    *("--quiet", "--run-folder", "{folder}/run"),
]


def settings() -> tuple[Settings, list[str]]:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fault", action="append", choices=[NONE, *FAULTS], help="all by default")
    parser.add_argument("--ranks", type=int, default=1, help="processes on each machine (1)")
    parser.add_argument("--max-restarts", type=int, default=0, help="of torchrun (0)")
    parser.add_argument("--when", default="**/last-*", help="shows that there is a snapshot")
    parser.add_argument("--delay", type=float, default=2.0, help="seconds from it to the fault (2)")
    parser.add_argument("--compare", default="**/*.safetensors", help="what must end the same")
    parser.add_argument("--deadline", type=float, default=600.0, help="seconds for any step (600)")
    parser.add_argument("command", nargs="*", help="after --; {folder} is a folder of each machine")
    options = vars(parser.parse_args())
    faults = options.pop("fault") or [NONE, *FAULTS]
    own = options.pop("command")
    command = own or [*TRAIN, "--executor", "processes"]
    alone = [] if own else [*TRAIN, "--executor", "sequential"]
    return Settings(command=command, alone=alone, **options), faults


def run(what: Settings, case: str) -> tuple[dict[str, float], dict[str, str]]:
    """Run once, in one way; return seconds, and the digests of the result."""
    with tempfile.TemporaryDirectory() as root, two_machines() as machines:
        trial = Trial(what, machines, Path(root))
        fault = None if case == NONE else case
        seconds = trial.run_alone() if case == ALONE else trial.run(fault)
        return seconds, trial.digests()


def end(number: int, frame: FrameType | None) -> None:
    """Leave by way of all clean-up."""
    raise SystemExit(128 + number)


def main() -> None:
    """Run in all ways, compare the results, and print JSON last."""
    what, faults = settings()
    signal.signal(signal.SIGTERM, end)
    seconds, digests = {}, []
    try:
        for case in [ALONE, *faults] if what.alone else faults:
            seconds[case], found = run(what, case)
            digests.append(found)
            print(f"{case}: {seconds[case]}", flush=True)
    except NotPermittedError as error:
        sys.exit(f"skipped: {error}")
    except TrialError as error:
        sys.exit(str(error))
    equal = all(found == digests[0] for found in digests)
    print(json.dumps({"seconds": seconds, "files": len(digests[0]), "equal": equal}))
    sys.exit(0 if equal else "the results differ")


if __name__ == "__main__":
    main()
