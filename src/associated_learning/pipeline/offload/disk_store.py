"""A store in a folder: a safetensors file a layer beside its optimizer's, always written anew."""

from __future__ import annotations

import re
import shutil
import weakref
from collections.abc import Container, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.errors import CheckpointError, InputError
from associated_learning.pipeline.offload.layer_store import Store
from associated_learning.state.digests import file_digest
from associated_learning.state.files import (
    TEMPORARY,
    linked,
    make_folder,
    read_json,
    remove_unfinished,
    write_json,
)
from associated_learning.state.lock import held_lock
from associated_learning.state.snapshot import StoredFile
from associated_learning.state.tensor_file import (
    StoredTensors,
    read_header,
    read_tensor,
    write_tensors,
)
from associated_learning.tensors.hollow import Tensors, weights_of
from associated_learning.tensors.strides import Strides

__all__ = ["STAGE", "DiskStore", "has_changed", "stage_folder"]

FORMAT = 1
STAGE = "stage-"  # how folders in it begin that are stores of one stage each
_NAME = re.compile(r"[\w-]+\.\d+\.safetensors")  # of what `DiskStore.write` writes


class DiskStore(Store):
    """A folder of files that are never changed: a new state of a layer is a new file.

    ``index.json`` names the files of the last `commit`. It is replaced as a whole, and only then
    are the files before it removed. So a process that is killed anywhere leaves the last commit
    whole, and what it had written since is no file of the store: it is removed when the store is
    opened again. Hard links to its files (a checkpoint's) stay what they were.

    Args:
        folder: Made if it does not exist.
        device: Where layers train.

    Raises:
        CheckpointError: Another process has it open, or its index is from elsewhere.
    """

    def __init__(self, folder: Path | str, device: torch.device) -> None:
        self.folder = Path(folder)
        self.device = device
        try:
            make_folder(self.folder)
            self._unlock = weakref.finalize(self, _locked(self.folder).close)
            self._require_own()
            self._files = self._committed()
            self._held: dict[str, StoredFile] = {}
            self._strides = Strides()
            self._number = 1 + max(
                (_file_number(path) for path in self.folder.iterdir()), default=0
            )
            self.commit()
        except OSError as error:
            raise self._failed(self.folder, error) from error

    def write(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        path = self.folder / f"{name}.{self._number}.safetensors"
        temporary = self.folder / f"{TEMPORARY}{path.name}"
        self._number += 1
        on_cpu = {key: tensor.detach().cpu() for key, tensor in tensors.items()}
        try:
            digest = write_tensors(temporary, on_cpu)
            temporary.rename(path)
        except OSError as error:
            raise self._failed(path, error) from error
        self._strides.note(name, tensors)
        finite = all(_is_finite(tensor) for tensor in on_cpu.values())
        self._files[name] = StoredFile(path, digest, finite, _signature(path))

    def read(self, name: str) -> Tensors:
        stored = self.look(name)
        pinned = self.device.type == "cuda"
        found = {
            key: read_tensor(stored.path, spec, pinned=pinned).to(self.device)
            for key, spec in stored.specs.items()
        }
        return self._strides.restored(name, found)

    def look(self, name: str) -> StoredTensors:
        file = self._files[name]
        if has_changed(file):
            raise CheckpointError(
                f"{file.path} was changed or removed by something else than this run; nothing "
                "else may write into a store in use. Resume from the last checkpoint."
            )
        return StoredTensors(file.path)

    def files(self) -> dict[str, StoredFile]:
        return dict(self._files)

    def hold(self) -> None:
        self._held = dict(self._files)
        self._remove_others()

    def forget_others(self, names: Container[str]) -> None:
        """Forget what is there of other names than these."""
        self._files = {name: file for name, file in self._files.items() if name in names}

    def has(self, name: str) -> bool:
        """Return whether something of that name was written."""
        return name in self._files

    def adopt(self, files: Mapping[str, Path]) -> None:
        # as links to the same data
        self._files = {name: self._adopted(name, path) for name, path in files.items()}

    def check_fits(self, parts: Mapping[str, nn.Module]) -> None:
        for name, part in parts.items():
            if not self.has(name):
                continue
            specs = read_header(self._files[name].path)
            came = {key: list(spec.shape) for key, spec in specs.items()}
            expected = {key: list(tensor.shape) for key, tensor in weights_of(part).items()}
            if came != expected:
                keys = sorted({*came, *expected})
                key = next(key for key in keys if came.get(key) != expected.get(key))
                raise CheckpointError(
                    f"{self.folder} is the store of another network: {key} of {name} has shape "
                    f"{came.get(key, 'none')} there, {expected.get(key, 'none')} here. Name "
                    "another folder, or build the network with the settings of that run."
                )

    def commit(self) -> None:
        index = {name: [f.path.name, f.digest, f.finite] for name, f in self._files.items()}
        write_json(self.folder / "index.json", {"format": FORMAT, "files": index})
        self._remove_others()

    def close(self) -> None:
        self._unlock()

    def require_room(self, needed: int) -> None:
        """Raise InputError if training needs more bytes than are free or in the store already."""
        stored = {file.path for file in self._files.values()}
        stored.update(self.folder.glob(f"{STAGE}*/*.safetensors"))  # whose process may be at work
        have = sum(size for size, _ in map(_signature, stored))
        free = shutil.disk_usage(self.folder).free
        if free + have < needed:
            raise InputError(
                f"{self.folder} has {free / 2**30:.2f} GiB free; expected "
                f"{(needed - have) / 2**30:.2f} GiB, for several generations of weights and "
                "optimizers and the best weights. Free some, or name a folder on another disk."
            )

    def remove_stages(self, beyond: int = 0) -> None:
        """Remove the stores that an earlier run left here of stages beyond a number."""
        for folder in self.folder.glob(f"{STAGE}*"):
            number, index = folder.name.removeprefix(STAGE), folder / "index.json"
            if number.isdecimal() and int(number) > beyond and index.exists():
                store = DiskStore(folder, self.device)
                store.adopt({})
                store.commit()
                store.close()
                index.unlink()

    def _require_own(self) -> None:
        """Raise InputError if the folder holds something, and is no store."""
        if (self.folder / "index.json").exists():
            return
        left = (".", TEMPORARY, "lock", STAGE)
        others = [p.name for p in self.folder.iterdir() if not p.name.startswith(left)]
        if others:
            raise InputError(
                f"{self.folder} came as a store, but holds other files ({', '.join(others[:3])}); "
                "expected an empty folder, or the store of this run. Name another one."
            )

    def _committed(self) -> dict[str, StoredFile]:
        path = self.folder / "index.json"
        if not path.exists():
            return {}
        index: Any = read_json(path)
        if not isinstance(index, dict) or index.get("format") != FORMAT:
            raise CheckpointError(f"{path} is not of a store of this version; name another folder.")
        return {
            name: StoredFile(self.folder / file, digest, finite, _signature(self.folder / file))
            for name, (file, digest, finite) in index["files"].items()
        }

    def _adopted(self, name: str, source: Path) -> StoredFile:
        path = self.folder / f"{name}.{self._number}.safetensors"
        self._number += 1
        try:
            linked(source, path)
            return StoredFile(path, file_digest(path), False, _signature(path))
        except OSError as error:
            raise self._failed(path, error) from error

    def _remove_others(self) -> None:
        """Remove what a killed process left, or a commit has replaced."""
        own = {file.path.name for file in (*self._files.values(), *self._held.values())}
        for path in self.folder.iterdir():
            if _NAME.fullmatch(path.name) and path.name not in own:
                path.unlink(missing_ok=True)
        for path in self.folder.glob(f"{TEMPORARY}*"):
            if path.is_file():
                path.unlink(missing_ok=True)
        remove_unfinished(self.folder)

    def _failed(self, path: Path, error: OSError) -> CheckpointError:
        return CheckpointError(
            f"{path} could not be written ({error}); the last whole window is unharmed. Free disk "
            "space or name another folder, then resume."
        )


def has_changed(file: StoredFile) -> bool:
    """Return whether something else is at a file's path now, or nothing."""
    return _signature(file.path) != file.signature


def stage_folder(folder: Path, number: int) -> Path:
    """Return the folder of the store of a stage (from 1), inside that of a run."""
    return folder / f"{STAGE}{number}"


def _locked(folder: Path) -> ExitStack:
    """Lock a folder for this process, which the system undoes if it dies; return what unlocks."""
    stack = ExitStack()
    if not stack.enter_context(held_lock(folder / "lock")):
        raise CheckpointError(
            f"{folder} is in use by another run; two runs cannot share a store. Wait for it, or "
            "name another folder."
        )
    return stack


def _file_number(path: Path) -> int:
    middle = path.name.removesuffix(".safetensors").rpartition(".")[2]
    return int(middle) if middle.isdecimal() else 0


def _signature(path: Path) -> tuple[int, int]:
    """Return what the system tells of a file without reading it: size and time of change."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _is_finite(tensor: Tensor) -> bool:
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    if tensor.itemsize == 1:  # of 8 bits, for which torch has few operations
        tensor = tensor.half()
    least, most = tensor.aminmax()  # NaN is both; no second tensor of that size is made
    return bool(torch.isfinite(least) and torch.isfinite(most))
