"""One training run on two machines, with or without harm done in the middle of it."""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from machines import Machine

__all__ = ["FAULTS", "Settings", "Trial", "TrialError"]

FAULTS = ("kill-second", "kill-first", "cut")

_POLL = 0.05  # seconds


class TrialError(Exception):
    """Training did not go as it should; shows what the machines printed."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is run, and how.

    Attributes:
        command: The training command; ``{folder}`` stands for a folder of the machine's own.
        alone: The same training by a single process, which must end with the same files.
        ranks: Processes on each machine.
        max_restarts: How often torchrun starts them again by itself.
        when: Pattern of files that appear in machine 0's folder when there is something to go on
            from.
        delay: Seconds from then to the fault.
        compare: Pattern of files in that folder that must end the same.
        deadline: Seconds for anything to happen.
    """

    command: Sequence[str]
    alone: Sequence[str]
    ranks: int
    max_restarts: int
    when: str
    delay: float
    compare: str
    deadline: float


class _Clock:
    """Tells the seconds since it was made."""

    def __init__(self) -> None:
        self._begin = time.monotonic()

    def __call__(self) -> float:
        return round(time.monotonic() - self._begin, 1)


class Trial:
    """A run on two machines.

    Args:
        settings: What is run.
        machines: Where.
        root: A new folder; the machines get one each in it, for they share no disk.
    """

    def __init__(self, settings: Settings, machines: Sequence[Machine], root: Path) -> None:
        self._settings, self._machines, self._root = settings, machines, root
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def run(self, fault: str | None) -> dict[str, float]:
        """Train to the end; return how many seconds what took.

        Args:
            fault: One of `FAULTS`, or None.

        Raises:
            TrialError: It failed, or hangs.
        """
        clock = _Clock()
        self._launch_all()
        seconds = {} if fault is None else self._survive(fault)
        self._finish()
        return {**seconds, "all": clock()}

    def run_alone(self) -> dict[str, float]:
        """Train to the end in a single process, on machine 0."""
        clock = _Clock()
        for number in (0, 1):
            self._folder(number).mkdir(parents=True)
        command = self._filled(self._settings.alone, 0)
        self._running[0] = self._machines[0].start(command, log=self._log(0))
        self._finish()
        return {"all": clock()}

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of the files to compare, by name.

        Raises:
            TrialError: There are none, or machine 1 wrote any file.
        """
        found = {
            number: sorted(self._folder(number).glob(self._settings.compare)) for number in (0, 1)
        }
        if not found[0] or found[1]:
            raise self._error("the result must lie on machine 0, and there alone")
        return {
            str(path.relative_to(self._folder(0))): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in found[0]
        }

    def _survive(self, fault: str) -> dict[str, float]:
        """Do harm in the middle, wait until all that trained has ended, and make it good."""
        self._wait(self._has_snapshot, "there was no snapshot")
        time.sleep(self._settings.delay)
        workers = {number: self._workers(number) for number in (0, 1)}
        if not all(workers.values()):
            raise self._error("training was over before the fault; give it more to do")
        clock = _Clock()
        first, second = self._machines
        {"kill-first": first.kill, "kill-second": second.kill, "cut": second.cut}[fault]()
        seconds = {}
        for number in (0, 1):

            def ended(number: int = number) -> bool:
                return not workers[number] & self._workers(number)

            self._wait(ended, "a process goes on")
            seconds[f"machine {number} ended"] = clock()
        second.mend()  # torchrun itself waits for the cable, on the machine that is cut off
        if self._settings.max_restarts == 0 or fault == "kill-first":  # no rendezvous without it
            self._wait(lambda: not self._alive(), "torchrun goes on")
            seconds["torchrun ended"] = clock()
        self._launch_all()
        return seconds

    def _launch_all(self) -> None:
        """Start torchrun wherever it does not run."""
        for number, machine in enumerate(self._machines):
            if number in self._alive():
                continue
            self._folder(number).mkdir(parents=True, exist_ok=True)
            self._running[number] = machine.torchrun(
                self._filled(self._settings.command, number),
                log=self._log(number),
                ranks=self._settings.ranks,
                max_restarts=self._settings.max_restarts,
                run=self._root.name,
            )

    def _finish(self) -> None:
        """Wait until both machines are done."""
        self._wait(lambda: len(self._alive()) < len(self._running), "it hangs")
        self._wait(lambda: not self._alive(), "one machine is done, the other hangs")
        for number, process in self._running.items():
            if process.returncode != 0:
                raise self._error(f"machine {number} ended with code {process.returncode}")

    def _alive(self) -> list[int]:
        """Return the machines on which torchrun runs."""
        return [number for number, process in self._running.items() if process.poll() is None]

    def _workers(self, number: int) -> set[int]:
        """Return the processes on a machine, but for torchrun."""
        return set(self._machines[number].processes()) - {self._running[number].pid}

    def _has_snapshot(self) -> bool:
        return any(self._folder(0).glob(self._settings.when))

    def _filled(self, command: Sequence[str], number: int) -> list[str]:
        return [part.replace("{folder}", str(self._folder(number))) for part in command]

    def _folder(self, number: int) -> Path:
        return self._root / f"machine-{number}"

    def _log(self, number: int) -> Path:
        return self._root / f"machine-{number}.log"

    def _wait(self, condition: Callable[[], bool], complaint: str) -> None:
        end = time.monotonic() + self._settings.deadline
        while not condition():
            if time.monotonic() > end:
                raise self._error(complaint)
            time.sleep(_POLL)

    def _error(self, complaint: str) -> TrialError:
        tails = [
            f"--- machine {number} ---\n" + "\n".join(log.read_text().splitlines()[-30:])
            for number in (0, 1)
            if (log := self._log(number)).exists()
        ]
        return TrialError("\n".join([complaint, *tails]))
