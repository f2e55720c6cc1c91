"""Models of transformers that were never in memory as a whole: from shards to a store and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.conversion import ConvertedNetwork
from associated_learning.errors import CheckpointError, InputError, needs_extra
from associated_learning.pipeline.offload.disk_store import DiskStore
from associated_learning.pipeline.offload.stored_network import StoredNetwork
from associated_learning.runs.hub.config import config_from_json
from associated_learning.runs.hub.feature_check import check_features
from associated_learning.runs.hub.hollow_model import hollow_model
from associated_learning.runs.hub.model import find_model
from associated_learning.runs.hub.network import Backbone, convert_model
from associated_learning.runs.networks.input_spec import InputSpec
from associated_learning.runs.settings.config import ResolvedConfig
from associated_learning.runs.tasks.target import task_target
from associated_learning.state.files import replaced_folder, write_json
from associated_learning.state.tensor_file import (
    TensorSpec,
    read_header,
    read_tensor,
    write_tensors,
)
from associated_learning.tensors.hollow import hollow, weights_of
from associated_learning.tensors.nested import to_device
from associated_learning.tensors.randomness.keyed import seeded

__all__ = ["StoredModel", "store_converted", "stored_run"]

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"
Names = Mapping[str, Mapping[str, str]]


class StoredModel(StoredNetwork):
    """A converted model whose layers lie in a store."""

    def __init__(self, net: ConvertedNetwork, store: DiskStore, config: Any) -> None:
        self._names = _names(net)
        super().__init__(net.al_layers(), net.target, store)
        self.plan = net.plan
        self._config = config

    def save_backbone(self, folder: Path | str) -> None:
        """Write the model to a new folder, shard by shard, as ``from_pretrained`` reads it.

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


def store_converted(
    net: ConvertedNetwork,
    shards: Path | str,
    folder: Path | str,
    *,
    config: Any,
    example: Any,
    device: torch.device | str = "cpu",
) -> StoredModel:
    """Read the weights of a converted model from its files into a store, a layer at a time.

    Then the layers must give the model's own features bit for bit (see `check_features`).

    Args:
        net: Converted from a `hollow_model`; its bridges and coders have weights of their own.
        shards: Folder with ``model.safetensors``, or with shards and their index.
        folder: Of the store.
        config: The model's configuration.
        example: A batch of inputs.
        device: Where the layers are to train.

    Raises:
        CheckpointError: A weight is in no file, or of another shape; or a file is truncated.
        ConversionError: The layers give other features than the model.
    """
    files = _Shards(Path(shards), net.backbone())
    names = _names(net)
    store = DiskStore(folder, torch.device(device))
    store.adopt({})
    try:
        for part, layer in net.parts().items():
            live = weights_of(layer)
            read = {key: files.read(name, live[key]) for key, name in names[part].items()}
            store.write(part, {**live, **read})
            hollow(live.values(), store.device)
        store.commit()
        stored = StoredModel(net, store, config)
        check_features(net, stored, to_device(example, store.device))
        return stored
    except BaseException:
        store.close()
        raise


def stored_run(
    config: ResolvedConfig,
    spec: InputSpec,
    backbone: Backbone,
    folder: Path,
    *,
    device: torch.device,
    checkpoint: Path | None,
) -> StoredModel:
    """Return the network of a run whose model is never in memory as a whole.

    Raises:
        InputError: The model has no weights in a folder of this machine.
        CheckpointError: A file is truncated or of another model.
    """
    fitted = config_from_json(backbone.config)
    target = task_target(config, spec)
    with seeded(config.seed, "weights"):
        net = convert_model(hollow_model(fitted), config, spec, backbone, target)
    if checkpoint is not None:
        store = DiskStore(folder, device)
        store.adopt({path.stem: path for path in checkpoint.glob("layer-*.safetensors")})
        store.commit()
        return StoredModel(net, store, fitted)
    weights = find_model(config.model).weights
    if weights is None or not Path(weights).is_dir():
        raise InputError(
            f"--model {config.model} came with --executor offload and a store on disk; expected a "
            "folder with its model.safetensors or shards, which are read layer by layer. Save the "
            "model to a folder, or use --store host."
        )
    return store_converted(
        net, Path(weights), folder, config=fitted, example=spec.example(), device=device
    )


def _names(net: ConvertedNetwork) -> Names:
    """Return what the model calls the tensors of each layer, by their keys there."""
    called = {id(tensor): name for name, tensor in weights_of(net.backbone()).items()}
    return {
        part: {key: called[id(t)] for key, t in weights_of(layer).items() if id(t) in called}
        for part, layer in net.parts().items()
    }


class _Shards:
    """The tensors of a model in its files, with or without the prefix of a model with a head."""

    def __init__(self, folder: Path, model: nn.Module) -> None:
        self._folder = folder
        called = _renaming(model)
        index = folder / _INDEX
        files = [folder / _SINGLE]
        if index.exists():
            weights = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
            files = [folder / name for name in sorted(set(weights.values()))]
        self._where: dict[str, tuple[Path, TensorSpec]] = {
            called(name): (file, spec) for file in files for name, spec in read_header(file).items()
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


def _renaming(model: nn.Module) -> Callable[[str], str]:
    """Return what transformers calls a tensor now whose name comes from a file."""
    with needs_extra("hf", "a model of transformers"):
        try:
            from transformers.conversion_mapping import get_model_conversion_mapping
        except ImportError:  # before version 5, names in files are those of the model
            return lambda name: name
    transforms = get_model_conversion_mapping(model)

    def renamed(name: str) -> str:
        for transform in transforms:
            name, matched = transform.rename_source_key(name)
            if matched is not None and hasattr(transform, "operations"):
                raise InputError(
                    f"{name} is put together of several tensors of the files; expected weights as "
                    "the model holds them. Load and save the model once by transformers."
                )
        return name

    return renamed
