"""Models of a configuration of transformers: with fresh weights, or with those of a folder."""

from __future__ import annotations

from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from associated_learning.errors import InputError
from associated_learning.runs.hub.config import model_class, quiet_transformers
from associated_learning.runs.hub.safe_weights import safe_weights

__all__ = ["fresh_model", "pretrained_model"]


def fresh_model(config: Any, task: str = "classification") -> nn.Module:
    """Return the model of a configuration with fresh weights, from torch's generator.

    Args:
        config: The configuration.
        task: What it is for: plain models are for classification, others have heads.
    """
    try:
        with quiet_transformers():
            model: nn.Module = model_class(config, task)(config)
    except (RuntimeError, ValueError, TypeError, AssertionError, ZeroDivisionError) as error:
        raise InputError(
            f"transformers cannot build a model of the type {config.model_type!r} with this "
            f"configuration: {error}"
        ) from error
    return model.to(torch.float32)


def pretrained_model(name: str, weights: str, config: Any, task: str) -> nn.Module:
    """Return the model of a configuration with its weights in float32.

    Raises:
        InputError: The weights cannot be read, or are of another model.
    """
    folder = safe_weights(weights)
    try:
        with quiet_transformers():
            model, report = model_class(config, task).from_pretrained(
                folder,
                config=config,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=task == "tokens",
                local_files_only=True,
            )
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        raise InputError(
            f"the weights of {name} cannot be read ({error}); expected a "
            "model.safetensors of that configuration."
        ) from error
    # a pooler has no weights where the model was trained without one
    missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)
    if task == "tokens":  # whose head is fresh, unless the folder has one of that width
        missing = [*missing, *(name for name, *_ in report["mismatched_keys"])]
        body = model.base_model_prefix + "."
        missing = [name for name in missing if name.startswith(body)]
    if missing:
        raise InputError(
            f"the weights of {name} are of another model: {len(missing)} tensors are "
            f"missing, such as {missing[0]}. Name a folder whose model.safetensors fits its "
            "config.json."
        )
    found: nn.Module = model.float()
    return found
