"""One run of a campaign, in a process of its own: ``python -m ...worker SETTINGS.json FOLDER``."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from associated_learning.errors import AssociatedLearningError
from associated_learning.experiments.campaign.lock import held_lock
from associated_learning.experiments.config import RunConfig
from associated_learning.experiments.run import train_run
from associated_learning.files import read_json
from associated_learning.memory import keep_freed_memory

__all__ = ["BUSY", "FAILED", "INTERRUPTED", "LOCK", "work"]

FAILED, BUSY, INTERRUPTED = 1, 75, 130  # how the process ends
LOCK = ".lock"
_WATCH = 2.0  # seconds between two looks at the parent


def work(settings: Path, folder: Path) -> int:
    """Make, or go on with, the run of a folder; return the exit status of the process.

    Args:
        settings: A file with `RunConfig.to_json`.
        folder: Folder of the run.
    """
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    keep_freed_memory()
    with held_lock(folder / LOCK) as mine:
        if not mine:
            return BUSY
        try:
            train_run(RunConfig.from_json(read_json(settings)), folder)
        except KeyboardInterrupt:
            return INTERRUPTED
        except AssociatedLearningError as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            return FAILED
    return 0


def _end_with(parent: int) -> None:
    """Ask this process to save and end when the campaign was killed."""
    while os.getppid() == parent:
        time.sleep(_WATCH)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(work(Path(sys.argv[1]), Path(sys.argv[2])))
