"""Temperatures of a run: what its outputs are divided by, so that probabilities are calibrated."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from associated_learning.errors import CheckpointError, InputError
from associated_learning.inference.evaluation import evaluate
from associated_learning.inference.exits.calibration import binary_logits, fit_temperature
from associated_learning.network import Network
from associated_learning.runs.exits.early_exit import has_policy, read_policy
from associated_learning.state.files import read_json, write_json
from associated_learning.targets import Classes, MultiLabel

__all__ = [
    "check_temperature",
    "fitted_temperatures",
    "keep_temperatures",
    "temperature_of",
]

_FILE = "temperatures.json"
_BATCHES = 64  # which do for one number a depth
_SPREAD = 1.0  # of its logarithm: between a third and three times what the outputs say


def fitted_temperatures(net: Network, validation: Iterable[tuple[Any, Tensor]]) -> list[float]:
    """Return the temperature of each depth that fits validation data best (Guo et al., 2017).

    It is 1 where outputs are no logits of classes or labels.

    Args:
        net: The network; its mode is restored.
        validation: Pairs of inputs and classes, or labels; the first 64 are looked at.
    """
    target = net.target
    of_logits = isinstance(target, (Classes, MultiLabel)) and target.loss_kind == "ce"
    if not of_logits or target.positions:
        return [1.0] * net.num_layers
    outputs: list[Tensor] = []  # of each batch, [L, B, classes]
    labels: list[Tensor] = []

    def keep(depths: Iterable[Tensor], y: Tensor) -> None:
        outputs.append(torch.stack([one.float().cpu() for one in depths]))
        labels.append(y.cpu())

    evaluate(net, islice(validation, _BATCHES), observe=keep)
    y, depths = torch.cat(labels), torch.cat(outputs, dim=1)
    if isinstance(target, MultiLabel):
        y, depths = y.flatten().long(), binary_logits(depths).flatten(1, 2)
    return [fit_temperature(logits, y, spread=_SPREAD) for logits in depths]


def keep_temperatures(folder: Path, temperatures: list[float]) -> None:
    """Keep the temperatures of a run in its folder."""
    write_json(folder / _FILE, temperatures)


def temperature_of(run: Path, depth: int) -> float:
    """Return the temperature of a depth: of training; or of `al evaluate --exits`; else 1.

    Raises:
        CheckpointError: The file of them is foreign.
    """
    if (run / _FILE).exists():
        return _read(run / _FILE, depth)
    # not finished, or trained before they were kept
    return read_policy(run).temperatures[depth - 1] if has_policy(run) else 1.0


def _read(path: Path, depth: int) -> float:
    try:
        return check_temperature(read_json(path)[depth - 1])
    except (TypeError, KeyError, IndexError, InputError) as error:
        raise CheckpointError(
            f"{path} holds no temperature for depth {depth} ({error}); remove it, and "
            "probabilities are as the network gives them."
        ) from error


def check_temperature(value: Any) -> float:
    """Return a temperature. Raises InputError if it is none."""
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise InputError(f"the temperature {value!r} came; expected a number above 0.")
    return float(value)
