"""The processes of a campaign: each makes one run after the other."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn, Protocol

import torch

from associated_learning.errors import AssociatedLearningError
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.resolved import restored
from associated_learning.state.files import read_json
from associated_learning.state.lock import held_lock
from associated_learning.verification.memory import keep_freed_memory
from reproduction.campaign.packed_inputs import packed_inputs

__all__ = ["BUSY", "FAILED", "INTERRUPTED", "LOCK", "LOG", "SETTINGS", "end_with", "follow", "work"]

FAILED, BUSY, INTERRUPTED = 1, 75, 130  # how the process ends
LOCK, SETTINGS = ".campaign.lock", "settings.json"
_DYING = 60.0  # seconds in which the run of a campaign that was killed has saved and ended
_SAVE_SECONDS = 30.0  # between checkpoints: most runs of a campaign on a GPU are shorter


LOG = "log.txt"


class ParentProcess(Protocol):
    """What `multiprocessing.parent_process` returns."""

    def join(self) -> None:
        """Wait until it has ended."""


def follow(orders: Connection, packed: Path) -> NoReturn:
    """Be a process that makes the runs of the folders that come, until none comes.

    It answers after each, so that CUDA is started and modules are loaded once for many runs. Where
    a run does not end well, the process ends with the status of `work`: whatever is wrong with it
    reaches no other run. It writes to the log of the folder, and Ctrl-C does not reach it: the
    campaign passes it on.
    """
    os.setsid()
    campaign = multiprocessing.parent_process()
    if campaign is not None:
        threading.Thread(target=end_with, args=(campaign,), daemon=True).start()
    keep_freed_memory()
    seed = torch.initial_seed()
    while True:
        try:
            folder = orders.recv()
        except EOFError:
            sys.exit(0)
        with (folder / LOG).open("ab") as log:
            for stream in (sys.stdout, sys.stderr):
                os.dup2(log.fileno(), stream.fileno())
        status = work(folder, packed)
        if status:
            sys.exit(status)
        _forget(seed)
        orders.send(status)


def _forget(seed: int) -> None:
    """Leave nothing of a run to the next one: the generators as in a new process, no memory."""
    torch.manual_seed(seed)
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


def work(folder: Path, packed: Path) -> int:
    """Make, or go on with, the run of a folder; return the exit status of the process."""
    with held_lock(folder / LOCK, patience=_DYING) as mine:
        if not mine:
            return BUSY
        try:
            config = restored(read_json(folder / SETTINGS))
            data, known = packed_inputs(config, packed)
            train_run(
                config,
                folder,
                data=data,
                known_vectors=known,
                save_seconds=_SAVE_SECONDS,
                plots=False,
            )
        except KeyboardInterrupt:
            return INTERRUPTED
        except AssociatedLearningError as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            return FAILED
    return 0


def end_with(campaign: ParentProcess) -> None:
    """Ask this process to save and end when the campaign was killed; insist if it hangs.

    The parent by its number is Python's fork server, which outlives the campaign.
    """
    campaign.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_DYING)
    os.kill(os.getpid(), signal.SIGKILL)
