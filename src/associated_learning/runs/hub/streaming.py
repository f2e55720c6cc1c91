"""Models of transformers that were never in memory as a whole: from shards to a store and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.conversion import ConvertedNetwork
from associated_learning.errors import CheckpointError
from associated_learning.pipeline.offload.disk_store import DiskStore
from associated_learning.pipeline.offload.stored_network import StoredNetwork
from associated_learning.runs.hub.config import model_class, quiet_transformers
from associated_learning.state.files import replaced_folder, write_json
from associated_learning.state.tensor_file import TensorSpec, read_header, read_tensor, write_tensors
from associated_learning.tensors.hollow import hollow, weights_of

__all__ = ["StoredModel", "hollow_model", "store_converted"]

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
# what stands in every weight while a model is cut: NaN would equal nothing, not even itself
_ANYTHING = 0.01

Names = Mapping[str, Mapping[str, str]]


class StoredModel(StoredNetwork):
    """A converted model whose layers lie in a store.

    Args:
        net: Converted from a model without memory.
        store: Holds the weights of its layers.
        config: The model's configuration.
        names: What the model calls the tensors of each layer.
    """

    def __init__(self, net: ConvertedNetwork, store: DiskStore, config: Any, names: Names) -> None:
        super().__init__(net.al_layers(), net.target, store)
        self.plan = net.plan
        self._config = config
        self._names = names

    def save_backbone(self, folder: Path | str) -> None:
        """Write the model, shard by shard, as ``from_pretrained`` reads it.

        Args:
            folder: Must not exist.

        Raises:
            CheckpointError: It exists, or the disk is full.
        """
        folder = Path(folder)
        if folder.exists():
            raise CheckpointError(f"{folder} exists already; expected a folder to be made.")
        shards = [(part, names) for part, names in self._names.items() if names]
        index: dict[str, str] = {}
        size = 0
        with replaced_folder(folder) as new:
            for number, (part, names) in enumerate(shards, start=1):
                file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
                stored = self.store.look(part)
                tensors = {name: stored[key] for key, name in names.items()}
                write_tensors(new / file, tensors)
                index.update(dict.fromkeys(tensors, file))
                size += sum(tensor.nbytes for tensor in tensors.values())
            self._config.save_pretrained(new)
            write_json(new / _INDEX, {"metadata": {"total_size": size}, "weight_map": index})


def hollow_model(config: Any) -> nn.Module:
    """Return a model of transformers whose weights have shapes but no memory; buffers are real.

    It can be run, and so be cut into layers: every weight is the same number everywhere.

    Args:
        config: Its configuration.
    """
    with quiet_transformers(), _parameters_on_meta():
        model: nn.Module = model_class(config)(config)
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            value = torch.full((), _ANYTHING, dtype=parameter.dtype).expand(parameter.shape)
            module._parameters[name] = nn.Parameter(value, parameter.requires_grad)
    return model.eval()


def store_converted(
    net: ConvertedNetwork,
    shards: Path | str,
    folder: Path | str,
    *,
    config: Any,
    device: torch.device | str = "cpu",
) -> StoredModel:
    """Read the weights of a converted model from its files into a store, a layer at a time.

    Args:
        net: Converted from a `hollow_model`; its bridges and coders have weights of their own.
        shards: Folder with ``model.safetensors``, or with shards and their index.
        folder: Of the store.
        config: The model's configuration.
        device: Where the layers are to train.

    Raises:
        CheckpointError: A weight is in no file, or of another shape; or a file is truncated.
    """
    files = _Shards(Path(shards))
    called = {id(t): name for name, t in weights_of(net.backbone()).items()}
    names: dict[str, dict[str, str]] = {}
    store = DiskStore(folder, torch.device(device))
    store.adopt({})
    try:
        for part, layer in net.parts().items():
            live = weights_of(layer)
            names[part] = {key: called[id(t)] for key, t in live.items() if id(t) in called}
            read = {key: files.read(name, live[key]) for key, name in names[part].items()}
            store.write(part, {**live, **read})
            hollow(live.values(), store.device)
        store.commit()
        return StoredModel(net, store, config, names)
    except BaseException:
        store.close()
        raise


class _Shards:
    """The tensors of a model in its files, with or without the prefix of a model with a head."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        index = folder / _INDEX
        files = [folder / _SINGLE]
        if index.exists():
            weights = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
            files = [folder / name for name in sorted(set(weights.values()))]
        self._where: dict[str, tuple[Path, TensorSpec]] = {
            name: (file, spec) for file in files for name, spec in read_header(file).items()
        }

    def read(self, name: str, like: Tensor) -> Tensor:
        """Return a tensor in the type of another one, which has its shape."""
        found = [key for key in self._where if key == name or key.endswith(f".{name}")]
        if len(found) != 1:
            raise CheckpointError(
                f"{self._folder} holds {len(found)} tensors called {name}; expected one. Are the "
                "weights those of this configuration?"
            )
        path, spec = self._where[found[0]]
        if spec.shape != tuple(like.shape):
            raise CheckpointError(
                f"{path} holds {name} of shape {list(spec.shape)}; expected {list(like.shape)}, as "
                "its configuration tells."
            )
        return read_tensor(path, spec).to(like.dtype)


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    """Let modules that are made inside the block keep no memory for their parameters."""
    register = nn.Module.register_parameter

    def registered(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        register(module, name, parameter)
        if parameter is not None:
            there = nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)
            module._parameters[name] = there

    nn.Module.register_parameter = registered  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]
