"""Weights of a network as files: one for each part, in the safetensors format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from associated_learning.errors import CheckpointError, InputError
from associated_learning.network import Network
from associated_learning.state.files import linked, open_regular
from associated_learning.state.snapshot import StoredFile
from associated_learning.state.tensor_file import write_tensors
from associated_learning.tensors.hollow import is_hollow

__all__ = ["kept_tensors", "load_weights", "read_tensors", "save_weights", "write_weights"]


def save_weights(net: Network, folder: Path) -> None:
    """Write every part of a network to ``folder/NAME.safetensors``; the folder is made.

    Args:
        net: Of its layers each is a file, such as ``layer-1.safetensors``.
        folder: Files of the same names in it are replaced.

    Example:
        >>> import pathlib, tempfile
        >>> from torch import nn
        >>> import associated_learning as al
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> al.save_weights(al.BPNetwork(nn.Linear(4, 2), al.Classes(2)), folder)
        >>> [path.suffix for path in folder.iterdir()]
        ['.safetensors']
    """
    for name, part in net.parts().items():  # one at a time, as memory may not hold all
        write_weights({name: part.state_dict()}, folder, {})


def write_weights(
    weights: Mapping[str, Mapping[str, Tensor]], folder: Path, files: Mapping[str, StoredFile]
) -> dict[str, str]:
    """Write the tensors of every part to ``folder/NAME.safetensors``.

    Args:
        weights: By part.
        folder: Made if it does not exist.
        files: Those that hold some of them already, by part, which are linked; see `Snapshot`.

    Returns:
        The digest of each file by its name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}.safetensors" for name in weights}
    return {path.name: kept_tensors(path, weights[name], files) for name, path in paths.items()}


def kept_tensors(path: Path, tensors: Mapping[str, Tensor], files: Mapping[str, StoredFile]) -> str:
    """Write tensors to a file, or link the one that holds them already; return its digest."""
    if (file := files.get(path.stem)) is not None:
        linked(file.path, path)
        return file.digest
    path.unlink(missing_ok=True)
    return write_tensors(path, {key: tensor.detach().cpu() for key, tensor in tensors.items()})


def load_weights(net: Network, folder: Path) -> None:
    """Read what `save_weights` wrote, in place; nothing is changed unless all of it fits.

    Args:
        net: Built as the one that was saved.
        folder: That of `save_weights`.

    Raises:
        CheckpointError: A file is missing, truncated, or of another network.

    Example:
        >>> import pathlib, tempfile, torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> one, two = (al.BPNetwork(nn.Linear(4, 2), al.Classes(2)) for _ in range(2))
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> al.save_weights(one, folder)
        >>> al.load_weights(two, folder)
        >>> torch.equal(one(torch.ones(3, 4)), two(torch.ones(3, 4)))
        True
    """
    parts = net.parts()
    if any(is_hollow(p) for part in parts.values() for p in part.parameters()):
        raise InputError(
            "weights were to be loaded into a network whose layers lie in a store; load them into "
            "layers in memory, and make the network of these by store_layers."
        )
    found = {name: read_tensors(folder / f"{name}.safetensors") for name in parts}
    for name, part in parts.items():
        _check_fits(folder / f"{name}.safetensors", part, found[name])
    for name, part in parts.items():
        part.load_state_dict(found[name])


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file. Raises CheckpointError if it cannot be read."""
    try:
        open_regular(path).close()  # a pipe by that name would hang
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError, KeyError) as error:  # a type that torch does not have
        raise CheckpointError(
            f"{path} cannot be read ({error}); it is missing, truncated or no safetensors file. "
            "Use another checkpoint of the run, or train again."
        ) from error
    return tensors


def _check_fits(path: Path, part: nn.Module, found: dict[str, Tensor]) -> None:
    expected = {key: list(tensor.shape) for key, tensor in part.state_dict().items()}
    came = {key: list(tensor.shape) for key, tensor in found.items()}
    if came != expected:
        keys = sorted({*came, *expected})
        key = next(key for key in keys if came.get(key) != expected.get(key))
        raise CheckpointError(
            f"{path} is of another network: {key} has shape {came.get(key, 'none')}, expected "
            f"{expected.get(key, 'none')}. Build the network with the settings of that run."
        )
