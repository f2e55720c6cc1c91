"""Pipelines as torchrun starts them: what befalls one process ends all, and is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = [pytest.mark.long, pytest.mark.distributed]

END = 15.0  # seconds after which nothing is left
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
AL = "from associated_learning.cli.main import main; main()"
OPTIONS = ("train", "--epochs", "100000", "--patience", "0", "--hidden", "8", "--threads", "1",
           "--quiet", "--executor", "processes")  # fmt: skip


@contextmanager
def under_way(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a run of two ranks; yield torchrun's process after some epochs."""
    script = folder / "al.py"
    script.write_text(AL)
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        *TORCHRUN,
        str(script),
        *OPTIONS,
        "--run-folder",
        str(folder / "run"),
    ]
    with (folder / "told").open("wb") as told:
        process = subprocess.Popen(command, env=environment, stdout=told, stderr=told)
    metrics = folder / "run" / "metrics.jsonl"
    try:
        while not metrics.exists() or metrics.read_text().count("\n") < 2:
            assert process.poll() is None, (folder / "told").read_text()
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def ranks_of(process: int) -> list[int]:
    """Return the numbers of the ranks' processes, rank 0 first."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    places = {}
    for child in children:
        for entry in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            if entry.startswith(b"RANK="):
                places[int(entry[5:])] = int(child)
    return [places[rank] for rank in sorted(places)]


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


@pytest.mark.parametrize(
    ("victim", "number", "told"),
    [
        (0, signal.SIGKILL, "Error: the connection to rank 0 is lost"),
        (1, signal.SIGKILL, "Error: the connection to rank 1 is lost"),
        (1, signal.SIGSTOP, "its process was stopped, as SIGSTOP and debuggers do"),
        ("torchrun", signal.SIGSTOP, "the process hangs that keeps their store"),
        ("torchrun", signal.SIGKILL, "lost the store of the run"),
        ("torchrun", signal.SIGINT, "Interrupted; the run is saved."),
    ],
)
def test_all_end_and_tell_why(
    victim: int | str, number: signal.Signals, told: str, tmp_path: Path
) -> None:
    with under_way(tmp_path) as process:
        ranks = ranks_of(process.pid)
        assert len(ranks) == 2
        os.kill(process.pid if isinstance(victim, str) else ranks[victim], number)
        end = time.monotonic() + END
        while any(map(is_alive, ranks)):
            assert time.monotonic() < end, (tmp_path / "told").read_text()
            time.sleep(0.05)
        if victim != "torchrun":
            process.wait(END)
    assert told in (tmp_path / "told").read_text()
