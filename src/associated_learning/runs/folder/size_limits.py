"""Sizes that no machine of today trains: refused before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from associated_learning.errors import InputError

__all__ = ["check_backbone_sizes", "check_numbers", "check_sizes"]

_MOST_LAYERS = 10_000
_WIDEST = 2**24  # units, pixels, classes or words
_MOST_WEIGHTS = 2**36  # 256 GB of float32
_LARGEST_NUMBER, _LARGEST_SEED = 2**48, 2**63 - 1
_LAYERS = ("num_layers", "num_hidden_layers", "encoder_layers", "decoder_layers", "n_layer")
_WIDTHS = ("hidden", "latent", "bridge_hidden", "embedding_dim", "vocabulary_size", "image_size")


def check_sizes(settings: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
    """Check the sizes of a network that settings and data ask for.

    Args:
        settings: Of a run, by name.
        inputs: What its data look like (`InputSpec`), by name.

    Raises:
        InputError: One is beyond all bounds; names it.
    """
    check_numbers(settings)
    layers = {name: settings.get(name) for name in _LAYERS}
    widths = {name: settings.get(name) for name in _WIDTHS}
    widths |= {name: inputs.get(name) for name in ("num_classes", "vocabulary_size")}
    widths |= {f"shape {tuple(inputs['shape'])}": math.prod(map(abs, inputs["shape"]))}
    widths["embedding_dim of the inputs"] = inputs.get("embedding_dim")
    _check_bounded(layers, _MOST_LAYERS)
    _check_bounded(widths, _WIDEST)
    known = [size for name, size in widths.items() if size and name != "vocabulary_size"]
    two = sorted(known)[-2:]
    _check_weights(math.prod(two) * (settings.get("num_layers") or 1))


def check_numbers(settings: Mapping[str, Any]) -> None:
    """Check that the numbers of settings fit into those that torch counts with.

    Raises:
        InputError: One does not; names it.

    Example:
        >>> check_numbers({"batch_size": 64, "seed": 7})
    """
    seeds = {name: value for name, value in settings.items() if name.endswith("seed")}
    _check_bounded(seeds, _LARGEST_SEED)
    _check_bounded({k: v for k, v in settings.items() if k not in seeds}, _LARGEST_NUMBER)


def check_backbone_sizes(config: Mapping[str, Any]) -> None:
    """Check the sizes in a configuration of transformers. Raises InputError, as `check_sizes`."""
    layers = {name: config.get(name) for name in _LAYERS}
    numbers = {name: value for name, value in config.items() if isinstance(value, int)}
    numbers |= {
        f"{name}[{i}]": value
        for name, listed in config.items()
        if isinstance(listed, list)
        for i, value in enumerate(listed)
        if isinstance(value, int)
    }
    _check_bounded(layers, _MOST_LAYERS)
    widths = {
        name: value
        for name, value in numbers.items()
        if name.rpartition("_")[2].split("[")[0] in ("size", "dim", "sizes", "dims", "channels")
        or name in ("d_model", "d_ff", "n_embd", "vocab_size", "max_position_embeddings")
    }
    _check_bounded(widths, _WIDEST)
    width = max((v for k, v in widths.items() if k in ("hidden_size", "d_model")), default=1)
    inner = max((v for k, v in widths.items() if k in ("intermediate_size", "d_ff")), default=width)
    depth = max((v for v in layers.values() if isinstance(v, int)), default=1)
    _check_weights(width * (inner * depth + (config.get("vocab_size") or 0)))


def _check_bounded(sizes: Mapping[str, Any], most: int) -> None:
    for name, size in sizes.items():
        if isinstance(size, int) and size > most:
            raise InputError(f"{name} is {size}; expected {most} at most.")


def _check_weights(count: int) -> None:
    if count > _MOST_WEIGHTS:
        raise InputError(
            f"the network would have some {count:.1e} weights; expected {_MOST_WEIGHTS:.0e} at "
            "most. Ask for fewer layers or smaller widths."
        )
