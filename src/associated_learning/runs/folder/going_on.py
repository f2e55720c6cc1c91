"""A run that goes on for more epochs than it was started with, or that makes room for another."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from associated_learning.errors import CheckpointError, InputError
from associated_learning.runs.folder.description import (
    description_to_json,
    read_description,
)
from associated_learning.runs.folder.watch import sole_training
from associated_learning.runs.result import read_result
from associated_learning.runs.settings.config import COMPUTING, ResolvedConfig
from associated_learning.runs.settings.setting import option
from associated_learning.state.checkpoint import Checkpoints
from associated_learning.state.files import write_json
from associated_learning.state.training_state import TrainingState

__all__ = ["LENGTH", "check_same", "lengthen", "overwritten"]

LENGTH = (
    "epochs",
    "min_updates",
    "patience",
    "patience_updates",
)  # what may be another when a run trains longer


def check_same(config: ResolvedConfig, folder: Path) -> ResolvedConfig | None:
    """Return the settings by which the run in a folder goes on for longer than it was started for.

    Its patience counts anew from there, so that the run goes on however it ended. None where the
    folder holds no run, or one of these settings.

    Raises:
        InputError: The folder is none, or holds a run of other settings; or what is asked for is
            no longer than what is trained.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; expected a folder for the run. Name another.")
    if not (folder / "config.json").exists():
        return None
    before = read_description(folder).config
    other = replace(before, **{name: getattr(config, name) for name in COMPUTING})
    if (other.epochs, 0) == (config.epochs, config.min_updates):  # what `check_same` gave it once
        config = replace(config, min_updates=other.min_updates)
    if config == other:
        return None
    state = _last_state(folder)
    longer = replace(other, **{name: getattr(config, name) for name in LENGTH}) == config
    trained = max(before.epochs, state.epoch)
    if longer and config.epochs <= trained:
        raise InputError(
            f"{folder} holds a run with --epochs {before.epochs}, trained for {state.epoch}, and "
            f"not {config.epochs} of at least {config.min_updates:,} updates; expected the same, "
            f"or --epochs of more than {trained} to go on. --overwrite gives the folder to a new "
            "run."
        )
    if not longer:
        raise InputError(
            f"{folder} holds a run of other settings ({_differences(config, other)}). Name another "
            f"--run-folder, resume that run with its own settings (al train --resume {folder}), "
            "or give its folder to the new one (--overwrite)."
        )
    updates = -(-state.step // max(state.epoch, 1))  # of an epoch
    least = min(config.epochs, state.epoch + config.patience)  # no epoch more than asked for
    return replace(config, min_updates=updates * least)


def _differences(config: ResolvedConfig, other: ResolvedConfig) -> str:
    """Return "--lr 0.5 now, 0.001 there" for every setting that differs."""
    now, there = config.to_json(), other.to_json()
    return "; ".join(
        f"{option(name)} {now[name]} now, {there[name]} there"
        for name in now
        if now[name] != there[name]
    )


def lengthen(config: ResolvedConfig, folder: Path) -> None:
    """Let the run in a folder be one of more epochs, not yet finished.

    The schedule of its learning rate is from here on that of the new length.
    """
    # first, so that after a kill no result stands for a run that is longer than it
    for name in ("result.json", "temperatures.json", "exits.json"):  # of other weights
        (folder / name).unlink(missing_ok=True)
    described = read_description(folder)._replace(config=config)
    write_json(folder / "config.json", description_to_json(described))


@contextmanager
def overwritten(folder: Path) -> Iterator[None]:
    """Make room for a new run in a folder; if it does not come to be, the old one is there again.

    The old one lies aside meanwhile, in a hidden folder beside it.

    Raises:
        InputError: There is something else in the folder, or the run trains at the moment.
    """
    aside = _set_aside(folder)
    if aside is None:
        yield
        return
    try:
        yield
    except BaseException:  # refused, interrupted, a full disk: whatever it is, nothing is lost
        if not folder.exists():
            aside.replace(folder)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _set_aside(folder: Path) -> Path | None:
    if not folder.exists():
        return None
    try:
        read_description(folder)
    except CheckpointError as error:
        raise InputError(
            f"--overwrite came for {folder}, which holds no whole run ({error}); look at it, and "
            "delete it yourself if nothing in it is of worth."
        ) from error
    with sole_training(folder):
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        folder.replace(aside)
    return aside


def _last_state(folder: Path) -> TrainingState:
    checkpoints = Checkpoints(folder / "checkpoints")
    if checkpoints.has("last"):
        return TrainingState.from_json(checkpoints.progress())
    finished = read_result(folder)
    return TrainingState(epoch=0 if finished is None else finished.epochs)
