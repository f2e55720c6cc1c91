"""Snapshots of layers whose state lies in a store."""

from __future__ import annotations

from pathlib import Path

from associated_learning.errors import CheckpointError
from associated_learning.pipeline.offload.disk_store import has_changed
from associated_learning.pipeline.offload.layer_store import Store
from associated_learning.pipeline.stage import Stage
from associated_learning.state.snapshot import Snapshot, stored_state
from associated_learning.state.tensor_file import StoredTensors

__all__ = ["found_here", "stored_snapshot", "without_tensors"]


def stored_snapshot(stage: Stage, store: Store) -> Snapshot:
    """Return the snapshot of layers whose tensors are in a store."""
    live = Snapshot.of({}, stage.optimizers, stage.schedulers)
    files = store.files()
    look, numbers = store.look, range(stage.first, stage.first + len(stage.blocks))
    return live._replace(
        weights={name: look(name) for name in stage.parts},
        optimizers=[
            None if state is None else stored_state(state, {} if files else look(f"optimizer-{i}"))
            for i, state in zip(numbers, live.optimizers, strict=True)
        ],
        files=files,
    )


def without_tensors(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot in which files stand for the tensors that they hold, to be sent."""
    weights = {
        name: {} if name in snapshot.files else tensors
        for name, tensors in snapshot.weights.items()
    }
    return snapshot._replace(weights=weights)


def found_here(snapshot: Snapshot, folder: Path) -> Snapshot:
    """Return the snapshot that `without_tensors` was given in another process.

    Args:
        snapshot: What came of it.
        folder: Of the run's stores, in which all files must lie.

    Raises:
        CheckpointError: Its files are not those that lie here.
    """
    for file in snapshot.files.values():
        if folder.absolute() not in file.path.parents or has_changed(file):
            raise CheckpointError(
                f"{file.path} was written by another process, but is not that file here: the "
                "processes see different disks, or something else writes there. Name a folder "
                "that all of them share, or keep state in host memory (store='host')."
            )
    weights = {
        name: StoredTensors(snapshot.files[name].path) if name in snapshot.files else tensors
        for name, tensors in snapshot.weights.items()
    }
    return snapshot._replace(weights=weights)
