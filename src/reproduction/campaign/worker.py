"""One run of a campaign, in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn, Protocol

from associated_learning.errors import AssociatedLearningError
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.model_defaults import restored
from associated_learning.state.files import read_json
from associated_learning.state.lock import held_lock
from associated_learning.verification.memory import keep_freed_memory
from reproduction.campaign.store import stored

__all__ = ["BUSY", "FAILED", "INTERRUPTED", "LOCK", "LOG", "SETTINGS", "run_process", "work"]

FAILED, BUSY, INTERRUPTED = 1, 75, 130  # how the process ends
LOCK, SETTINGS = ".campaign.lock", "settings.json"
_DYING = 60.0  # seconds in which the run of a campaign that was killed has saved and ended


LOG = "log.txt"


class ParentProcess(Protocol):
    """What `multiprocessing.parent_process` returns."""

    def join(self) -> None:
        """Wait until it has ended."""


def run_process(folder: Path, store: Path) -> NoReturn:
    """Be the process of the run of a folder: see `work`, whose status it ends with.

    It writes to the log of the folder, and Ctrl-C does not reach it: the campaign passes it on.
    """
    os.setsid()
    with (folder / LOG).open("ab") as log:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())
    sys.exit(work(folder, store))


def work(folder: Path, store: Path) -> int:
    """Make, or go on with, the run of a folder; return the exit status of the process.

    Args:
        folder: Folder of the run, with `RunConfig.to_json` in `SETTINGS`.
        store: Folder of the data that runs share; see `stored`.
    """
    campaign = multiprocessing.parent_process()
    if campaign is not None:
        threading.Thread(target=_end_with, args=(campaign,), daemon=True).start()
    keep_freed_memory()
    with held_lock(folder / LOCK, patience=_DYING) as mine:
        if not mine:
            return BUSY
        try:
            config = restored(read_json(folder / SETTINGS))
            data, known = stored(config, store)
            train_run(config, folder, data=data, known_vectors=known)
        except KeyboardInterrupt:
            return INTERRUPTED
        except AssociatedLearningError as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            return FAILED
    return 0


def _end_with(campaign: ParentProcess) -> None:
    """Ask this process to save and end when the campaign was killed; insist if it hangs.

    The parent by its number is Python's fork server, which outlives the campaign.
    """
    campaign.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_DYING)
    os.kill(os.getpid(), signal.SIGKILL)
