"""What a `Trainer` cannot be set to: told before anything trains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import torch

from associated_learning.errors import InputError
from associated_learning.pipeline.offload.memory_plan import bytes_of
from associated_learning.pipeline.offload.settings import Offloading
from associated_learning.state.checkpoint import Checkpoints
from associated_learning.training.epoch_judge import Judge

__all__ = ["check_run", "check_settings", "check_stores", "executor_over_store"]

_WITH_STORES = ("offload", "threads", "processes")

_PARTS = "gradient_accumulation_steps"
_HALF = (None, torch.bfloat16)
# setting -> what it may be, and how that is said
_CHOICES: dict[str, tuple[tuple[object, ...], str]] = {
    "judge": (get_args(Judge), "any or full"),
    "precision": (
        (*_HALF, torch.float32),
        "None or torch.bfloat16 (float16 would need its losses scaled)",
    ),
    "wire": (_HALF, "None or torch.bfloat16"),
    "activations": (_HALF, "None or torch.bfloat16"),
    "schedule_every": (("epoch", "step"), "epoch or step"),
}


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise InputError for a setting that is out of its range, or does not go with another."""
    epochs, min_updates = settings["epochs"], settings["min_updates"]
    if epochs is not None and epochs < 1:
        raise InputError(f"epochs={epochs} came; expected at least 1, or None.")
    if min_updates < 0:
        raise InputError(f"min_updates={min_updates} came; expected 0 or more.")
    for name, (allowed, expected) in _CHOICES.items():
        value = settings[name]
        if value not in allowed:
            came = repr(value) if isinstance(value, str) else value
            raise InputError(f"{name}={came} came; expected {expected}.")
    for name in ("clip", "patience", "save_every", "replicas", "window", _PARTS):
        value = settings[name]
        if value is not None and value <= 0:
            raise InputError(f"{name}={value} came; expected a positive number or None.")
    if settings[_PARTS] > 1 and settings["replicas"] > 1:
        raise InputError(
            f"{_PARTS}={settings[_PARTS]} came with replicas={settings['replicas']}; expected one "
            "of the two: both take several minibatches for an update."
        )
    if settings["memory"] is not None:
        bytes_of(settings["memory"])
    if settings["growth"] is not None:
        _check_growing(settings)


def _check_growing(settings: Mapping[str, Any]) -> None:
    """Raise InputError for settings that only networks of a fixed depth can have."""
    refused = {
        "patience": (settings["patience"] is not None, "Growth has a patience of its own"),
        "replicas": (settings["replicas"] > 1, "stages that change are not replicated"),
        "stages": (
            isinstance(settings["stages"], (list, tuple)),
            "layers are divided anew whenever one is put on top; a number is taken",
        ),
    }
    for name, (came, why) in refused.items():
        if came:
            raise InputError(f"{name}={settings[name]} came with growth; {why}. Leave it out.")


def executor_over_store(chosen: str, asked: str, *, grows: bool) -> str:
    """Return the executor that trains a network whose layers lie in a store.

    Raises:
        InputError: Another executor was asked for, or growth.
    """
    if grows or (asked != "auto" and chosen != "offload"):
        came = "growth" if grows else f"executor={chosen!r}"
        raise InputError(
            f"{came} came for a network whose layers lie in a store, one at a time in memory; "
            "expected executor='offload' and a depth that stays as it is."
        )
    return "offload"


def check_run(
    executor: str, replicas: int, store: Path | str, checkpoints: Checkpoints | None
) -> None:
    """Raise InputError for settings that do not fit an executor, or the place of checkpoints."""
    if not torch.is_grad_enabled():
        raise InputError(
            "training began inside of torch.no_grad() or torch.inference_mode(), where nothing "
            "learns; call fit outside of it."
        )
    if any(map(torch.is_autocast_enabled, ("cpu", "cuda"))):
        raise InputError(
            "training began inside of torch.autocast, which goes on with its first copies of the "
            "weights; call fit outside of it, and ask for precision=torch.bfloat16."
        )
    if executor != "processes" and replicas > 1:
        raise InputError(
            f"replicas={replicas} came with executor={executor!r}; only the ranks of "
            "executor='processes' can share the minibatches of a stage. Leave replicas out."
        )
    if checkpoints is None or store == "host":
        return
    if Path(store).absolute() == checkpoints.folder.absolute():
        raise InputError(
            f"store={str(store)!r} came, where the checkpoints lie, which have an index of their "
            "own there; name another folder, one inside it say."
        )


def check_stores(settings: Offloading, *, executor: str, replicas: int) -> None:
    """Raise InputError if settings of stores came for what keeps all its layers in memory."""
    if executor not in _WITH_STORES and settings.given:
        raise InputError(
            f"{settings.given} came with executor={executor!r}, which has all layers in memory; "
            "leave them out, or use executor='offload', or threads or processes for several "
            "devices with a store each."
        )
    if replicas > 1 and settings.given:
        raise InputError(
            f"{settings.given} came with replicas={replicas}; gradients are averaged among "
            "replicas in buffers that hold all layers of a stage. Leave one of them out."
        )
