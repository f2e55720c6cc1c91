"""Checkpoints: a safetensors file a layer, the optimizers beside it, and a JSON of the rest.

Nothing is pickled, and nothing is ever overwritten in place: a checkpoint is a new folder, and
``index.json``, which holds the digest of each of its files, is then switched over to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from associated_learning.errors import CheckpointError
from associated_learning.network import Network
from associated_learning.state.checkpoint_index import CheckpointIndex
from associated_learning.state.files import read_json, replaced_folder, write_json
from associated_learning.state.optimizers import align_states
from associated_learning.state.snapshot import Snapshot, StoredFile, stored_state
from associated_learning.state.tensor_file import read_header, read_tensor
from associated_learning.state.weights import (
    kept_tensors,
    load_weights,
    read_tensors,
    write_weights,
)
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.hollow import hollow_tensor

__all__ = ["Checkpoints"]

FORMAT = 1


class Checkpoints:
    """A folder that holds the last and the best checkpoint of a run.

    Args:
        folder: Where they lie; made when first needed.
        min_seconds: An epoch that ends sooner after the last checkpoint is not saved, unless it
            is the last one: where epochs are short, saving would take longer than training. A
            run that is killed loses no more than that, and goes on to the same bits.

    Example:
        >>> import tempfile, torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> x, checkpoints = torch.randn(8, 4), al.Checkpoints(tempfile.mkdtemp())
        >>> net = al.al_form([nn.Linear(4, 8)], x, al.Classes(2), latent=5)
        >>> batches = al.LoaderBatches([(x, torch.arange(8) % 2)])
        >>> state = al.Trainer(epochs=2).fit(net, batches, checkpoints=checkpoints)
        >>> checkpoints.has("last"), checkpoints.progress()["step"]
        (True, 2)
    """

    def __init__(self, folder: Path | str, *, min_seconds: float = 0.0) -> None:
        self.folder = Path(folder)
        self.min_seconds = min_seconds
        self._index = CheckpointIndex(self.folder)

    def has(self, which: str) -> bool:
        """Return whether there is a checkpoint called "last" or "best"."""
        return self._index.has(which)

    def save_last(self, snapshot: Snapshot, progress: dict[str, Any]) -> Path:
        """Save everything that an exact continuation needs.

        How the layers were spread over threads or processes leaves no trace in it.

        Args:
            snapshot: Weights, buffers, optimizers and schedules of the whole network.
            progress: JSON-able; handed back by `progress`.

        Raises:
            CheckpointError: The disk is full or not writable; earlier files are unharmed.
        """
        path = self._index.free_name("last", progress["step"])
        with replaced_folder(path) as new:
            digests = write_weights(snapshot.weights, new, snapshot.files)
            scalars = [
                _save_optimizer(state, new / f"optimizer-{i}.safetensors", snapshot.files, digests)
                for i, state in enumerate(snapshot.optimizers, start=1)
            ]
            state = {
                "format": FORMAT,
                "kinds": snapshot.kinds,
                "optimizers": scalars,
                "schedulers": [None if s is None else _to_json(s) for s in snapshot.schedulers],
                "progress": progress,
            }
            write_json(new / "state.json", state)
        self._index.point("last", path, digests)
        return path

    def progress(self) -> dict[str, Any]:
        """Return the progress alone: what the network must be like for `load_last`.

        Raises:
            CheckpointError: There is none, it is truncated, or a file has changed.
        """
        path = self._index.check("last", "state.json") / "state.json"
        progress: dict[str, Any] = _read_state(path)["progress"]
        return progress

    def load_last(
        self,
        net: Network,
        optimizers: Sequence[Optimizer | None],
        schedulers: Sequence[LRScheduler | None],
    ) -> None:
        """Restore what `save_last` saved, in place.

        Raises:
            CheckpointError: There is none, it is truncated, a file has changed since, or it is of
                another network.
        """
        path = self._index.check("last")
        state = _read_state(path / "state.json")
        _check_kinds(path, state["kinds"], Snapshot.of({}, optimizers, schedulers).kinds)
        stored = net.adopts(path)
        if not stored:
            load_weights(net, path)
        for i, (optimizer, scalars) in enumerate(
            zip(optimizers, state["optimizers"], strict=True), start=1
        ):
            if optimizer is not None:
                file = path / f"optimizer-{i}.safetensors"
                tensors = _outline(file, device_of(net)) if stored else read_tensors(file)
                _load_optimizer(optimizer, file, tensors, scalars)
        for scheduler, saved in zip(schedulers, state["schedulers"], strict=True):
            if scheduler is not None:
                scheduler.load_state_dict(_from_json(saved))

    def save_best(
        self,
        weights: Mapping[str, Mapping[str, Tensor]],
        step: int,
        files: Mapping[str, StoredFile] | None = None,
    ) -> Path:
        """Save the weights of the best epoch so far: of every part that is worth keeping.

        Args:
            weights: By part.
            step: Number of weight updates so far.
            files: See `Snapshot`.
        """
        path = self._index.free_name("best", step)
        with replaced_folder(path) as new:
            digests = write_weights(weights, new, files or {})
        self._index.point("best", path, digests)
        return path

    def best_parts(self) -> int:
        """Return how many parts of the network were saved in the best epoch."""
        return len(list(self.path("best").glob("*.safetensors")))

    def load_best(self, net: Network) -> None:
        """Restore the weights of the best epoch, in place. Raises CheckpointError if none."""
        path = self._index.check("best")
        if not net.adopts(path):
            load_weights(net, path)

    def path(self, which: str) -> Path:
        """Return the folder of the checkpoint called "last" or "best"."""
        return self._index.path(which)


def _read_state(path: Path) -> dict[str, Any]:
    state = read_json(path)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is of another library version, or not from this library; resume it with the "
            "version that wrote it, or start a new run."
        )
    return state


def _check_kinds(path: Path, saved: list[str], kinds: list[str]) -> None:
    if saved != kinds:
        raise CheckpointError(
            f"{path} was saved with the optimizers and schedules {saved}, resumed with {kinds}; "
            "resume it with the settings that wrote it, or start a new run."
        )


def _to_json(value: Any) -> Any:
    """Return a scheduler's state as JSON: keys that are no text would come back as text."""
    if isinstance(value, Tensor):
        return value.item()
    if isinstance(value, dict):
        return {"pairs": [[key, _to_json(item)] for key, item in value.items()]}
    return [_to_json(item) for item in value] if isinstance(value, (list, tuple)) else value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _from_json(item) for key, item in value["pairs"]}
    return [_from_json(item) for item in value] if isinstance(value, list) else value


def _save_optimizer(
    state: dict[str, Any] | None,
    path: Path,
    files: Mapping[str, StoredFile],
    digests: dict[str, str],
) -> dict[str, Any] | None:
    """Write the tensors of an optimizer's state; return the rest, which is JSON-able.

    The digest of the file is put to the others.
    """
    if state is None:
        return None
    tensors, scalars = {}, {}
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{name}"] = value
            else:
                scalars[f"{index}.{name}"] = value
    digests[path.name] = kept_tensors(path, tensors, files)
    groups = [
        {
            name: value.item() if isinstance(value, Tensor) else value
            for name, value in group.items()
        }
        for group in state["param_groups"]
    ]
    return {"scalars": scalars, "groups": groups}


def _outline(path: Path, device: torch.device) -> dict[str, Tensor]:
    """Return the tensors of a file hollow, but for single numbers: they stay where they are."""
    return {
        key: read_tensor(path, spec)
        if math.prod(spec.shape) <= 1
        else hollow_tensor(spec.shape, spec.dtype, device)
        for key, spec in read_header(path).items()
    }


def _load_optimizer(
    optimizer: Optimizer, path: Path, tensors: Mapping[str, Tensor], saved: dict[str, Any]
) -> None:
    whole = {"state": {}, "param_groups": saved["groups"]}
    try:
        optimizer.load_state_dict(stored_state(whole, {**tensors, **saved["scalars"]}))
        align_states(optimizer)
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is of another optimizer or network: {error}") from error
