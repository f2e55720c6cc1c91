"""Run a benchmark and keep what it printed: one row of ``results/benchmarks.jsonl``.

    python benchmarks/record.py positions/main.py --data-root DATA --only tokens

A row holds command, commit, hardware, load of the machine, the benchmark's last line, and every
round that `timing.alternate` timed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from timing import ROUNDS

from associated_learning.errors import InputError
from associated_learning.runs.folder.provenance import find_provenance
from associated_learning.state.lines import append_line
from associated_learning.state.sealed import sealed

HERE = Path(__file__).parent


def main() -> None:
    """Run the benchmark, and append its row."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ledger", type=Path, default=HERE.parent / "results/benchmarks.jsonl")
    parser.add_argument("benchmark", help="such as step/main.py")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its own")
    asked = parser.parse_args()
    row = recorded(asked.benchmark, asked.arguments)
    append_line(asked.ledger, json.dumps(sealed(row)))


def recorded(benchmark: str, arguments: list[str]) -> dict[str, Any]:
    """Run a benchmark; return its row.

    Raises:
        InputError: It failed, or its last line is no JSON object.
    """
    before = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder:
        rounds = Path(folder, "rounds.jsonl")
        command = [sys.executable, str(HERE / benchmark), *arguments]
        last, given = "", {**os.environ, ROUNDS: str(rounds)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=given) as ran:
            assert ran.stdout is not None
            for line in ran.stdout:
                print(line, end="", flush=True)
                last = line.strip() or last
        if ran.returncode:
            raise InputError(f"{benchmark} ended with code {ran.returncode}; nothing is recorded.")
        timed = rounds.read_text(encoding="utf-8").splitlines() if rounds.exists() else []
    origin = find_provenance()
    return {
        "benchmark": _public(benchmark),
        "arguments": [_public(argument) for argument in arguments],
        **origin._asdict(),
        "processors": os.cpu_count(),
        "load": {"before": before[0], "after": os.getloadavg()[0]},
        "result": _result(benchmark, last),
        "rounds": [json.loads(line) for line in timed],
    }


def _public(argument: str) -> str:
    """Return an argument without the paths of this machine."""
    return "PATH" if Path(argument).is_absolute() else argument


def _result(benchmark: str, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{benchmark} ended with {line[:80]!r}; expected a line of JSON.")
    return found


if __name__ == "__main__":
    main()
