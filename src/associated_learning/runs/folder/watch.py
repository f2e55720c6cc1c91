"""The folder of a run while it trains: one process at a time, and none but the one it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from associated_learning.errors import CheckpointError, InputError
from associated_learning.state.checkpoint import Checkpoints
from associated_learning.state.files import remove_unfinished
from associated_learning.state.lock import held_lock, lock_holder
from associated_learning.state.training_state import EpochRecord, TrainingState
from associated_learning.training.callbacks import Callback

__all__ = ["FolderWatch", "check_not_lost", "sole_training"]

_LOCK = ".lock"


@contextmanager
def sole_training(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder; clear away what a killed process left half written.

    Of a new run that is refused before anything was trained no folder is left.

    Raises:
        InputError: Another process trains the run; tells which one.
    """
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    lock = folder / _LOCK
    with held_lock(lock, signed=True) as mine:
        if not mine:
            raise InputError(
                f"the run in {folder} is being trained by {lock_holder(lock)}; wait for it, stop "
                "it, or name another --run-folder."
            )
        for below in (folder, folder / "plots"):  # checkpoints are cleared at every save
            remove_unfinished(below)
        try:
            yield
        except InputError:
            if new and not _has_trained(folder):
                _remove_contents(folder)
            raise
        finally:
            if new:
                _remove_empty(folder)
                for path in new[1:]:
                    with suppress(OSError):
                        path.rmdir()


def check_not_lost(folder: Path, checkpoints: Checkpoints) -> None:
    """Check that a run that has finished epochs has a checkpoint to go on from.

    Raises:
        CheckpointError: It has none: to start anew would throw away what is left of it.
    """
    if _has_epochs(folder) and not checkpoints.has("last"):
        raise CheckpointError(
            f"the run in {folder} has finished epochs ({folder / 'metrics.jsonl'}), but no last "
            f"checkpoint: {checkpoints.folder} or its index.json is lost. Restore it, or start "
            "anew in another --run-folder."
        )


class FolderWatch(Callback):
    """Notices after every epoch that the folder of the run was deleted or renamed.

    Training saves by the folder's name, so that the state is saved all the same.

    Raises:
        CheckpointError: The folder is another one; says what was saved, and what is lost.
    """

    def __init__(self, folder: Path, describe: Callable[[], None]) -> None:
        self._folder = folder
        self._describe = describe
        self._identity = _identity(folder)

    def epoch_done(self, state: TrainingState, record: EpochRecord) -> None:
        if _identity(self._folder) == self._identity:
            return
        self._describe()
        lost = state.best_epoch and not Checkpoints(self._folder / "checkpoints").has("best")
        best = f" The best weights, of epoch {state.best_epoch}, went with it." if lost else ""
        raise CheckpointError(
            f"{self._folder} was deleted or renamed while the run trained in it. The state after "
            f"update {state.step} was saved under its old name all the same.{best} If it was "
            "renamed, go on with the renamed one: al train --resume NEW-NAME; if it was deleted: "
            f"al train --resume {self._folder}"
        )


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _has_trained(folder: Path) -> bool:
    return _has_epochs(folder) or Checkpoints(folder / "checkpoints").has("last")


def _has_epochs(folder: Path) -> bool:
    metrics = folder / "metrics.jsonl"
    return metrics.is_file() and metrics.stat().st_size > 0


def _remove_contents(folder: Path) -> None:
    """Remove all in a folder but the lock."""
    for path in list(folder.iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
        elif not path.name.startswith(_LOCK):
            path.unlink()


def _remove_empty(folder: Path) -> None:
    """Remove a folder in which nothing came to lie but the lock."""
    left = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if left <= {_LOCK, f"{_LOCK}.holder"}:
        with suppress(OSError):
            for name in left:
                (folder / name).unlink()
            folder.rmdir()
