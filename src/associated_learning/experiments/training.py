"""From the settings of a run to its trainer and its device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiplicativeLR

from associated_learning.errors import InputError
from associated_learning.experiments.config import RunConfig
from associated_learning.trainer import Trainer

__all__ = ["choose_device", "make_trainer"]

_OPTIMIZERS: dict[str, type[Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}


def make_trainer(config: RunConfig, batches: int) -> Trainer:
    """Make the trainer of resolved settings.

    Args:
        config: The settings.
        batches: Number of batches of an epoch, for the schedule.
    """
    epochs = config.epochs or 1
    optimizer = _OPTIMIZERS[config.optimizer]
    return Trainer(
        epochs=epochs,
        optimizer=optimizer,
        lr=1e-3 if config.lr is None else config.lr,
        optimizer_options={"weight_decay": config.weight_decay},
        schedule=_schedule(config.schedule or "constant", epochs * batches),
        schedule_every="step",
        clip=config.clip or None,
        precision=torch.bfloat16 if config.precision == "bf16" else None,
        compile=config.compile,
        patience=config.patience or None,
        seed=config.seed,
        save_every=config.save_every,
    )


def _schedule(name: str, steps: int) -> Callable[[Optimizer], LRScheduler] | None:
    if name == "cosine":
        return lambda optimizer: CosineAnnealingLR(optimizer, steps)
    if name == "milestones":
        # the released image code: a tenth at 40, 60 and 80 %, a half at 90 % of the epochs
        factors = {int(steps * at): factor for at, factor in
                   ((0.4, 0.1), (0.6, 0.1), (0.8, 0.1), (0.9, 0.5))}  # fmt: skip
        return lambda optimizer: MultiplicativeLR(optimizer, lambda step: factors.get(step, 1.0))
    return None


def choose_device(name: str) -> torch.device:
    """Return the device of that name; "auto" is a GPU where there is one.

    Raises:
        InputError: There is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # "meta" makes tensors, but computes nothing
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"--device {name} cannot be used here ({str(error).splitlines()[0]}); use auto or cpu."
        ) from error
    return device
