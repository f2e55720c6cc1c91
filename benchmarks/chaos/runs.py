"""Small runs, and what came out of them."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from random import Random

from commands import Ended, run_command

from associated_learning.state.checkpoint import Checkpoints

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


def unfinished(kind: str, folder: Path, random: Random, seconds: float) -> bool:
    """Leave a run in a folder that was killed after a checkpoint; return whether it could."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        train(kind, folder, seconds=random.uniform(0.3, 0.9) * seconds)
        saved = (folder / "checkpoints" / "index.json").exists()
        if saved and "last" in (folder / "checkpoints" / "index.json").read_text():
            return not (folder / "result.json").exists()
    return False
