"""Where a run was made: commit of the code, version of torch, hardware."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import NamedTuple

import torch

__all__ = ["Provenance", "describe_hardware", "find_provenance"]

_PACKAGE = Path(__file__).parents[2]  # whose changes count, wherever in it they are


class Provenance(NamedTuple):
    """Where a run was made.

    Attributes:
        commit: Commit of the code, with "+" if the tree had other changes; or "unknown".
        torch: Version of torch.
        hardware: Processor and number of threads, or GPU.
    """

    commit: str
    torch: str
    hardware: str


def find_provenance(device: str = "cpu") -> Provenance:
    """Return the origin of a run that computes on a device here and now.

    Example:
        >>> find_provenance().torch == torch.__version__
        True
    """
    return Provenance(
        commit=_commit(), torch=str(torch.__version__), hardware=describe_hardware(device)
    )


def describe_hardware(device: str = "cpu") -> str:
    """Return the GPU, or the processor and the number of threads in use."""
    if device != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name(None if device == "auto" else device)
    return f"{_processor()}, {torch.get_num_threads()} of {os.cpu_count()} threads"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    """Return the commit of the checkout this package lies in, or "unknown".

    A copy of a checkout without its history is told by the variable AL_COMMIT.
    """
    if told := os.environ.get("AL_COMMIT"):
        return told
    git = ["git", "-C", str(_PACKAGE)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
        status = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no", "--", "."],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if status.stdout.strip() else "")
