"""Two machines on one: network namespaces that only a cable joins, which can be cut."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Machine", "NotPermittedError", "two_machines"]

PORT = 29400


class NotPermittedError(Exception):
    """The system does not let this user make network namespaces."""


@dataclass(frozen=True)
class Machine:
    """A network namespace with one interface, ``cable``.

    Attributes:
        name: Of the namespace.
        number: 0 keeps the rendezvous.
        address: That of the interface.
        first: The address of machine 0.
    """

    name: str
    number: int
    address: str
    first: str

    def torchrun(
        self, command: Sequence[str], *, log: Path, ranks: int, max_restarts: int, run: str
    ) -> subprocess.Popen[bytes]:
        """Start a command under ``torchrun``, as this machine's part of a run of two.

        Args:
            command: What to run in every process.
            log: To which all that is printed is appended.
            ranks: Number of processes on this machine.
            max_restarts: How often torchrun starts them again by itself.
            run: Name of the run.
        """
        conf = f"is_host={int(self.number == 0)},join_timeout=120,last_call_timeout=1"
        options = [
            *("--no-python", "--nnodes", "2", "--nproc-per-node", str(ranks)),
            *("--rdzv-backend", "c10d", "--rdzv-endpoint", f"{self.first}:{PORT}"),
            *("--rdzv-id", run, "--rdzv-conf", conf, "--local-addr", self.address),
            *("--max-restarts", str(max_restarts)),
        ]
        return self.start(
            [sys.executable, "-m", "torch.distributed.run", *options, *command], log=log
        )

    def start(self, command: Sequence[str], *, log: Path) -> subprocess.Popen[bytes]:
        """Start a command."""
        environment = {
            **os.environ,
            "GLOO_SOCKET_IFNAME": "cable",
            "OMP_NUM_THREADS": "1",  # as torchrun has it; other numbers give other bits
            # With torch 2.13 torchrun on a machine that comes back waits for an address which
            # that on the other machine tells only once, unless rank 0 keeps the store instead.
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        }
        with log.open("ab") as output:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.name, *command],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def processes(self) -> list[int]:
        """Return the ids of all processes on this machine."""
        return [int(number) for number in _ip("netns", "pids", self.name).split()]

    def kill(self) -> None:
        """Kill all processes at once, as if the power failed."""
        for number in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)

    def cut(self) -> None:
        """Pull the cable. Neither side gets any message about it."""
        _ip("-n", self.name, "link", "set", "cable", "down")

    def mend(self) -> None:
        """Put the cable back."""
        _ip("-n", self.name, "link", "set", "cable", "up")


@contextlib.contextmanager
def two_machines() -> Iterator[tuple[Machine, Machine]]:
    """Make two machines; whatever happens, they and all their processes are gone afterwards.

    Raises:
        NotPermittedError: The system does not permit namespaces or veth pairs.
    """
    names = [f"al-{os.getpid()}-{number}" for number in (0, 1)]
    addresses = ["10.213.7.1", "10.213.7.2"]
    pairs = enumerate(zip(names, addresses, strict=True))
    machines = [Machine(name, number, at, addresses[0]) for number, (name, at) in pairs]
    try:
        try:
            _join(machines)
        except (OSError, subprocess.CalledProcessError) as error:
            raise NotPermittedError(_explained(error)) from error
        yield machines[0], machines[1]
    finally:
        for machine in machines:
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                machine.kill()
                _ip("netns", "delete", machine.name)


def _join(machines: Sequence[Machine]) -> None:
    if shutil.which("ip") is None:
        raise FileNotFoundError("no command ip (package iproute2)")
    for machine in machines:
        _ip("netns", "add", machine.name)
    one, two = (machine.name for machine in machines)
    cable = ["cable", "netns", one, "type", "veth", "peer", "name", "cable", "netns", two]
    _ip("link", "add", *cable)
    for machine in machines:
        _ip("-n", machine.name, "address", "add", f"{machine.address}/24", "dev", "cable")
        for device in ("lo", "cable"):
            _ip("-n", machine.name, "link", "set", device, "up")


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def _explained(error: OSError | subprocess.CalledProcessError) -> str:
    text = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else str(error)
    return f"this system does not permit network namespaces ({text}); run it as root on Linux"
