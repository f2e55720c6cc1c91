"""Small runs, and what came out of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from associated_learning.state.checkpoint import Checkpoints
from commands import Ended, run_command

__all__ = ["KINDS", "outcome", "train", "unfinished"]

_SMALL = ("--epochs", "4", "--hidden", "12", "--latent", "8", "--limit-train", "200",
          "--threads", "1", "--quiet")  # fmt: skip
_BP = ("--epochs", "4", "--hidden", "12", "--limit-train", "200", "--threads", "1", "--quiet",
       "--method", "bp")  # fmt: skip
KINDS: dict[str, tuple[str, ...]] = {
    "al": (*_SMALL, "--save-every", "2"),
    "bp": (*_BP, "--save-every", "3"),
    "threads": (*_SMALL, "--save-every", "2", "--executor", "threads", "--stages", "2"),
    "grown": (*_SMALL, "--grow-from", "1", "--num-layers", "3", "--grow-patience", "1"),
}


def train(kind: str, folder: Path, *, seconds: float | None = None, number: int = 9) -> Ended:
    """Train, or go on with, a run of some kind, to its end or to a signal."""
    command = ("train", *KINDS[kind], "--run-folder", str(folder))
    return run_command(command, seconds=seconds, number=number)


def outcome(folder: Path) -> str:
    """Return a digest of all that a finished run gave, but for its times."""
    digest = hashlib.sha256()
    for which in ("last", "best"):
        for path in sorted(Checkpoints(folder / "checkpoints").path(which).glob("*.safetensors")):
            digest.update(path.name.encode() + path.read_bytes())
    result = json.loads((folder / "result.json").read_text())
    for name in ("test_scores", "validation_curve", "best_epoch", "epochs", "answers"):
        digest.update(json.dumps(result[name]).encode())
    return digest.hexdigest()


def unfinished(kind: str, folder: Path, epochs: int = 2) -> None:
    """Leave a run in a folder that was killed after some epochs."""
    metrics = folder / "metrics.jsonl"
    ended = run_command(
        ("train", *KINDS[kind], "--run-folder", str(folder)),
        until=lambda: metrics.exists() and metrics.read_text().count("\n") >= epochs,
    )
    assert ended.code == -9, ended.output
